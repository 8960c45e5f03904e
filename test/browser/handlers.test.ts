/** What a handler can say and is told, and what a person can do to a job. */
import { afterEach, expect, test } from 'vitest'
import { Cancel, RetryAfter, Snooze, Unrecoverable, type Context, type Queue, type QueueEvent } from 'holdfast'
import { closeAll, freshName, openTab, until } from './tabs.ts'

afterEach(closeAll)

const open = (): Promise<Queue> => openTab(0, freshName())
const sleep = (ms: number): Promise<void> => new Promise((resolve) => { setTimeout(resolve, ms) })
const state = async (queue: Queue, id: string): Promise<string | undefined> => (await queue.get(id))?.state

test('a handler reports progress and logs, which are kept with its job', async () => {
  const queue = await open()
  const heard: QueueEvent[] = []
  queue.on('*', (event) => heard.push(event))
  let finish = (): void => {}
  await queue.process('q', async (_job, ctx) => {
    ctx.progress(40, 'nearly half')
    ctx.log('one')
    await new Promise<void>((resolve) => { finish = resolve })
    ctx.log('two')
  })
  const id = await queue.push('q', 'n', 0)
  await until(async () => (await queue.get(id))?.progress === 40)
  expect(await queue.get(id)).toMatchObject({ state: 'active', progressMessage: 'nearly half', logs: [{ message: 'one' }] })
  finish()
  await queue.waitFor(id)
  expect((await queue.get(id))?.logs?.map((line) => line.message)).toEqual(['one', 'two'])
  expect(heard.map((event) => event.type)).toContain('progress')
})

test('finished steps are not run again by the next attempt', async () => {
  const queue = await open()
  const calls: string[] = []
  await queue.process('q', async (_job, ctx) => {
    const charged = await ctx.step('charge', () => { calls.push('charge'); return { receipt: 7 } })
    await ctx.step('mail', () => { calls.push('mail'); if (calls.length < 3) throw new Error('no mail') })
    return charged
  })
  const id = await queue.push('q', 'n', 0, { backoff: { type: 'fixed', delayMs: 20 } })
  expect(await queue.waitFor(id)).toEqual({ receipt: 7 })
  expect(calls).toEqual(['charge', 'mail', 'mail'])
})

test('a timeout aborts the signal; the failure says so', async () => {
  const queue = await open()
  let reason: unknown
  await queue.process('q', (_job, { signal }: Context) => new Promise((_resolve, reject) => {
    signal.addEventListener('abort', () => { reason = signal.reason; reject(new Error('stopped')) })
  }))
  const id = await queue.push('q', 'n', 0, { timeoutMs: 60, maxAttempts: 1 })
  await expect(queue.waitFor(id)).rejects.toThrow('took more than 60 ms')
  expect(reason).toMatchObject({ code: 'TIMEOUT' })
})

test('cancel of a running job aborts its signal, and the job ends cancelled', async () => {
  const queue = await open()
  let aborted = false
  await queue.process('q', (_job, { signal }) => new Promise<void>((resolve) => { signal.addEventListener('abort', () => { aborted = true; resolve() }) }))
  const id = await queue.push('q', 'n', 0)
  await until(async () => await state(queue, id) === 'active')
  await expect(queue.cancel(id, { ifNotStarted: true })).rejects.toMatchObject({ code: 'INVALID_STATE' })
  expect(await queue.cancel(id, { reason: 'changed my mind' })).toEqual({ was: 'active' })
  await expect(queue.waitFor(id)).rejects.toThrow('changed my mind')
  expect(aborted).toBe(true)
  expect(await queue.get(id)).toMatchObject({ state: 'cancelled', reason: 'changed my mind' })
})

test('what a handler throws decides: dead now, after a while, later, or cancelled', async () => {
  const queue = await open()
  const runs: number[] = []
  let snoozed = false
  await queue.process('q', {
    unrecoverable: () => { throw new Unrecoverable('never') },
    after: () => { runs.push(performance.now()); if (runs.length === 1) throw new RetryAfter(150) },
    snooze: () => { if (snoozed) return 'rested'; snoozed = true; throw new Snooze(50) },
    cancel: () => { throw new Cancel('not needed') },
  })
  const [unrecoverable, after, snooze, cancel] = await queue.pushMany('q', ['unrecoverable', 'after', 'snooze', 'cancel'].map((name) => ({ name, data: 0 })))
  await expect(queue.waitFor(unrecoverable!)).rejects.toThrow('never')
  expect(await queue.get(unrecoverable!)).toMatchObject({ state: 'dead', reason: 'unrecoverable', failures: 1 })
  await queue.waitFor(after!)
  expect(runs[1]! - runs[0]!).toBeGreaterThanOrEqual(145)
  expect(await queue.waitFor(snooze!)).toBe('rested')
  expect(await queue.get(snooze!)).toMatchObject({ failures: 0 })
  await expect(queue.waitFor(cancel!)).rejects.toThrow('not needed')
})

test('a result that cannot be stored becomes a marker: the work was done', async () => {
  const queue = await open()
  const told = new Map<string | undefined, string | undefined>()
  queue.on('completed', ({ name, error }) => { told.set(name, error && `${error.name}: ${error.message}`) })
  await queue.process('q', { word: () => ({ unstorable: 'no shelf' }), key: () => ({ ['k'.repeat(50_000)]: () => {} }), fn: () => ({ nested: { callback() {} } }), big: () => 'x'.repeat(3_000_000), list: () => Array.from({ length: 400_000 }, (_, i) => i) })
  const [fn, big, list] = await queue.pushMany('q', ['fn', 'big', 'list', 'word', 'key'].map((name) => ({ name, data: 0 })))
  expect(await queue.waitFor(fn!)).toEqual({ unstorable: expect.stringContaining('result.nested.callback is a function') as string })
  expect(await queue.waitFor(big!)).toEqual({ unstorable: expect.stringContaining('result must be at most 1048576 bytes') as string })
  expect(await queue.waitFor(list!)).toEqual({ unstorable: expect.stringContaining('result must be at most 1048576 bytes') as string })
  await expect.poll(() => told.size).toBe(5)
  expect(told.get('fn')).toBe('ValidationError: result.nested.callback is a function')
  expect(told.get('big')).toMatch(/^ValidationError: result must be at most/)
  expect(told.get('word')).toBeUndefined()
  expect(told.get('key')!.length).toBeLessThan(8300)
})

test('large and binary data come back whole, also after a retry', async () => {
  const queue = await open()
  const text = 'é'.repeat(100_000)
  const id = await queue.push('q', 'n', { text, blob: new Blob(['salt', 'water']), bytes: new Uint8Array([1, 2, 3]) }, { maxAttempts: 2, backoff: { type: 'fixed', delayMs: 20 } })
  const seen: unknown[] = []
  await queue.process('q', async (job, ctx) => {
    const { text: got, blob, bytes } = job.data as { text: string; blob: Blob; bytes: Uint8Array }
    seen.push([got === text, await blob.text(), [...bytes]])
    if (ctx.attempt === 1) throw new Error('again')
  })
  await queue.waitFor(id)
  expect(seen).toEqual([[true, 'saltwater', [1, 2, 3]], [true, 'saltwater', [1, 2, 3]]])
  expect(await queue.get(id)).toMatchObject({ data: { text } })
})

test('priority, lifo, delay, promote, update, pause, release and retry', async () => {
  const queue = await open()
  const names = async (count: number): Promise<string[]> => (await queue.pull('q', count)).map((job) => job.name)
  const push = (name: string, options?: object): Promise<string> => queue.push('q', name, 0, options)
  await push('a')
  await push('b')
  await push('urgent', { priority: 10 })
  await push('front', { lifo: true })
  const later = await push('later', { delayMs: 3_600_000 })
  const never = await push('raised')
  await queue.update(never, { priority: 5, data: { edited: true } })
  await queue.promote(later)
  await queue.pause('q')
  expect(await names(9)).toEqual([])
  await queue.resume('q')
  const jobs = await queue.pull('q', 3)
  expect(jobs.map((job) => job.name)).toEqual(['urgent', 'raised', 'front'])
  expect(jobs[1]!.data).toEqual({ edited: true })
  await queue.release(jobs[2]!)
  await expect(queue.ack(jobs[2]!)).rejects.toMatchObject({ code: 'STALE_LEASE' })
  expect(await names(9)).toEqual(['front', 'a', 'b', 'later'])
  expect(await queue.fail(jobs[0]!, new Error('x'))).toMatchObject({ willRetry: true })
  await queue.cancel(jobs[0]!.id)
  await queue.retry(jobs[0]!.id, { data: 'edited', options: { priority: 1 } })
  expect(await queue.get(jobs[0]!.id)).toMatchObject({ state: 'waiting', data: 'edited', failures: 0, priority: 1, revision: 1 })
})

test('a job that was not started in time dies as expired, a timed pause ends by itself', async () => {
  const queue = await open()
  const id = await queue.push('slow', 'n', 0, { ttlMs: 150 })
  await expect(queue.waitFor(id)).rejects.toThrow('expired')
  await queue.pause('q', { until: Date.now() + 200 })
  const ran = queue.process('q', () => performance.now())
  const start = performance.now()
  const end = await queue.waitFor(await queue.push('q', 'n', 0))
  expect(Number(end) - start).toBeGreaterThan(100)
  await (await ran).stop()
})

test('dead letters are grouped by fingerprint and retried together', async () => {
  const queue = await open()
  let broken = true
  await queue.process('q', (job) => { if (broken) throw new Error(`order ${String(job.data)} has no price`) })
  const ids = await queue.pushMany('q', [1, 2, 3].map((data) => ({ name: 'n', data, options: { maxAttempts: 1 } })))
  await Promise.all(ids.map((id) => queue.waitFor(id).catch(() => {})))
  const { jobs } = await queue.list({ queue: 'q', state: 'dead' })
  expect(new Set(jobs.map((job) => job.fingerprint)).size).toBe(1)
  broken = false
  expect(await queue.retryAll({ fingerprint: jobs[0]!.fingerprint! })).toEqual({ done: 3, refused: [] })
  await Promise.all(ids.map((id) => queue.waitFor(id)))
  expect(await queue.removeAll({ queue: 'q' })).toEqual({ done: 3, refused: [] })
  expect((await queue.stats()).counts).toEqual({ waiting: 0, delayed: 0, blocked: 0, active: 0, completed: 0, cancelled: 0, dead: 0 })
})

test('pull waits for a job, heartbeat keeps its lease, bulk ack names what it refuses', async () => {
  const queue = await open()
  const pulled = queue.pull('q', 2, { waitMs: 5000 })
  await sleep(100)
  await queue.push('q', 'n', 1)
  const [job] = await pulled
  await queue.heartbeat(job!)
  await queue.progress(job!, 50)
  expect(await queue.ackMany([job!, 'not-mine'])).toEqual({ done: 1, refused: [{ id: 'not-mine', message: expect.stringContaining('No lease') as string }] })
})

test('the engine in this realm, and handlers in an app-owned worker', async () => {
  const here = await openTab(0, freshName(), { worker: false })
  await here.process('q', (job) => job.data)
  expect(await here.waitFor(await here.push('q', 'n', 'here'))).toBe('here')
  const there = await openTab(0, freshName(), { worker: () => new Worker(new URL('./serving-worker.ts', import.meta.url), { type: 'module' }) })
  expect(await there.waitFor(await there.push('q', 'double', 21))).toBe(42)
  const parents = await Promise.all([1, 2].map((n) => there.push('q', 'double', n)))
  expect(await there.waitFor(await there.push('q', 'sum', 0, { dependsOn: parents }))).toBe(6)
  await expect(there.waitFor(await there.push('q', 'fail', 0, { maxAttempts: 1 }))).rejects.toThrow('in the worker')
  await expect(there.waitFor(await there.push('q', 'large', 0, { maxAttempts: 1 }))).rejects.toThrow('step must be at most 1048576 bytes')
})

test('a worker that cannot start: the next way is taken and the causes are named', async () => {
  const Real = globalThis.Worker
  globalThis.Worker = class extends Real { constructor() { super('/no-such-worker.js', { type: 'module' }) } }
  try {
    const causes: string[] = []
    const name = freshName()
    const queue = await openTab(0, name)
    queue.on('degraded', (event) => causes.push(String(event.message)))
    expect(await queue.push('q', 'n', 0)).toHaveLength(36)
    expect((await queue.stats()).counts.waiting).toBe(1)
  } finally { globalThis.Worker = Real }
})

test('events as a stream', async () => {
  const queue = await open()
  const stop = new AbortController()
  const seen: string[] = []
  const reading = (async () => { for await (const event of queue.events({ queue: 'q', types: ['pushed', 'completed'], signal: stop.signal })) seen.push(event.type) })()
  await queue.push('q', 'n', 0)
  const [job] = await queue.pull('q')
  await queue.ack(job!)
  await until(() => seen.length === 2)
  stop.abort()
  await reading
  expect(seen).toEqual(['pushed', 'completed'])
})

test('close gives back what has not started, and waits for what runs', async () => {
  const name = freshName()
  const queue = await openTab(1, name)
  let done = 0
  await queue.process('q', async () => { await sleep(50); done++ })
  await queue.pushMany('q', Array.from({ length: 20 }, () => ({ name: 'n', data: 0 })))
  await until(() => done >= 3)
  await queue.close({ drainMs: 2000 })
  const two = await openTab(2, name)
  const { counts } = await two.stats('q')
  expect(counts).toMatchObject({ active: 0, completed: done, waiting: 20 - done })
  expect((await two.list({ queue: 'q' })).jobs.every((job) => job.stalls === 0)).toBe(true)
})

test('a handler that still runs after close is not started elsewhere, and says how it ended; then nothing is left of its page', async () => {
  const name = freshName()
  const [one, two] = [await openTab(1, name), await openTab(2, name)]
  let runs = 0
  const handler = async (): Promise<string> => { runs++; await sleep(4000); return 'done' }
  await one.process('q', handler)
  const id = await one.push('q', 'n', 0)
  await until(() => runs === 1)
  await one.close()
  expect((await two.get(id))?.state).toBe('active')
  await two.process('q', handler)
  expect(await two.waitFor(id, { timeoutMs: 8000 })).toBe('done')
  expect([runs, (await two.get(id))?.stalls]).toEqual([1, 0])
  await two.close()
  await until(async () => (await navigator.locks.query()).held?.every((lock) => !lock.name?.startsWith(`holdfast:${name}:`)) === true)
})
