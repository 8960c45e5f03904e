import { describe, expect, it, vi } from 'vitest'
import type { Queue } from '../../src/index.ts'
import { Q } from './support/store.ts'
import { tab } from './support/tabs.ts'

const ONCE = { maxAttempts: 1, group: 'a' } as const
const names = async (queue: Queue, count = 10): Promise<string[]> => (await queue.pull(Q, count)).map(({ name }) => name)
const blocked = async (queue: Queue): Promise<number> => (await queue.stats(Q)).counts.blocked
const sound = async (queue: Queue): Promise<void> => { expect(await queue.verify()).toMatchObject({ ok: true, faults: [] }) }

describe('a group', () => {
  it('runs one of its members at a time, in order, whatever their priority; others run beside it', async () => {
    const queue = await tab()
    await queue.pushMany(Q, [{ name: 'a1', data: 0, options: { group: 'a' } }, { name: 'a2', data: 0, options: { group: 'a', priority: 9 } }, { name: 'b1', data: 0, options: { group: 'b' } }, { name: 'alone', data: 0 }])
    const first = await queue.pull(Q, 10)
    expect(first.map(({ name }) => name)).toEqual(['a1', 'b1', 'alone'])
    expect([await blocked(queue), await names(queue)]).toEqual([1, []])
    await queue.ack(first[0]!)
    expect(await names(queue)).toEqual(['a2'])
    await sound(queue)
  })

  it('is held up by a member that waits for a retry, and by nobody else', async () => {
    const queue = await tab()
    await queue.push(Q, 'a1', 0, { group: 'a', backoff: { type: 'fixed', delayMs: 60_000 } })
    await queue.push(Q, 'a2', 0, { group: 'a' })
    await queue.push(Q, 'b1', 0, { group: 'b' })
    const [a1] = await queue.pull(Q, 2)
    await queue.fail(a1!, new Error('not now'))
    expect([await names(queue), await blocked(queue)]).toEqual([[], 1])
    await queue.promote(a1!.id)
    expect(await names(queue)).toEqual(['a1'])
  })

  it('is left by a job that is retried into another, which it then holds up no longer', async () => {
    const queue = await tab()
    const dead = await queue.push(Q, 'a1', 0, { ...ONCE, onGroupDead: 'hold' })
    await queue.push(Q, 'a2', 0, { group: 'a' })
    await queue.fail((await queue.pull(Q))[0]!, new Error('no'))
    expect([await names(queue), await blocked(queue)]).toEqual([[], 1])
    await queue.retry(dead, { options: { group: 'b' } })
    await sound(queue)
    expect((await names(queue)).sort()).toEqual(['a1', 'a2'])
  })

  it('of nobody is no user’s, whatever it is called', async () => {
    const queue = await tab()
    await queue.setUser('ada')
    await queue.push(Q, 'adas', 0, { group: 'g' })
    await queue.setUser(null)
    await queue.push(Q, 'nobodys', 0, { group: '["g","ada"]' })
    expect(await names(queue)).toEqual(['nobodys'])
    await sound(queue)
  })

  it('that is retried whole runs in order again', async () => {
    const queue = await tab()
    const ids = await queue.pushMany(Q, ['a1', 'a2', 'a3'].map((name) => ({ name, data: 0, options: { group: 'a' } })))
    for (const id of ids) await queue.cancel(id)
    expect(await queue.retryAll({ state: 'cancelled' })).toMatchObject({ done: 3 })
    for (const name of ['a1', 'a2', 'a3']) {
      const [job] = await queue.pull(Q, 3)
      expect(job?.name).toBe(name)
      await queue.ack(job!)
    }
  })

  it('is removed, cancelled and expired whole: none of it runs because the turn was passed to it on the way', async () => {
    const members = (options = {}): ReadonlyArray<{ name: string; data: number; options: object }> => Array.from({ length: 5 }, (_, n) => ({ name: `a${n}`, data: n, options: { group: 'a', ...options } }))
    const queue = await tab()
    await queue.pushMany(Q, members())
    expect(await queue.removeAll({ group: 'a' })).toMatchObject({ done: 5, refused: [] })
    expect([await names(queue), (await queue.stats(Q)).counts]).toEqual([[], { waiting: 0, delayed: 0, blocked: 0, active: 0, completed: 0, cancelled: 0, dead: 0 }])
    await sound(queue)
    await queue.pushMany(Q, members({ ttlMs: 50 }))
    await vi.waitFor(async () => { expect((await queue.stats(Q)).counts).toMatchObject({ waiting: 0, blocked: 0, dead: 5 }) }, 5000)
    await sound(queue)
  })

  it('goes on when a member dies, unless it is to be held: then once it is repaired, or removed', async () => {
    const queue = await tab()
    await queue.pushMany(Q, [{ name: 'a1', data: 0, options: ONCE }, { name: 'a2', data: 0, options: { ...ONCE, onGroupDead: 'hold' } }, { name: 'a3', data: 0, options: ONCE }, { name: 'a4', data: 0, options: ONCE }])
    for (const name of ['a1', 'a2']) {
      const [job] = await queue.pull(Q)
      expect(job?.name).toBe(name)
      await queue.fail(job!, new Error('broken'))
    }
    expect([await names(queue), await blocked(queue)]).toEqual([[], 2])
    const { jobs: [dead] } = await queue.list({ state: 'dead', name: 'a2' })
    await queue.retry(dead!.id, { data: 'repaired' })
    const [repaired] = await queue.pull(Q)
    expect(repaired).toMatchObject({ name: 'a2', data: 'repaired' })
    await queue.fail(repaired!, new Error('broken again'))
    await queue.remove(dead!.id)
    expect(await names(queue)).toEqual(['a3'])
    await sound(queue)
  })

  it('goes on when a member is cancelled or expires, waiting or blocked', async () => {
    const queue = await tab()
    const [a1, a2] = await queue.pushMany(Q, ['a1', 'a2', 'a3', 'a4'].map((name) => ({ name, data: 0, options: { group: 'a', ...(name === 'a3' && { ttlMs: 1 }) } })))
    await queue.cancel(a2!)
    await expect.poll(async () => (await queue.stats(Q)).counts.dead, { timeout: 10_000 }).toBe(1)
    await queue.cancel(a1!)
    expect(await names(queue)).toEqual(['a4'])
    await sound(queue)
  })

  it('takes a member that is retried late in its old place, after the one that runs', async () => {
    const queue = await tab()
    await queue.pushMany(Q, ['a1', 'a2', 'a3'].map((name) => ({ name, data: 0, options: ONCE })))
    const [a1] = await queue.pull(Q)
    await queue.fail(a1!, new Error('broken'))
    const [a2] = await queue.pull(Q)
    await queue.retry(a1!.id)
    expect(await queue.get(a1!.id)).toMatchObject({ state: 'blocked' })
    await queue.ack(a2!)
    expect(await names(queue)).toEqual(['a1'])
    await sound(queue)
  })

  it('is found by list, and told by events', async () => {
    const queue = await tab()
    const heard: unknown[] = []
    queue.on('pushed', ({ group }) => { heard.push(group) })
    await queue.push(Q, 'n', 0, { group: 'ada' })
    await queue.push(Q, 'n', 0)
    expect((await queue.list({ group: 'ada' })).jobs).toHaveLength(1)
    await expect.poll(() => heard).toEqual(['ada', undefined])
  })

  it.each([[{ group: 7 }, 'options.group'], [{ group: 'x'.repeat(1025) }, 'options.group'], [{ onGroupDead: 'wait' }, 'options.onGroupDead']])('refuses %o', async (options, field) => {
    const queue = await tab()
    await expect(queue.push(Q, 'n', 0, options as never)).rejects.toMatchObject({ code: 'VALIDATION', details: { field } })
    expect((await queue.stats()).counts.waiting).toBe(0)
  })
})
