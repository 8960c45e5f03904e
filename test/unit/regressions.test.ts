/** Faults that were found once: they stay away. */
import { openDB } from 'idb'
import { expect, it, onTestFinished, vi } from 'vitest'
import { HoldfastError } from '../../src/core/errors.ts'
import type { Job } from '../../src/core/job.ts'
import { createLocal } from '../../src/door/local.ts'
import { createQueue, NetworkError } from '../../src/index.ts'
import { browserPlatform } from '../../src/platform/platform.ts'
import { handlerAttempt } from '../../src/runner/handler.ts'
import { createRunner, type Run, type RunEnding } from '../../src/runner/runner.ts'
import { listJobs } from '../../src/store/list.ts'
import { ProcessorState } from '../../src/engine/processor.ts'
import type { Locks } from '../../src/platform/locks.ts'
import * as operations from '../../src/store/operations.ts'
import { engineOf } from './support/engine.ts'
import { faults, forget, freshName, stored } from './support/database.ts'
import { withLocks } from './support/locks.ts'
import { newJob, proofs, pull, push, Q, settle, testStore } from './support/store.ts'
import { after, entryOf, tab, tabs, until } from './support/tabs.ts'

const complete = { type: 'complete' } as const
const fail = { type: 'fail', error: { name: 'Error', message: 'no' }, owner: 'page', random: 0 } as const
const DAY = 86_400_000

it('a large job that is retried keeps its data when the row it had ended in is pruned', async () => {
  let now = 1_800_000_000_000
  const { committer: c, close } = testStore('found-1', { now: () => now })
  await c.submit({ run: (work) => operations.push(work, Q, [{ ...newJob('a', 'BIG'), size: 20_000 }, newJob('b')]) })
  const claim = await c.submit(pull(2))
  await c.submit(settle(proofs(claim).map((held) => ({ ...held, event: complete }))))
  const big = claim.jobs.find(({ name }) => name === 'a')!
  await c.submit({ alone: true, run: (work) => operations.act(work, big.id, big.seq, { type: 'retry' }) })
  await c.submit({ run: (work) => operations.push(work, Q, Array.from({ length: 1500 }, () => newJob('c', 1, { priority: 5 }))) })
  now += 100_000
  await c.submit(settle(proofs(await c.submit(pull(1500))).map((held) => ({ ...held, event: complete }))))
  now += 100_000
  await c.submit({ alone: true, run: (work) => operations.pruneEnded(work, Q) })
  expect(faults(await stored('found-1'))).toEqual([])
  await close()
})

it('a call after a failed start is refused too: it does not hang', async () => {
  const queue = createQueue('found-2', { worker: () => { throw new Error('no worker here') } })
  await expect(queue.push(Q, 'x', 1)).rejects.toMatchObject({ code: 'WORKER_DIED' })
  expect(await Promise.race([queue.push(Q, 'x', 1).catch(() => 'refused'), after(1000).then(() => 'hangs')])).not.toBe('hangs')
})

it('a handler without network, in a queue that does not need it, does not spin', async () => {
  vi.stubGlobal('navigator', { onLine: false })
  const queue = await tab()
  let runs = 0
  await queue.process(Q, () => { runs++; throw new NetworkError('no') })
  await queue.push(Q, 'x', 1)
  await after(500)
  vi.unstubAllGlobals()
  expect(runs).toBeLessThan(5)
})

it('an urgent job overtakes those that are claimed ahead', { timeout: 30_000 }, async () => {
  const queue = await tab()
  let [slow, before] = [0, -1]
  await queue.process(Q, { quick: () => {}, slow: async () => { await after(50); slow++ }, urgent: () => { before = slow } })
  await queue.pushMany(Q, [...Array.from({ length: 3000 }, () => ({ name: 'quick', data: 0 })), ...Array.from({ length: 60 }, () => ({ name: 'slow', data: 0 }))])
  await until('slow ones run', () => slow >= 2, 10_000)
  await queue.push(Q, 'urgent', 0, { priority: 10 })
  await until('the urgent one has run', () => before >= 0, 10_000)
  expect(before).toBeLessThan(10)
})

it('a pause stops those that are claimed ahead', { timeout: 30_000 }, async () => {
  const queue = await tab()
  let slow = 0
  await queue.process(Q, { quick: () => {}, slow: async () => { await after(50); slow++ } })
  await queue.pushMany(Q, [...Array.from({ length: 3000 }, () => ({ name: 'quick', data: 0 })), ...Array.from({ length: 60 }, () => ({ name: 'slow', data: 0 }))])
  await until('slow ones run', () => slow >= 2, 10_000)
  await queue.pause(Q)
  const at = slow
  await after(1000)
  expect(slow - at).toBeLessThan(4)
})

it('a second tab gets its part of those that are claimed ahead', { timeout: 30_000 }, async () => {
  const { queues: [one, two] } = await tabs(2)
  let [first, second] = [0, 0]
  await one!.process(Q, { quick: () => {}, slow: async () => { await after(50); first++ } }, { concurrency: 2 })
  await one!.pushMany(Q, [...Array.from({ length: 3000 }, () => ({ name: 'quick', data: 0 })), ...Array.from({ length: 60 }, () => ({ name: 'slow', data: 0 }))])
  await until('slow ones run', () => first >= 2, 10_000)
  await two!.process(Q, { slow: async () => { await after(50); second++ } }, { concurrency: 2 })
  await after(1000)
  expect(second).toBeGreaterThan(5)
})

it('what ended more than a day ago is forgotten, however few they are', async () => {
  const { name, engine: { store: { committer } }, clock } = await engineOf('page')
  await committer.submit(push('a'))
  await committer.submit(settle(proofs(await committer.submit(pull(1))).map((held) => ({ ...held, event: complete }))))
  clock.sleep(48 * 3_600_000)
  for (let i = 0; i < 3; i++) await clock.advance(5_000)
  expect((await stored(name)).queues[0]?.counts.completed).toBe(0)
})

it('pruning keeps up with jobs that end one by one', { timeout: 30_000 }, async () => {
  const { name, engine: { store: { committer } }, clock } = await engineOf('page')
  for (let i = 0; i < 1600; i++) {
    await committer.submit(push('a'))
    await committer.submit(settle(proofs(await committer.submit(pull(1))).map((held) => ({ ...held, event: complete }))))
  }
  clock.sleep(120_000)
  for (let i = 0; i < 8; i++) await clock.advance(5_000)
  expect((await stored(name)).queues[0]?.counts.completed).toBeLessThanOrEqual(1000)
})

it('the steps of a removed job go with it', async () => {
  const { name, queues: [queue] } = await tabs()
  await queue!.process(Q, async (_job, ctx) => { await ctx.step('a', () => 1); throw new Error('x') })
  const id = await queue!.push(Q, 'x', 1)
  await until('it waits for its retry', async () => (await queue!.get(id))?.state === 'delayed')
  await queue!.remove(id)
  expect((await stored(name)).steps).toEqual([])
})

it('a stream of events ends when its queue is closed', async () => {
  const queue = await tab()
  const read = async (): Promise<string> => { for await (const event of queue.events()) void event; return 'ended' }
  const reading = read()
  await after(20)
  // This one begins as it is closed, before all of it is loaded.
  const late = read()
  await queue.close()
  expect(await late).toBe('ended')
  expect(await Promise.race([reading, after(3000).then(() => 'still waits')])).toBe('ended')
})

it('what the context offers can be taken out of it', async () => {
  const queue = await tab()
  await queue.process(Q, async (_job, { step, log }) => { log('x'); return step('a', () => 1) })
  expect(await queue.waitFor(await queue.push(Q, 'x', 1, { maxAttempts: 1 }))).toBe(1)
})

it('waitFor says of an id that was never given that there is no such job', async () => {
  const queue = await tab()
  await expect(queue.waitFor('019e0000-0000-7000-8000-00000000ffff')).rejects.toMatchObject({ code: 'NOT_FOUND', details: { pruned: false } })
})


it('a share that a dead tab has left holds nobody back', async () => {
  const name = freshName()
  onTestFinished(() => forget(name))
  const first = createQueue(name, { worker: false })
  await first.push(Q, 'x', 1)
  await first.close()
  const db = await openDB(`holdfast:${name}`)
  const meta = await db.get('meta', 'main') as { queue: object }
  // As of a tab that was killed between its last ending and its next claim.
  await db.put('meta', { ...meta, queue: { ...meta.queue, concurrency: 16, processors: { gone: { owner: 'page-gone', want: 16, has: 16, leased: 0, priority: 0 } } } })
  db.close()
  const queue = await (await entryOf(1))(name, { worker: false })
  onTestFinished(() => queue.close())
  await queue.process(Q, () => 'ran', { concurrency: 16 })
  const { jobs: [job] } = await queue.list()
  expect(await queue.waitFor(job!.id, { timeoutMs: 2000 })).toBe('ran')
})

it('a tab that closes leaves no share behind', async () => {
  const { name, queues: [one, two] } = await tabs(2)
  await one!.process(Q, () => 1, { concurrency: 4 })
  await one!.waitFor(await one!.push(Q, 'x', 1))
  await two!.queues()
  await one!.close()
  expect((await stored(name)).queues.map(({ processors }) => processors)).toEqual([{}])
})

it('a clock that is set back makes no retry wait for a year', async () => {
  let now = 1_800_000_000_000
  const YEAR = 365 * 86_400_000
  const name = freshName()
  onTestFinished(() => forget(name))
  const { committer: c, close } = testStore(name, { now: () => now })
  await c.submit(push('in a second', 1, { delayMs: 1000 }))
  await c.submit(push('at its hour', 1, { runAt: now + 1000 }))
  now -= YEAR
  await c.submit({ alone: true, run: operations.promoteDue })
  now += 1000
  await c.submit({ alone: true, run: operations.promoteDue })
  const rows = await stored(name)
  expect(rows.waiting.flatMap(({ jobs }) => jobs.map((job) => job.name))).toEqual(['in a second'])
  expect(rows.delayed.map((job) => job.name)).toEqual(['at its hour'])
  expect(faults(rows)).toEqual([])
  await close()
})

it('it does so too while the tab that does upkeep is frozen', async () => {
  const locks: Locks = { supported: true, hold: (lock) => lock.endsWith(':upkeep') ? new Promise(() => {}) : Promise.resolve(() => {}), isHeld: () => Promise.resolve(true), whenFree: () => () => {} }
  const { name, engine, clock } = await engineOf('page', locks)
  const now = clock.now.bind(clock)
  await engine.store.committer.submit(push('x', 1, { delayMs: 1000 }))
  clock.now = () => now() - 365 * DAY
  await clock.advance(20_000)
  expect((await stored(name)).delayed).toEqual([])
})

it('after a reset, what an old handler returns is nobody else\'s result', async () => {
  const queue = await tab()
  let finish = (_value: string): void => {}
  await queue.process(Q, { old: () => new Promise((resolve) => { finish = resolve }), new: () => 'by its own handler' }, { concurrency: 2 })
  await queue.push(Q, 'old', 1)
  await until('it runs', async () => (await queue.stats()).counts.active === 1)
  await queue.reset()
  const id = await queue.push(Q, 'new', 2)
  finish('by an old handler')
  expect(await queue.waitFor(id, { timeoutMs: 3000 })).toBe('by its own handler')
})

it('what cannot be stored ends its own job only, and with a marker', async () => {
  const queue = await tab()
  let deep: unknown = null
  for (let i = 0; i < 1500; i++) deep = { deep }
  await queue.process(Q, { good: () => 'good', deep: () => deep, odd: () => { throw Object.assign(new Error('odd'), { name: 'Cancel', reason: () => {} }) }, never: () => { throw Object.assign(new Error('never'), { name: 'Snooze', ms: NaN }) } }, { concurrency: 10 })
  const [good, bad, odd, never] = await queue.pushMany(Q, ['good', 'deep', 'odd', 'never'].map((name) => ({ name, data: 0, options: { maxAttempts: 1 } })))
  expect(await queue.waitFor(good!, { timeoutMs: 3000 })).toBe('good')
  expect(await queue.waitFor(bad!, { timeoutMs: 3000 })).toEqual({ unstorable: 'result is nested deeper than 500 levels' })
  await until('both have ended', async () => (await queue.stats()).counts.active === 0)
  expect(await queue.get(odd!)).toMatchObject({ state: 'cancelled', reason: 'odd' })
  expect(await queue.get(never!)).toMatchObject({ state: 'dead' })
})

it.each([600, 1500, 2600])('data that is %i levels deep is refused, and its neighbours are stored', async (levels) => {
  const queue = await tab()
  let deep: unknown = null
  for (let i = 0; i < levels; i++) deep = { deep }
  const [one, other, symbol, two] = await Promise.allSettled([queue.push(Q, 'n', 1), queue.push(Q, 'n', deep), queue.push(Q, Symbol('odd') as never, 1), queue.push(Q, 'n', 2)])
  expect([one, two]).toMatchObject([{ status: 'fulfilled' }, { status: 'fulfilled' }])
  expect([other, symbol]).toMatchObject([{ reason: { code: 'VALIDATION', details: { field: 'data' } } }, { reason: { code: 'VALIDATION' } }])
})

it.each(['constructor', '__proto__', 'toString', 'hasOwnProperty'])('a job may be named %s', async (name) => {
  const queue = await tab()
  await queue.process(Q, () => 'done')
  expect(await queue.waitFor(await queue.push(Q, name, 1), { timeoutMs: 3000 })).toBe('done')
  expect(await queue.verify()).toMatchObject({ ok: true, jobs: 1 })
})

it('a step that is asked for twice at once runs once, and a retried dead job does not repeat what was finished', async () => {
  const queue = await tab()
  let charges = 0
  let fails = true
  await queue.process(Q, async (_job, ctx) => {
    await Promise.all([1, 2].map(() => ctx.step('charge', () => ++charges)))
    if (fails) throw new Error('after the charge')
  })
  const id = await queue.push(Q, 'n', 1, { maxAttempts: 1 })
  await queue.waitFor(id, { timeoutMs: 3000 }).catch(() => {})
  fails = false
  await queue.retry(id)
  await queue.waitFor(id, { timeoutMs: 3000 })
  expect(charges).toBe(1)
})

it('an option that a retry says no to is no longer so', async () => {
  const queue = await tab()
  const id = await queue.push(Q, 'n', 1, { tags: ['a'], removeOnComplete: true })
  await queue.cancel(id)
  await queue.retry(id, { options: { tags: [], removeOnComplete: false } })
  const job = await queue.get(id)
  expect([job?.tags, job?.removeOnComplete]).toEqual([undefined, undefined])
})

it('jobs that turn out slow are not kept at hand: a retried one comes back in its place', { timeout: 20_000 }, async () => {
  const queue = await tab()
  const order: string[] = []
  let first = true
  await queue.process(Q, { first: () => { order.push('first'); if (first) { first = false; throw new Error('once') } }, slow: async () => { order.push('slow'); await after(50) } })
  await queue.pushMany(Q, [{ name: 'first', data: 0, options: { backoff: { type: 'fixed' as const, delayMs: 10, jitter: 0 } } }, ...Array.from({ length: 40 }, () => ({ name: 'slow', data: 0 }))])
  await until('the first has run twice', () => order.filter((name) => name === 'first').length === 2, 10_000)
  expect(order.length).toBeLessThan(25)
})

it('a job that moves while all are looked through is met once, and removed once', async () => {
  const queue = await tab()
  const id = await queue.push(Q, 'x', 1, { backoff: { delayMs: 60_000 } })
  const [job] = await queue.pull(Q)
  // Each look ends at once, so that the job moves between two of them.
  let now = performance.now()
  const clock = vi.spyOn(performance, 'now').mockImplementation(() => now += 50)
  onTestFinished(() => { clock.mockRestore() })
  const [listed, removed] = [queue.list(), queue.removeAll({ queue: Q })]
  await queue.fail(job!, new Error('no'))
  expect((await listed).jobs.map((one) => [one.id, one.state])).toEqual([[id, 'delayed']])
  expect((await removed).done).toBe(1)
  expect((await queue.stats()).counts).toMatchObject({ active: 0, delayed: 0 })
})

it('what is given back while others are stopped does not run after all', () => {
  const endings: RunEnding[] = []
  const started: string[] = []
  const runner = createRunner({
    clock: { now: () => 0, awake: () => 0, parseDate: () => NaN, after: () => () => {} }, task() {}, report() {}, heartbeat: () => Promise.resolve(), steps: () => Promise.resolve({}), storeStep: () => Promise.resolve(),
    // As the engine does to one that holds far more than it will do soon.
    ended(list) { endings.push(...list); runner.giveBack() },
  }, ({ key }) => { started.push(key); return { event: complete } })
  runner.run(0, Array.from({ length: 200 }, (_, seq) => ({ box: 1, token: 't', job: { seq, timeoutMs: 1000 } as never })))
  for (const key of runner.keys()) runner.abort(key, new HoldfastError('STALE_LEASE', 'lost'))
  runner.run(1000, [])
  expect(started).toEqual([])
  expect(new Set(endings.map(({ key }) => key)).size).toBe(endings.length)
})

it('what a handler in the engine\'s own realm does to its job is not stored with the job', async () => {
  const { name, engine, clock } = await engineOf('worker')
  const local = createLocal(engine, 'worker', { ...browserPlatform(), clock }, { names: [], call: () => Promise.reject(new Error('no hook')) })
  const seen: unknown[] = []
  await local.serve({ queue: Q, concurrency: 1, execute: handlerAttempt(() => ({ data, metadata }: { data: { list?: number[] }; metadata: { call?: unknown } }) => {
    seen.push(structuredClone(data))
    data.list!.push(9)
    delete data.list
    metadata.call = () => {}
    throw new Error('once more')
  }) })
  await engine.store.committer.submit(push('x', { list: [1] }, { metadata: {}, maxAttempts: 2, backoff: { type: 'fixed', delayMs: 10, jitter: 0 } }))
  for (let n = 0; n < 5; n++) await clock.advance(1000)
  expect(seen).toEqual([{ list: [1] }, { list: [1] }])
  expect((await stored(name)).dead).toMatchObject([{ data: { list: [1] }, metadata: {} }])
})

it('an engine of the page that cannot start leaves nothing open', { timeout: 30_000 }, async () => {
  const locks = withLocks()
  const open = new Set<unknown>()
  vi.stubGlobal('BroadcastChannel', class extends BroadcastChannel { constructor(name: string) { super(name); open.add(this) } override close(): void { open.delete(this); super.close() } })
  const broken = vi.spyOn(indexedDB, 'open').mockImplementation(() => { throw new DOMException('no', 'SecurityError') })
  onTestFinished(() => { broken.mockRestore() })
  const queue = createQueue(freshName(), { worker: false })
  await expect(queue.push(Q, 'x', 1)).rejects.toMatchObject({ code: 'STORAGE' })
  await queue.close()
  await until('all is closed', () => open.size === 0 && locks.names.length === 0)
})

it('handlers that are refused refuse nothing else', async () => {
  const name = freshName()
  onTestFinished(() => forget(name))
  const queue = createQueue(name, { worker: false })
  const refused = queue.process(Q, () => 1, { concurrency: 0 }).catch(({ code }: HoldfastError) => code)
  const [first, second] = await Promise.allSettled([queue.push(Q, 'x', 1), after(20).then(() => queue.push(Q, 'x', 2))])
  expect([await refused, first.status, second.status]).toEqual(['VALIDATION', 'fulfilled', 'fulfilled'])
  await queue.close()
})

it('an end that cannot be stored leaves no other waiting, nor one that nobody holds', async () => {
  const { engine, clock } = await engineOf('page')
  const settledKeys: string[] = []
  const runs: Run[] = []
  await engine.processors.add({ id: 'p', queue: Q, owner: 'page', runs: { kind: 'handlers' }, concurrency: 2, port: { run(_slots, more) { runs.push(...more) }, abort() {}, giveBack() {}, settled(keys) { settledKeys.push(...keys) } } })
  await Promise.all([1, 2].map(() => engine.store.committer.submit(push('x'))))
  await clock.advance(1000)
  const [one, two] = runs.map(({ token, job }) => `${token}:${job.seq}`) as [string, string]
  engine.processors.ended('p', [{ key: one, event: { type: 'complete', result: () => {} }, ms: 1 }, { key: two, event: complete, ms: 1 }, { key: 'gone:7', event: complete, ms: 1 }])
  await clock.advance(2000)
  expect(settledKeys.sort()).toEqual([one, two, 'gone:7'].sort())
  await engine.processors.idle('p')
})

it('an engine that is refused its options leaves no listener behind', async () => {
  const listening = new Set<unknown>()
  onTestFinished(() => { vi.unstubAllGlobals() })
  // Those of the page itself end with a signal.
  vi.stubGlobal('addEventListener', (_type: string, listener: unknown, options?: object) => { if (!options) listening.add(listener) })
  vi.stubGlobal('removeEventListener', (_type: string, listener: unknown) => { listening.delete(listener) })
  const queue = createQueue(freshName(), { worker: false, network: { probe: 'ftp://nowhere' } })
  for (let n = 0; n < 3; n++) await expect(queue.queues()).rejects.toMatchObject({ code: 'VALIDATION' })
  expect(listening.size).toBe(0)
  await queue.close()
})

it('who waits for a job does not look for it after close', async () => {
  const { engine, clock } = await engineOf('page')
  await engine.store.committer.submit(push('x'))
  const [{ id }] = (await listJobs(engine.store.connection, {})).jobs as [Job]
  const waiting = engine.waitFor(id, new AbortController().signal).catch((error: HoldfastError) => error.code)
  await clock.advance(3000)
  await engine.close()
  expect(await Promise.race([waiting, after(100).then(() => 'waits')])).toBe('CLOSED')
})

it('a claim ends some hundreds of jobs that came too late, no more, and says that there are others', async () => {
  let now = 1_800_000_000_000
  const name = freshName()
  onTestFinished(() => forget(name))
  const { committer: c, heard, close } = testStore(name, { now: () => now })
  await c.submit({ run: (work) => operations.push(work, Q, [...Array.from({ length: 1200 }, () => newJob('late', 1, { ttlMs: 1000 })), newJob('fresh')]) })
  now += 2000
  for (let n = 0; n < 2; n++) {
    expect(await c.submit(pull(5))).toMatchObject({ jobs: [], more: true })
    expect(heard.at(-1)?.wakes.has(Q)).toBe(true)
  }
  expect((await stored(name)).queues[0]!.counts.dead).toBeLessThan(1100)
  expect(await c.submit(pull(5))).toMatchObject({ jobs: [{ name: 'fresh' }], more: false })
  expect(faults(await stored(name))).toEqual([])
  await close()
})

it('a pull finds what waits behind many jobs that came too late', async () => {
  const queue = await tab()
  await queue.pushMany(Q, [...Array.from({ length: 1200 }, () => ({ name: 'late', data: 1, options: { ttlMs: 20 } })), { name: 'fresh', data: 1 }])
  const wall = Date.now()
  vi.spyOn(Date, 'now').mockImplementation(() => wall + 1000)
  onTestFinished(() => { vi.restoreAllMocks() })
  expect(await queue.pull(Q)).toMatchObject([{ name: 'fresh' }])
})

it('a clock that was set back keeps nothing from being forgotten', async () => {
  let now = 1_800_000_000_000 + 365 * DAY
  const name = freshName()
  onTestFinished(() => forget(name))
  const { committer: c, close } = testStore(name, { now: () => now })
  const end = async (event: operations.Ending['event']): Promise<void> => {
    await c.submit({ run: (work) => operations.push(work, Q, Array.from({ length: 1000 }, () => newJob('a', 1, { maxAttempts: 1 }))) })
    await c.submit(settle(proofs(await c.submit(pull(1000))).map((held) => ({ ...held, event }))))
  }
  await end(fail)
  await end(complete)
  now -= 365 * DAY
  await end(complete)
  now += 2 * DAY
  await end(complete)
  while (await c.submit({ alone: true, run: (work) => operations.pruneEnded(work, Q) })) { /* more */ }
  expect((await stored(name)).queues[0]!.counts.completed).toBe(1000)
  for (let n = 0, after = -1; n < 25; n++) {
    if (n === 12) { expect((await stored(name)).queues[0]!.counts.dead).toBe(1000); now += 91 * DAY }
    after = (await c.submit({ alone: true, run: (work) => operations.pruneDead(work, Q, after) })).after
  }
  expect((await stored(name)).queues[0]!.counts.dead).toBe(0)
  await close()
})

it('old dead jobs are forgotten behind young ones that were pushed before them', async () => {
  let now = 1_800_000_000_000
  const name = freshName()
  onTestFinished(() => forget(name))
  const { committer: c, close } = testStore(name, { now: () => now })
  const die = async (count: number): Promise<void> => { await c.submit(settle(proofs(await c.submit(pull(count))).map((held) => ({ ...held, event: fail })))) }
  await c.submit({ run: (work) => operations.push(work, Q, Array.from({ length: 160 }, () => newJob('a', 1, { maxAttempts: 1 }))) })
  await die(160)
  now += 95 * DAY
  const { dead } = await stored(name)
  for (let met = 0; met < 150;) met += (await c.submit({ alone: true, run: (work) => operations.actMany(work, dead.slice(met, 150), { type: 'retry' }) })).met
  await die(150)
  for (let n = 0, after = -1; n < 3; n++) after = (await c.submit({ alone: true, run: (work) => operations.pruneDead(work, Q, after) })).after
  expect((await stored(name)).dead).toHaveLength(150)
  expect(faults(await stored(name))).toEqual([])
  await close()
})

it('what belongs to one job of a lease goes when that ends', async () => {
  const name = freshName()
  onTestFinished(() => forget(name))
  const { committer: c, close } = testStore(name)
  await c.submit({ run: (work) => operations.push(work, Q, [newJob('a'), newJob('b')]) })
  const [a, b] = proofs(await c.submit(pull(2)))
  for (const held of [a!, b!]) {
    await c.submit({ run: (work) => operations.report(work, held, { progress: 5 }) })
    await c.submit({ run: (work) => operations.storeStep(work, held, 'step', 1) })
  }
  await c.submit(settle([{ ...a!, event: complete }]))
  const [lease] = (await stored(name)).leases
  expect([lease?.reports, lease?.beats, lease?.steps].map((part) => Array.isArray(part) ? part.map(String) : Object.keys(part ?? {}))).toEqual([[`${b!.seq}`], [`${b!.seq}`], [`${b!.seq}`]])
  await close()
})

it('a lane forgets a priority that nobody waits with any more', async () => {
  const name = freshName()
  onTestFinished(() => forget(name))
  const { committer: c, close } = testStore(name)
  for (const priority of [5, 1, 2, 3, 3]) await c.submit(push('a', priority, { priority }))
  const jobs = (await stored(name)).waiting.flatMap((page) => page.jobs)
  const cancel = (job: typeof jobs[number]): Promise<unknown> => c.submit({ alone: true, run: (work) => operations.act(work, job.id, job.seq, { type: 'cancel', reason: 'no' }) })
  for (const data of [1, 2]) await cancel(jobs.find((job) => job.data === data)!)
  await cancel(jobs.find((job) => job.data === 3)!)
  expect((await stored(name)).queues[0]!.lanes['a']!.ranks).toEqual([-5, -3])
  expect(faults(await stored(name))).toEqual([])
  await close()
})

it('what was to expire, and is cancelled or removed first, leaves no note', async () => {
  const { name, queues: [queue] } = await tabs()
  const [one, other] = await queue!.pushMany(Q, [0, 1].map((data) => ({ name: 'x', data, options: { ttlMs: 3_600_000 } })))
  await queue!.push(Q, 'x', 2, { ttlMs: 3_600_000, removeOnComplete: true })
  await queue!.cancel(one!)
  await queue!.remove(other!)
  await queue!.ack((await queue!.pull(Q))[0]!)
  expect((await stored(name)).expiries).toEqual([])
})

it('a processor forgets the leases that are over', async () => {
  const hold = vi.spyOn(ProcessorState.prototype, 'hold')
  onTestFinished(() => { hold.mockRestore() })
  const { engine, clock } = await engineOf('page')
  await engine.processors.add({ id: 'p', queue: Q, owner: 'page', runs: { kind: 'handlers' }, concurrency: 1, port: { run(_slots, runs) { engine.processors.ended('p', runs.map(({ token, job }) => ({ key: `${token}:${job.seq}`, event: complete, ms: 1 }))) }, abort() {}, giveBack() {}, settled() {} } })
  for (let i = 0; i < 10; i++) { await engine.store.committer.submit(push('x')); await clock.advance(100) }
  const [processor] = hold.mock.contexts as ProcessorState[]
  expect(hold.mock.calls.length).toBeGreaterThan(5)
  expect(processor!.known.size).toBe(0)
})

it('without locks, what a tab that is gone has left goes too, and what one that lives has stays', { timeout: 30_000 }, async () => {
  const { name, engine: { store: { committer }, processors }, clock } = await engineOf('page')
  await processors.add({ id: 'p', queue: Q, owner: 'page', runs: { kind: 'handlers' }, concurrency: 1, port: { run() {}, abort() {}, giveBack() {}, settled() {} } })
  await committer.submit({ run: (work) => operations.beat(work, ['gone']) })
  await committer.submit({ run: async (work) => { const row = await work.queue(Q); work.putQueue({ ...row, processors: { ...row.processors, gone: { owner: 'gone', want: 1, has: 1, leased: 0, priority: 0 } } }) } })
  for (let n = 0; n < 65; n++) await clock.advance(5000)
  const { owners, queues: [row] } = await stored(name)
  expect(owners.map(({ owner }) => owner)).toEqual(['page'])
  expect(Object.keys(row!.processors)).not.toContain('gone')
})
