/** SPEC §2, §4, §7, §10: jobs that depend on others. */
import { openDB } from 'idb'
import { describe, expect, it, onTestFinished } from 'vitest'
import type { Job, Queue } from '../../src/index.ts'
import type { PushOptions } from '../../src/core/push.ts'
import type { Schema } from '../../src/store/schema.ts'
import { idsOf, type IdRun } from '../../src/core/id.ts'
import { pruneDead, pruneEnded, type Ending } from '../../src/store/operations.ts'
import { faults, forget, freshName, stored } from './support/database.ts'
import { NOW, proofs, pull, push as storePush, Q, settle, testStore } from './support/store.ts'
import { tab, tabs, until } from './support/tabs.ts'

const NOBODY = '01890000-0000-7000-8000-0000000fffff'
const push = (queue: Queue, name: string, options: PushOptions = {}): Promise<string> => queue.push(Q, name, 0, { maxAttempts: 1, ...options })
const states = async (queue: Queue, ...ids: readonly string[]): Promise<unknown[]> => Promise.all(ids.map(async (id) => (await queue.get(id))?.state ?? 'gone'))
const names = async (queue: Queue, count = 10): Promise<string[]> => (await queue.pull(Q, count)).map(({ name }) => name)
const sound = async (queue: Queue): Promise<void> => { expect(await queue.verify()).toMatchObject({ ok: true, faults: [] }) }
/** Ends the next job, which is to be this one. */
async function end(queue: Queue, name: string, ...result: readonly [] | readonly [result: unknown]): Promise<Job> {
  const [job] = await queue.pull(Q)
  expect(job?.name).toBe(name)
  await queue.ack(job!, ...result)
  return job!
}
async function kill(queue: Queue, name: string): Promise<void> {
  const [job] = await queue.pull(Q)
  expect(job?.name).toBe(name)
  await queue.fail(job!, new Error('broken'))
}

describe('a child', () => {
  it('is blocked until its parents have completed, and is given their results', async () => {
    const queue = await tab()
    const [one, two] = [await push(queue, 'one'), await push(queue, 'two')]
    const child = await push(queue, 'child', { dependsOn: { first: one, second: two, again: one } })
    expect(await queue.get(child)).toMatchObject({ state: 'blocked', dependsOn: { first: one, second: two, again: one }, waitsFor: [1, 2] })
    await end(queue, 'one', { n: 1 })
    expect(await states(queue, child)).toEqual(['blocked'])
    await end(queue, 'two')
    const [job] = await queue.pull(Q)
    expect(job).toMatchObject({ name: 'child', parents: { first: { n: 1 }, again: { n: 1 } } })
    expect(job).not.toHaveProperty('waitsFor')
    await queue.ack(job!)
    await sound(queue)
  })

  it('names its parents by their ids if they have no names; handlers get ctx.parents', async () => {
    const queue = await tab()
    const parent = await queue.push('other', 'parent', 0)
    const child = await push(queue, 'child', { dependsOn: [parent, parent] })
    const alone = await push(queue, 'alone', { dependsOn: [] })
    await queue.process(Q, (_job, { parents }) => parents)
    expect(await queue.waitFor(alone)).toEqual({})
    await queue.process('other', () => 'done')
    expect(await queue.waitFor(child)).toEqual({ [parent]: 'done' })
  })

  it('of one that has completed already runs at once', async () => {
    const queue = await tab()
    const parent = await push(queue, 'parent')
    await end(queue, 'parent', 7)
    await push(queue, 'child', { dependsOn: { parent } })
    expect(await queue.pull(Q)).toMatchObject([{ name: 'child', parents: { parent: 7 } }])
    await sound(queue)
  })

  it.each([['cascade', 'dead'], ['cancel', 'cancelled'], ['run', 'waiting']] as const)('of a dead one, with %s, is %s at once', async (onParentDead, state) => {
    const queue = await tab()
    const parent = await push(queue, 'parent')
    await kill(queue, 'parent')
    const child = await push(queue, 'child', { dependsOn: [parent], onParentDead })
    expect(await queue.get(child)).toMatchObject({ state, ...(state !== 'waiting' && { reason: 'parent' }) })
    await sound(queue)
  })

  it('of nobody is refused, and nothing of its call is stored', async () => {
    const queue = await tab()
    const gone = await push(queue, 'gone')
    await queue.remove(gone)
    await expect(push(queue, 'child', { dependsOn: [NOBODY] })).rejects.toMatchObject({ code: 'NOT_FOUND', details: { id: NOBODY, pruned: false } })
    await expect(queue.pushMany(Q, [{ name: 'alone', data: 0 }, { name: 'child', data: 0, options: { dependsOn: { gone } } }])).rejects.toMatchObject({ code: 'NOT_FOUND', details: { id: gone, pruned: true } })
    expect((await queue.stats()).counts).toMatchObject({ waiting: 0, blocked: 0 })
  })

  it('that is refused takes none of its neighbours along, and those keep their order', async () => {
    const queue = await tab()
    const parent = await push(queue, 'parent')
    const [a, bad, b, good, c] = await Promise.allSettled([push(queue, 'a'), push(queue, 'bad', { dependsOn: [NOBODY] }), push(queue, 'b'), push(queue, 'good', { dependsOn: [parent] }), push(queue, 'c')])
    expect([a, bad, b, good, c].map(({ status }) => status)).toEqual(['fulfilled', 'rejected', 'fulfilled', 'fulfilled', 'fulfilled'])
    await end(queue, 'parent')
    expect(await names(queue)).toEqual(['a', 'b', 'good', 'c'])
  })

  it('keeps what it was given when its parent is gone, and through its own retries; large results too', async () => {
    const queue = await tab()
    const parent = await push(queue, 'parent', { removeOnComplete: true })
    const child = await push(queue, 'child', { dependsOn: { parent } })
    const text = 'x'.repeat(1_000_000)
    await end(queue, 'parent', text)
    expect(await states(queue, parent)).toEqual(['gone'])
    await kill(queue, 'child')
    await queue.retry(child, { data: 'edited' })
    const [job] = await queue.pull(Q)
    expect(job).toMatchObject({ data: 'edited' })
    expect(job?.parents).toEqual({ parent: text })
    await queue.ack(job!)
    await sound(queue)
    await queue.remove(child)
    await sound(queue)
  })

  it('expires while it is blocked, and can be promoted by nobody', async () => {
    const queue = await tab()
    const parent = await push(queue, 'parent')
    const child = await push(queue, 'child', { dependsOn: [parent], ttlMs: 20 })
    await expect(queue.promote(child)).rejects.toMatchObject({ code: 'INVALID_STATE' })
    await until('it has expired', async () => (await queue.get(child))?.reason === 'expired')
    await end(queue, 'parent')
    expect(await states(queue, child)).toEqual(['dead'])
    await sound(queue)
  })

  it('is delayed once its parents have completed, if its time has not come', async () => {
    const queue = await tab()
    const child = await push(queue, 'child', { dependsOn: [await push(queue, 'parent')], delayMs: 60_000 })
    expect(await states(queue, child)).toEqual(['blocked'])
    await end(queue, 'parent')
    expect(await states(queue, child)).toEqual(['delayed'])
  })

  it('is released in another tab, whose handler gets the result', async () => {
    const { queues: [one, other] } = await tabs(2)
    const child = await push(one!, 'child', { dependsOn: { parent: await push(one!, 'parent') } })
    await other!.process(Q, { child: (_job, { parents }) => parents['parent'] })
    await end(one!, 'parent', 'from one')
    expect(await one!.waitFor(child)).toBe('from one')
  })

  it('is of one user: nobody depends on what is somebody else’s', async () => {
    const queue = await tab()
    await queue.setUser('ada')
    const adas = await push(queue, 'adas')
    await queue.setUser('bob')
    await expect(push(queue, 'bobs', { dependsOn: [adas] })).rejects.toMatchObject({ code: 'NOT_FOUND', message: `There is no job ${adas}` })
  })

  it('is one of at most a hundred generations', async () => {
    const queue = await tab()
    let last = await push(queue, 'eldest')
    for (let n = 0; n < 100; n++) last = await push(queue, 'child', { dependsOn: [last] })
    await expect(push(queue, 'child', { dependsOn: [last] })).rejects.toMatchObject({ code: 'VALIDATION', details: { field: 'options.dependsOn', limit: 100, actual: 101 } })
    await kill(queue, 'eldest')
    expect((await queue.stats()).counts).toMatchObject({ dead: 101, blocked: 0 })
    await sound(queue)
  })

  it.each([
    [{ dependsOn: 'all' }, 'options.dependsOn'], [{ dependsOn: ['x'] }, 'options.dependsOn[0]'], [{ dependsOn: { create: 'x' } }, 'options.dependsOn.create'], [{ dependsOn: { 'a.b': NOBODY } }, 'options.dependsOn.a.b'],
    [{ dependsOn: { toString: NOBODY } }, 'options.dependsOn.toString'], [{ dependsOn: JSON.parse(`{"__proto__":"${NOBODY}"}`) as object }, 'options.dependsOn.__proto__'],
    [{ dependsOn: Array.from({ length: 101 }, () => NOBODY) }, 'options.dependsOn'], [{ onParentDead: 'wait' }, 'options.onParentDead'],
  ])('is refused with %o', async (options, field) => {
    const queue = await tab()
    await expect(push(queue, 'child', options as never)).rejects.toMatchObject({ code: 'VALIDATION', details: { field } })
  })

  it('stays whose child it is', async () => {
    const queue = await tab()
    const parent = await push(queue, 'parent')
    await expect(queue.retry(parent, { options: { dependsOn: [parent] } as never })).rejects.toMatchObject({ code: 'VALIDATION', details: {} })
    await expect(queue.configure(Q, { defaults: { dependsOn: [parent] } as never })).rejects.toMatchObject({ code: 'VALIDATION' })
  })
})

describe('the end of a parent', () => {
  /** A parent, its children by what they do then, and a grandchild. */
  async function family(): Promise<{ queue: Queue; parent: string; ids: string[] }> {
    const queue = await tab()
    const parent = await push(queue, 'parent')
    const ids: string[] = []
    for (const onParentDead of ['cascade', 'cancel', 'run'] as const) ids.push(await push(queue, onParentDead, { dependsOn: { parent }, onParentDead }))
    ids.push(await push(queue, 'grandchild', { dependsOn: [ids[0]!] }))
    return { queue, parent, ids }
  }

  it('by death takes children along as they asked for, generation by generation', async () => {
    const { queue, ids } = await family()
    await kill(queue, 'parent')
    expect(await states(queue, ...ids)).toEqual(['dead', 'cancelled', 'waiting', 'dead'])
    expect(await queue.pull(Q)).toMatchObject([{ name: 'run', parents: {} }])
    await expect(queue.waitFor(ids[3]!)).rejects.toMatchObject({ code: 'INVALID_STATE', details: { state: 'dead', reason: 'parent' } })
    await sound(queue)
  })

  it('by cancel, expiry or removal does too', async () => {
    for (const act of ['cancel', 'remove'] as const) {
      const { queue, parent, ids } = await family()
      await queue[act](parent)
      expect(await states(queue, ...ids)).toEqual(['cancelled', 'cancelled', 'waiting', 'cancelled'])
      await sound(queue)
    }
    const queue = await tab()
    const child = await push(queue, 'child', { dependsOn: [await push(queue, 'parent', { ttlMs: 20 })] })
    await until('the parent has expired', async () => (await queue.get(child))?.reason === 'parent')
  })

  it('by removal while it runs waits for its handler', async () => {
    const { queue, parent, ids } = await family()
    const [running] = await queue.pull(Q)
    await queue.remove(parent)
    expect(await states(queue, ...ids)).toEqual(['blocked', 'blocked', 'blocked', 'blocked'])
    await queue.ack(running!)
    expect(await states(queue, parent, ...ids)).toEqual(['gone', 'cancelled', 'cancelled', 'waiting', 'cancelled'])
  })

  it('is undone by its retry: those that it took along wait again', async () => {
    const { queue, parent, ids } = await family()
    await kill(queue, 'parent')
    await queue.retry(parent)
    expect(await states(queue, ...ids)).toEqual(['blocked', 'blocked', 'waiting', 'blocked'])
    await sound(queue)
    await end(queue, 'parent', 'now')
    expect((await queue.pull(Q, 9)).map(({ name, parents }) => [name, parents?.['parent']])).toEqual([['cascade', 'now'], ['cancel', 'now'], ['run', undefined]])
    await sound(queue)
  })

  it('revives no child that has lost another parent, which is not tried again alone either', async () => {
    const queue = await tab()
    const [one, two] = [await push(queue, 'one'), await push(queue, 'two')]
    const child = await push(queue, 'child', { dependsOn: [one, two] })
    await kill(queue, 'one')
    await kill(queue, 'two')
    await queue.retry(one)
    expect(await states(queue, child)).toEqual(['dead'])
    await expect(queue.retry(child)).rejects.toMatchObject({ code: 'INVALID_STATE', message: expect.stringContaining(two), details: { parent: two } })
    await queue.retry(two)
    expect(await states(queue, child)).toEqual(['blocked'])
    await sound(queue)
  })

  it('is undone for a whole family by retryAll, each once', async () => {
    const { queue, ids } = await family()
    await kill(queue, 'parent')
    expect(await queue.retryAll({ state: 'dead' })).toEqual({ done: 3, refused: [] })
    expect(await states(queue, ...ids)).toEqual(['blocked', 'blocked', 'waiting', 'blocked'])
    await sound(queue)
  })

  it('removeAll of a family leaves nothing', async () => {
    const { queue } = await family()
    expect(await queue.removeAll({})).toEqual({ done: 5, refused: [] })
    expect((await queue.list()).jobs).toEqual([])
    await sound(queue)
  })
})

describe('what is forgotten', () => {
  const DAY = 86_400_000
  it('of a child goes with it; a dead parent stays for as long as a child does', async () => {
    const name = freshName()
    let now = NOW
    const store = testStore(name, { now: () => now })
    onTestFinished(async () => { await store.close(); await forget(name) })
    const { submit } = store.committer
    const pushed = async (data: string, dependsOn: readonly string[] = []): Promise<string> => idsOf(await submit({ ...storePush('n', data, { maxAttempts: 1, dependsOn }), alone: true }) as IdRun)[0]!
    const settled = async (event: Ending['event']): Promise<unknown> => submit(settle(proofs(await submit(pull(1))).map((held) => ({ ...held, event }))))
    const forgotten = async (): Promise<string[]> => {
      await submit({ alone: true, run: (work) => pruneEnded(work, Q) })
      await submit({ alone: true, run: (work) => pruneDead(work, Q, -1) })
      const rows = await stored(name)
      expect(faults(rows)).toEqual([])
      return [...rows.dead, ...rows.archives.flatMap(({ jobs }) => jobs)].map(({ data }) => String(data))
    }
    await pushed('child of one', [await pushed('one')])
    await settled({ type: 'complete', result: 1 })
    await settled({ type: 'complete' })
    now += DAY
    expect(await forgotten()).toEqual([])
    await pushed('child of two', [await pushed('two')])
    await settled({ type: 'fail', error: { name: 'Error', message: 'broken' }, owner: 'page', random: 0 })
    now += 90 * DAY
    expect(await forgotten()).toEqual(['two'])
    expect(await forgotten()).toEqual([])
    expect((await stored(name)).parents).toEqual([])
  })
})

describe('in a group', () => {
  it('a child has the turn while it waits for its parents, and holds up the others', async () => {
    const queue = await tab()
    const parent = await push(queue, 'parent')
    await push(queue, 'child', { dependsOn: [parent], group: 'g' })
    await push(queue, 'next', { group: 'g' })
    await sound(queue)
    await end(queue, 'parent')
    await sound(queue)
    expect(await names(queue)).toEqual(['child'])
  })

  it('a child whose turn comes first waits for its parents, whose parents come first waits for its turn', async () => {
    const queue = await tab()
    await push(queue, 'first', { group: 'g', priority: 9 })
    await push(queue, 'child', { dependsOn: [await push(queue, 'parent')], group: 'g' })
    await end(queue, 'first')
    await sound(queue)
    await end(queue, 'parent')
    await end(queue, 'child')
    await push(queue, 'second', { group: 'g' })
    await push(queue, 'other', { dependsOn: [await push(queue, 'uncle', { priority: 9 })], group: 'g' })
    await end(queue, 'uncle')
    await sound(queue)
    expect(await names(queue)).toEqual(['second'])
  })

  it('a child never has the turn before one that it waits for: neither by lifo nor by a late retry', async () => {
    const queue = await tab()
    await push(queue, 'first', { group: 'g' })
    await push(queue, 'child', { dependsOn: [await push(queue, 'parent', { group: 'g' })], group: 'g', lifo: true })
    await end(queue, 'first')
    await sound(queue)
    await end(queue, 'parent')
    await end(queue, 'child')
    const late = await push(queue, 'late', { group: 'g' })
    const uncle = await push(queue, 'uncle', { dependsOn: [late], onParentDead: 'run' })
    await queue.cancel(late)
    await queue.pause(Q)
    const child = await push(queue, 'child', { dependsOn: [uncle], group: 'g' })
    await queue.retry(late)
    expect(await states(queue, late, child)).toEqual(['waiting', 'blocked'])
    await sound(queue)
    await queue.resume(Q)
    await end(queue, 'late')
    await end(queue, 'uncle')
    await end(queue, 'child')
    await sound(queue)
  })

  it('a child that its parent takes along lets the next one go', async () => {
    const queue = await tab()
    await push(queue, 'child', { dependsOn: [await push(queue, 'parent')], group: 'g' })
    await push(queue, 'next', { group: 'g' })
    await kill(queue, 'parent')
    await sound(queue)
    expect(await names(queue)).toEqual(['next'])
  })
})

describe('verify', () => {
  type Break = (rows: { put(room: keyof Schema, row: object): Promise<unknown>; delete(room: keyof Schema, key: IDBValidKey): Promise<unknown> }, child: Job) => Promise<unknown>
  it.each([
    ['a parent that is gone', ({ delete: drop }) => drop('waiting', [Q, 'parent', 0, 1]), 'waits for 1, which ended', 'cancelled'],
    ['nothing at all', ({ put }, { waitsFor: _waitsFor, ...child }) => put('blocked', child), 'is blocked by nothing', 'waiting'],
    ['what was not noted', ({ delete: drop }, { seq }) => drop('parents', [seq, 'p']), 'what job 2 has of p is missing', 'blocked'],
    ['what nobody knows', ({ put }) => put('parents', { child: 77, name: 'p', parent: 1 }), 'what job 77 had of p was left behind', 'blocked'],
  ] satisfies ReadonlyArray<readonly [string, Break, string, string]>)('finds a child that waits for %s', async (_what, wreck, fault, state) => {
    const { name, queues: [queue] } = await tabs()
    const child = await push(queue!, 'child', { dependsOn: { p: await push(queue!, 'parent') } })
    const db = await openDB(`holdfast:${name}`)
    await wreck({ put: (room, row) => db.put(room, row), delete: (room, key) => db.delete(room, key) }, (await db.get('blocked', 2)) as Job)
    db.close()
    const found = await queue!.verify({ repair: true })
    expect(found.faults.join()).toContain(fault)
    await sound(queue!)
    expect(await states(queue!, child)).toEqual([state])
  })
})
