/** DESIGN §3, SPEC §11: group commit, durability, and one caller's bad luck being his alone. */
import 'fake-indexeddb/auto'
import fc from 'fast-check'
import { forceCloseDatabase } from 'fake-indexeddb'
import { openDB } from 'idb'
import { afterEach, describe, expect, it, vi } from 'vitest'
import { HoldfastError } from '../../src/core/errors.ts'
import { openQueue } from '../../src/index.ts'
import { createCommitter, type Operation } from '../../src/store/committer.ts'
import { connect } from '../../src/store/connection.ts'
import * as operations from '../../src/store/operations.ts'
import { listJobs } from '../../src/store/list.ts'
import { readQueues, readStats } from '../../src/store/reads.ts'
import { enter, leave, locate } from '../../src/store/rooms.ts'
import { faults, freshName, stored, waitingOf } from './support/database.ts'
import { newJob, NOW, proofs, pull, push, Q, settle, testStore, type TestStore } from './support/store.ts'

afterEach(() => { vi.restoreAllMocks() })

/** The readwrite transactions from now on, by the durability that was asked for. */
function transactions(): string[] {
  const asked: string[] = []
  const original = IDBDatabase.prototype.transaction
  vi.spyOn(IDBDatabase.prototype, 'transaction').mockImplementation(function (this: IDBDatabase, ...args) {
    if (args[1] === 'readwrite') asked.push(args[2]?.durability ?? 'default')
    return original.apply(this, args)
  })
  return asked
}

const opened = (durability?: 'relaxed') => openQueue(freshName(), { worker: false, ...(durability ? { durability } : {}) })

// ---- group commit ----

describe('group commit', () => {
  it('a thousand pushes at once share a few transactions', async () => {
    const queue = await opened()
    const asked = transactions()
    const ids = await Promise.all(Array.from({ length: 1000 }, (_, n) => queue.push(Q, 'welcome', { n })))
    expect(asked.length).toBeLessThanOrEqual(2)
    expect((await queue.pull(Q, 1000)).map(({ id, data }) => [id, data])).toEqual(ids.map((id, n) => [id, { n }]))
    await queue.close()
  })

  it('settling and claiming again is one transaction', async () => {
    const queue = await opened()
    await queue.pushMany(Q, Array.from({ length: 4 }, () => ({ name: 'welcome', data: 1 })))
    const jobs = await queue.pull(Q, 2)
    const asked = transactions()
    await Promise.all([queue.ackMany(jobs), queue.pull(Q, 2)])
    expect(asked).toHaveLength(1)
    await queue.close()
  })

  it('a call settles after its transaction is complete, not before', async () => {
    const queue = await opened()
    const order: string[] = []
    const original = IDBDatabase.prototype.transaction
    vi.spyOn(IDBDatabase.prototype, 'transaction').mockImplementation(function (this: IDBDatabase, ...args) {
      const tx = original.apply(this, args)
      if (args[1] === 'readwrite') tx.addEventListener('complete', () => { order.push('complete') })
      return tx
    })
    await queue.push(Q, 'welcome', 1).then(() => { order.push('pushed') })
    expect(order).toEqual(['complete', 'pushed'])
    await queue.close()
  })
})

// ---- durability ----

describe('durability', () => {
  it('is asked for strictly wherever something is decided', async () => {
    const queue = await opened()
    const asked = transactions()
    const [a, b, c] = await queue.pushMany(Q, [1, 2, 3].map((data) => ({ name: 'welcome', data })))
    await queue.push(Q, 'welcome', 4, { delayMs: 3_600_000 })
    await queue.pull(Q, 3)
    await queue.ack(a!)
    await queue.fail(b!, new Error('boom'))
    await queue.release(c!)
    await queue.cancel(c!)
    await queue.retry(c!)
    await queue.pause(Q)
    await queue.configure(Q, { concurrency: 5 })
    expect(asked).toEqual(asked.map(() => 'strict'))
    expect(asked).toHaveLength(10)
    await queue.close()
  })

  it('is relaxed for heartbeats and progress only, and not even for these when a push rides along', async () => {
    const queue = await opened()
    const id = await queue.push(Q, 'welcome', 1)
    await queue.pull(Q)
    const asked = transactions()
    await queue.heartbeat(id)
    await queue.progress(id, 50)
    expect(asked).toEqual(['relaxed', 'relaxed'])
    await Promise.all([queue.heartbeat(id), queue.push(Q, 'welcome', 2), queue.progress(id, 60)])
    expect(asked).toEqual(['relaxed', 'relaxed', 'strict'])
    await queue.close()
  })

  it('is relaxed for everything when the queue was opened so', async () => {
    const queue = await opened('relaxed')
    const asked = transactions()
    await queue.ack((await queue.push(Q, 'welcome', 1), (await queue.pull(Q))[0]!))
    expect(asked).toEqual(['relaxed', 'relaxed', 'relaxed'])
    await queue.close()
  })
})

// ---- an operation that throws ----

const NO = new HoldfastError('VALIDATION', 'no')
/** Does all that the operation does, and then throws. */
const sabotaged = (operation: Operation<unknown>): Operation<unknown> => ({ ...operation, run: async (work) => { await operation.run(work); throw NO } })

describe('an operation that throws', () => {
  it('changes nothing, and its neighbours in the transaction are done', async () => {
    const name = freshName()
    const { committer, close } = testStore(name)
    await committer.submit(push('welcome', 'first'))
    const [proof] = proofs(await committer.submit(pull(1)))
    const asked = transactions()
    const answers = await Promise.allSettled([
      committer.submit(push('welcome', 'second')),
      committer.submit({ run: (work) => operations.heartbeat(work, { ...proof!, token: 'another' }) }),
      committer.submit(settle([{ ...proof!, token: 'another', event: { type: 'complete' } }])),
      committer.submit(push('welcome', 'third')),
    ])
    expect(asked).toHaveLength(1)
    expect(answers).toMatchObject([{ status: 'fulfilled' }, { status: 'rejected', reason: { code: 'STALE_LEASE' } }, { status: 'fulfilled', value: [{ ok: false }] }, { status: 'fulfilled' }])
    const rows = await stored(name)
    expect(waitingOf(rows, Q).map(({ data }) => data)).toEqual(['second', 'third'])
    expect(rows.leases).toHaveLength(1)
    expect(rows.leases[0]).not.toHaveProperty('beats')
    expect(faults(rows)).toEqual([])
    await close()
  })

  it('leaves no trace whatever it did before: with and without it, the same is stored and told', async () => {
    const kind = fc.constantFrom('push', 'push lifo', 'push later', 'push large', 'pull', 'complete', 'fail', 'release', 'pause', 'beat')
    const operation = (what: string, held: operations.Held | undefined, n: number): Operation<unknown> => {
      switch (what) {
        case 'push': return push(n % 2 ? 'welcome' : 'reset', n, { priority: n % 3 })
        case 'push lifo': return push('welcome', n, { lifo: true })
        case 'push later': return push('welcome', n, { delayMs: 1000, ttlMs: 5000 })
        case 'push large': return { run: (work) => operations.push(work, Q, [{ name: 'welcome', data: n, options: {}, size: 20_000, binary: 0 }]) }
        case 'pull': return pull(1 + n % 3) as Operation<unknown>
        case 'pause': return { run: (work) => operations.pause(work, Q) }
        case 'beat': return { run: (work) => operations.beat(work, ['page']) }
        default: return settle(held ? [{ ...held, event: what === 'complete' ? { type: 'complete' } : what === 'release' ? { type: 'release' } : { type: 'fail', error: { name: 'Error', message: 'x' }, owner: 'page', random: 0, afterMs: 0 } }] : []) as Operation<unknown>
      }
    }
    /** One transaction after another of a like start, so that only the last group differs. */
    const play = async (steps: ReadonlyArray<readonly [string, boolean]>, withSaboteurs: boolean): Promise<object> => {
      const name = freshName()
      const { committer, close, heard } = testStore(name)
      await committer.submit({ run: (work) => operations.push(work, Q, Array.from({ length: 8 }, (_, n) => ({ name: n % 2 ? 'welcome' : 'reset', data: n, options: {}, size: 10, binary: 0 }))) })
      const held = proofs(await committer.submit(pull(4)))
      await Promise.allSettled([push('welcome', 'always'), ...steps.flatMap(([what, throws], n) => {
        const made = operation(what, held[n % 4], n)
        return throws ? withSaboteurs ? [sabotaged(made)] : [] : [made]
      })].map((each) => committer.submit(each)))
      await close()
      const { events, finals } = heard.at(-1)!
      const { leases, meta, ...rows } = await stored(name)
      // Tokens are drawn anew by whoever throws.
      return { ...rows, leases: leases.map(({ token: _token, ...lease }) => lease), meta: meta.map(({ generation: _generation, ...row }) => row), events, finals }
    }
    await fc.assert(fc.asyncProperty(fc.array(fc.tuple(kind, fc.boolean()), { minLength: 1, maxLength: 10 }), async (steps) => {
      expect(await play(steps, true)).toEqual(await play(steps, false))
    }), { numRuns: 60 })
  })
})

// ---- a transaction that aborts ----

describe('a transaction that aborts', () => {
  it('one that cannot be stored is refused alone: the others are tried again, endings first', async () => {
    const name = freshName()
    const { committer, close, failures } = testStore(name)
    await committer.submit(push('welcome', 'done'))
    const [proof] = proofs(await committer.submit(pull(1)))
    const order: string[] = []
    const original = IDBObjectStore.prototype.add
    vi.spyOn(IDBObjectStore.prototype, 'add').mockImplementation(function (this: IDBObjectStore, value: { jobs?: Array<{ data: unknown }> }, ...key) {
      const data = value.jobs?.[0]?.data
      if (data === 'poison') throw new DOMException('The disk is full', 'QuotaExceededError')
      order.push(`${this.name} ${String(data)}`)
      return original.call(this, value, ...key)
    })
    const answers = await Promise.allSettled([committer.submit(push('a', 'one')), committer.submit(push('b', 'poison')), committer.submit(push('c', 'two')), committer.submit(settle([{ ...proof!, event: { type: 'complete' } }]))])
    expect(answers).toMatchObject([{ status: 'fulfilled' }, { status: 'rejected', reason: { code: 'QUOTA' } }, { status: 'fulfilled' }, { status: 'fulfilled', value: [{ ok: true }] }])
    expect(order.slice(order.indexOf('archives done'))).toEqual(['archives done', 'waiting one', 'waiting two'])
    expect(failures, 'what one operation did is no fault of the storage').toEqual([])
    const rows = await stored(name)
    expect(waitingOf(rows, Q).map(({ data }) => data)).toEqual(['one', 'two'])
    expect(faults(rows)).toEqual([])
    await close()
  })

  it('a page is never written over another: a taken place is an error, and nothing of that push is stored', async () => {
    const name = freshName()
    const { committer, close } = testStore(name)
    await committer.submit(push('a', 'first'))
    const raw = await openDB(`holdfast:${name}`)
    await raw.put('waiting', { queue: Q, lane: 'b', rank: 0, first: 2, bytes: 0, jobs: [], mine: true }, [Q, 'b', 0, 2])
    raw.close()
    await expect(committer.submit(push('b', 'second'))).rejects.toMatchObject({ code: 'STORAGE', details: { name: 'ConstraintError' } })
    const rows = await stored(name)
    expect(rows.waiting.filter(({ lane }) => lane === 'b')).toMatchObject([{ mine: true }])
    expect(rows.queues[0]?.counts.waiting).toBe(1)
    expect(rows.meta[0]?.next).toBe(2)
    await close()
  })

  it('whoever listens to commits cannot make them happen twice', async () => {
    const name = freshName()
    const loud: unknown[] = []
    vi.spyOn(globalThis, 'queueMicrotask').mockImplementation((call) => { Promise.resolve().then(call).catch((error: unknown) => { loud.push(error) }) })
    let calls = 0
    const { committer, close } = testStore(name, { committed() { if (++calls === 1) throw new Error('a listener') } })
    await Promise.all([committer.submit(push('welcome', 'one')), committer.submit(push('welcome', 'two'))])
    await committer.submit(push('welcome', 'three'))
    expect(waitingOf(await stored(name), Q).map(({ data }) => data)).toEqual(['one', 'two', 'three'])
    expect(loud.length).toBeLessThanOrEqual(1)
    await close()
  })

  it('a connection that the browser closed is opened again', async () => {
    const queue = await opened()
    await queue.push(Q, 'welcome', 1)
    const seen = new Set<IDBDatabase>()
    const original = IDBDatabase.prototype.transaction
    vi.spyOn(IDBDatabase.prototype, 'transaction').mockImplementation(function (this: IDBDatabase, ...args) { seen.add(this); return original.apply(this, args) })
    await queue.stats()
    for (const connection of seen) forceCloseDatabase(connection as never)
    await queue.push(Q, 'welcome', 2)
    expect((await queue.pull(Q, 5)).map(({ data }) => data)).toEqual([1, 2])
    await queue.close()
  })
})

// ---- receipts ----

describe('a receipt', () => {
  const called = <T>(id: number, operation: Operation<T>, reply: (value: T) => unknown = (value) => value): Operation<T> => ({ ...operation, call: { ids: [id], reply } })
  const repliesOf = async (name: string): Promise<unknown> => (await stored(name)).meta[0]?.receipt

  it('holds what was answered, refusals too, until the client has heard it', async () => {
    const name = freshName()
    const { committer, close } = testStore(name)
    await committer.submit(called(1, push('welcome'), () => 'pushed'))
    await Promise.allSettled([committer.submit(called(2, { run: () => Promise.reject(NO) })), committer.submit(called(3, push('welcome'), () => 'pushed too'))])
    const refused = { error: { code: 'VALIDATION', message: 'no', details: {} } }
    expect(await repliesOf(name)).toMatchObject({ client: 'page', replies: [[[1], { value: 'pushed' }], [[2], refused], [[3], { value: 'pushed too' }]] })
    committer.confirm([1, 2])
    await committer.submit(called(4, push('welcome'), () => 'pushed again'))
    expect(await repliesOf(name)).toMatchObject({ client: 'page', replies: [[[3], { value: 'pushed too' }], [[4], { value: 'pushed again' }]] })
    await close()
  })

  it('is stored with what it answers, or neither is', async () => {
    const name = freshName()
    const { committer, close } = testStore(name)
    await committer.submit(called(1, push('welcome', 'one'), () => 'pushed'))
    vi.spyOn(IDBObjectStore.prototype, 'add').mockImplementation(() => { throw new DOMException('full', 'QuotaExceededError') })
    await expect(committer.submit(called(2, push('welcome', 'two')))).rejects.toMatchObject({ code: 'QUOTA' })
    expect(await repliesOf(name)).toMatchObject({ client: 'page', replies: [[[1], { value: 'pushed' }]] })
    await close()
  })

  it('of a handle that hears its answers does not grow, and holds no job of a claim', async () => {
    const name = freshName()
    const queue = await openQueue(name, { worker: false })
    for (let n = 0; n < 20; n++) await queue.push(Q, 'welcome', 'x'.repeat(1000))
    await queue.pull(Q, 20)
    await queue.pause(Q)
    const receipt = (await stored(name)).meta[0]?.receipt
    expect(receipt?.replies.length).toBeLessThanOrEqual(2)
    expect(JSON.stringify(receipt).length).toBeLessThan(1000)
    await queue.close()
  })
})

// ---- the queue that was written last ----

describe('the queue that was written last', () => {
  /** The names of the queues in their own room. */
  const apart = async (name: string): Promise<string[]> => {
    const db = await openDB(`holdfast:${name}`)
    try { return await db.getAllKeys('queues') as string[] } finally { db.close() }
  }

  it('lies in the meta row: a push alone writes that and its page, whatever other tabs and queues there are', async () => {
    const name = freshName()
    const { committer, close } = testStore(name)
    await committer.submit(push('welcome'))
    await committer.submit(push('welcome'))
    const writes = (['add', 'put'] as const).map((how) => vi.spyOn(IDBObjectStore.prototype, how))
    await committer.submit(push('welcome'))
    expect(writes.flatMap(({ mock }) => mock.contexts.map((store) => (store as IDBObjectStore).name))).toEqual(['waiting', 'meta'])
    expect(await apart(name)).toEqual([])
    await close()
  })

  it('makes room for the next one, and both are read as they are', async () => {
    const name = freshName()
    const { committer, connection, close } = testStore(name)
    for (const [queue, count] of [['b', 1], ['a', 2], ['b', 3], ['c', 4], ['b', 5]] as const) for (let n = 0; n < count; n++) await committer.submit(push('welcome', n, {}, queue))
    expect(await apart(name)).toEqual(['a', 'b', 'c'])
    expect((await readStats(connection, NOW)).queues.map(({ queue, counts }) => [queue, counts.waiting])).toEqual([['a', 2], ['b', 9], ['c', 4]])
    expect((await readStats(connection, NOW, 'b')).queues.map(({ queue, counts }) => [queue, counts.waiting])).toEqual([['b', 9]])
    expect((await readStats(connection, NOW, 'a')).queues.map(({ queue, counts }) => [queue, counts.waiting])).toEqual([['a', 2]])
    expect(await readQueues(connection)).toEqual(['a', 'b', 'c'])
    expect((await listJobs(connection, {})).jobs.map(({ queue }) => queue).join('')).toBe('aabbbbbbbbbcccc')
    expect(faults(await stored(name))).toEqual([])
    await close()
  })

  it.each<[string, (committer: TestStore['committer']) => Promise<unknown>]>([
    ['many lanes', (committer) => Promise.all(Array.from({ length: 200 }, (_, n) => committer.submit(push(`welcome-${n}`))))],
    ['defaults of any size', async (committer) => { await committer.submit(push('welcome')); await committer.submit({ run: (work) => operations.configure(work, Q, { defaults: { metadata: 1n } }) }) }],
  ])('has its own row where it has %s: that would be written by everybody, and could be lost for all', async (_what, widen) => {
    const name = freshName()
    const { committer, connection, close } = testStore(name)
    await committer.submit(push('welcome', 1, {}, 'small'))
    await widen(committer)
    expect((await stored(name)).meta[0]?.queue?.queue).not.toBe(Q)
    expect(await apart(name)).toContain(Q)
    const before = (await readStats(connection, NOW, Q)).counts.waiting
    await Promise.all([committer.submit(push('welcome')), committer.submit(push('welcome', 1, {}, 'small'))])
    expect((await readStats(connection, NOW)).queues.map(({ queue, counts }) => [queue, counts.waiting])).toEqual([[Q, before + 1], ['small', 2]])
    expect(faults(await stored(name))).toEqual([])
    await close()
  })

  it('leaves the meta row when it grows', async () => {
    const name = freshName()
    const { committer, close } = testStore(name)
    await committer.submit(push('welcome'))
    expect((await stored(name)).meta[0]?.queue).toMatchObject({ queue: Q })
    await Promise.all(Array.from({ length: 200 }, (_, n) => committer.submit(push(`welcome-${n}`))))
    expect((await stored(name)).meta[0]?.queue).toBeUndefined()
    expect((await stored(name)).queues).toMatchObject([{ queue: Q, counts: { waiting: 201 } }])
    await close()
  })

  it('is one of those that a commit has changed together', async () => {
    const name = freshName()
    const { committer, connection, close } = testStore(name)
    await committer.submit(push('welcome', 1, {}, 'c'))
    await Promise.all(['a', 'b', 'c', 'a'].map((queue) => committer.submit(push('welcome', 1, {}, queue))))
    expect((await readStats(connection, NOW)).queues.map(({ queue, counts }) => [queue, counts.waiting])).toEqual([['a', 2], ['b', 1], ['c', 2]])
    await committer.submit(push('welcome', 1, {}, 'd'))
    expect((await readStats(connection, NOW)).queues.map(({ queue, counts }) => [queue, counts.waiting])).toEqual([['a', 2], ['b', 1], ['c', 2], ['d', 1]])
    expect(faults(await stored(name))).toEqual([])
    await close()
  })
})

// ---- several moves in one transaction ----

describe('in one transaction', () => {
  it('jobs may leave and come back in any order, and the waiting room is as before', async () => {
    await fc.assert(fc.asyncProperty(fc.array(fc.integer({ min: 1, max: 3 }), { minLength: 1, maxLength: 10, size: 'max' }), fc.array(fc.nat(100), { maxLength: 8, size: 'max' }), async (pushes, picks) => {
      const name = freshName()
      const { committer, close } = testStore(name)
      for (const count of pushes) await committer.submit({ run: (work) => operations.push(work, Q, Array.from({ length: count }, () => ({ name: 'welcome', data: 1, options: {}, size: 10, binary: 0 }))) })
      const before = waitingOf(await stored(name), Q)
      const leaving = [...new Set(picks.map((n) => before[n % before.length]!))]
      await committer.submit({
        alone: true,
        async run(work) {
          for (const job of leaving) work.putQueue(await leave(work, await work.queue(Q), (await locate(work.tx, job.seq))!))
          for (const job of [...leaving].sort((a, b) => (a.seq * 7919) % 31 - (b.seq * 7919) % 31)) work.putQueue(await enter(work, await work.queue(Q), job))
        },
      })
      const rows = await stored(name)
      expect(faults(rows).join('; ')).toBe('')
      expect(waitingOf(rows, Q)).toEqual(before)
      await close()
    }), { numRuns: 100 })
  })

  it('a job that comes back and one that is pushed keep their order around those that stayed', async () => {
    const name = freshName()
    const { committer, close } = testStore(name)
    await committer.submit({ run: (work) => operations.push(work, Q, [1, 2].map((data) => ({ name: 'welcome', data, options: {}, size: 10, binary: 0 }))) })
    const [first] = proofs(await committer.submit(pull(1)))
    await Promise.all([committer.submit(settle([{ ...first!, event: { type: 'release' } }])), committer.submit(push('welcome', 3))])
    expect(faults(await stored(name)).join('; ')).toBe('')
    expect((await committer.submit(pull(3))).jobs.map(({ data }) => data)).toEqual([1, 2, 3])
    await close()
  })

  it('a job pushed to the front and one pushed to the end keep their order around those that were there', async () => {
    const name = freshName()
    const { committer, close } = testStore(name)
    await committer.submit(push('welcome', 'there'))
    await Promise.all([committer.submit(push('welcome', 'front', { lifo: true })), committer.submit(push('welcome', 'end'))])
    expect(faults(await stored(name)).join('; ')).toBe('')
    expect((await committer.submit(pull(3))).jobs.map(({ data }) => data)).toEqual(['front', 'there', 'end'])
    await close()
  })
})

/** Pages that are looked for from now on. */
function looks(): { count: number } {
  const seen = { count: 0 }
  const original = IDBObjectStore.prototype.openCursor
  vi.spyOn(IDBObjectStore.prototype, 'openCursor').mockImplementation(function (this: IDBObjectStore, ...args) {
    if (this.name === 'waiting') seen.count++
    return original.apply(this, args)
  })
  return seen
}

describe('many that are acted on at once', () => {
  it('are found by where they were seen, however many lanes and priorities there are', async () => {
    let now = NOW
    const name = freshName()
    const { committer, connection, close } = testStore(name, { now: () => now })
    await committer.submit({ run: (work) => operations.push(work, Q, Array.from({ length: 100 }, (_, i) => newJob(`n${i % 10}`, i, { priority: i % 3, ttlMs: 1000 }))) })
    const { jobs } = await listJobs(connection, { state: 'waiting' })
    const looked = looks()
    const removed = { done: 0, met: 0 }
    while (removed.met < 60) { const part = await committer.submit({ alone: true, run: (work) => operations.actMany(work, jobs.slice(removed.met, 60), { type: 'remove' }) }); removed.met += part.met; removed.done += part.done }
    expect(removed.done).toBe(60)
    expect(looked.count).toBeLessThanOrEqual(60)
    expect((await stored(name)).expiries).toHaveLength(40)
    looked.count = 0
    now += 2000
    while (await committer.submit({ alone: true, run: operations.expireDue })) { /* more */ }
    expect((await stored(name)).dead).toHaveLength(40)
    expect(looked.count).toBeLessThanOrEqual(40 * 3 * 2)
    expect(faults(await stored(name))).toEqual([])
    await close()
  })

  it('hold up others for a moment only: the rest is for the next transaction', async () => {
    const { committer, connection, close } = testStore(freshName())
    await committer.submit({ run: (work) => operations.push(work, Q, Array.from({ length: 10 }, () => newJob('n'))) })
    const { jobs } = await listJobs(connection, {})
    let ms = 0
    vi.spyOn(performance, 'now').mockImplementation(() => ms += 40)
    expect(await committer.submit({ alone: true, run: (work) => operations.actMany(work, jobs, { type: 'remove' }) })).toEqual({ done: 3, refused: [], met: 3 })
    await close()
  })

  it('are each acted on once, however often they were listed', async () => {
    const name = freshName()
    const { committer, close } = testStore(name)
    await committer.submit(push('a', 1, { maxAttempts: 1 }))
    await committer.submit(settle(proofs(await committer.submit(pull(1))).map((held) => ({ ...held, event: { type: 'fail' as const, error: { name: 'E', message: 'x' }, owner: 'o', random: 0 } }))))
    const [dead] = (await stored(name)).dead
    expect(await committer.submit({ alone: true, run: (work) => operations.actMany(work, [{ ...dead!, state: 'active' }, dead!], { type: 'retry' }) })).toEqual({ done: 1, refused: [], met: 2 })
    expect(faults(await stored(name))).toEqual([])
    await close()
  })
})

describe('how long a commit may take', () => {
  it('is 10 s, and another for each 10 MB that it writes', async () => {
    const waits: number[] = []
    const connection = connect(freshName(), { factory: indexedDB, generation: () => 'g', after(ms) { waits.push(ms); return () => {} }, outdated() {} })
    const committer = createCommitter(connection, {
      client: 'page', strict: true, env: () => ({ now: 0, random: () => 0, token: () => 't', heard: false }),
      sleep: () => Promise.resolve(), committed() {}, health() {}, full() {}, relieve: () => Promise.resolve(),
    })
    await committer.submit(push('small'))
    await Promise.all([committer.submit({ ...push('large'), bytes: 50_000_000 }), committer.submit({ ...push('larger'), bytes: 200_000_000 })])
    connection.close()
    expect(waits).toEqual([10_000, 10_000, 260_000])
  })
})
