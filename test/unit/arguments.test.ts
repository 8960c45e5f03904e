/** What the handle makes of arguments that make no sense: each is refused by name, and changes nothing. */
import { describe, expect, it, onTestFinished, vi } from 'vitest'
import { openQueue } from '../../src/index.ts'
import type { HoldfastError } from '../../src/core/errors.ts'
import type { Queue } from '../../src/queue.ts'
import { after, tab, until } from './support/tabs.ts'

const Q = 'emails'
const URL = 'https://a.example/x'
/** Far from now: nothing is sent. */
const LATER = { delayMs: 3_600_000 }

const fieldOf = async (call: () => unknown): Promise<unknown> => {
  try { await Promise.race([call(), after(1000).then(() => { throw new Error('no answer') })]) } catch (error) {
    const { code, details } = error as HoldfastError
    return code === 'VALIDATION' ? details['field'] : error
  }
  return 'accepted'
}
const detached = (): Uint8Array<ArrayBuffer> => {
  const bytes = new Uint8Array(4)
  structuredClone(bytes.buffer, { transfer: [bytes.buffer] })
  return bytes
}
const rows: ReadonlyArray<readonly [field: string, what: string, call: (queue: Queue) => unknown]> = [
  ['listener', 'no listener', (queue) => queue.on('dead', undefined as never)],
  ['options.types', 'types that are no list', (queue) => queue.events({ types: 'completed' as never })[Symbol.asyncIterator]().next()],
  ['options.types[1]', 'a type that there is not', (queue) => queue.events({ types: ['dead', 'complete' as never] })[Symbol.asyncIterator]().next()],
  ['options.queue', 'no name of a queue', (queue) => queue.events({ queue: 'a b' })[Symbol.asyncIterator]().next()],
  ['options.queu', 'an unknown option of events', (queue) => queue.events({ queu: 'x' } as never)[Symbol.asyncIterator]().next()],
  ['options.signal', 'no signal of events', (queue) => queue.events({ signal: {} as never })[Symbol.asyncIterator]().next()],
  ['options.timeout', 'an unknown option of waitFor', async (queue) => queue.waitFor(await queue.push('q', 'n', 1), { timeout: 100 } as never)],
  ['options', 'no options of waitFor', async (queue) => queue.waitFor(await queue.push('q', 'n', 1), 7 as never)],
  ...[Number.NaN, 'abc', -1, 0, null].map((ms) => ['options.timeoutMs', `waitFor for ${ms} ms`, async (queue: Queue) => queue.waitFor(await queue.push('q', 'n', 1), { timeoutMs: ms as never })] as const),
  ['options.signal', 'a controller in place of its signal', async (queue) => queue.waitFor(await queue.push('q', 'n', 1), { signal: new AbortController() as never })],
  ['options.drain', 'an unknown option of close', (queue) => queue.close({ drain: 7 } as never)],
  ...[Number.NaN, 'abc', -1].map((ms) => ['options.drainMs', `close within ${ms} ms`, (queue: Queue) => queue.close({ drainMs: ms as never })] as const),
  ['options', 'no options of close', (queue) => queue.close(null as never)],
  ['jobs', 'no list to ack', (queue) => queue.ackMany('x' as never)],
  ['jobs[1]', 'no job in the list to ack', (queue) => queue.ackMany(['x', null as never])],
  ['job', 'no job to ack', (queue) => queue.ack(undefined as never)],
  ['job', 'no job to fail', (queue) => queue.fail(7 as never, 'x')],
  ['queue', 'no queue, and nothing to push', (queue) => queue.pushMany('a b', [])],
  ['items[1]', 'a hole among the items', (queue) => queue.pushMany('q', Object.assign([{ name: 'n', data: new Date() }], { 2: { name: 'n', data: 2 } }))],
  ['queue', 'a function for a queue', (queue) => queue.push((() => {}) as never, 'n', 0)],
  ['id', 'a symbol for an id', (queue) => queue.get(Symbol('x') as never)],
  ['options', 'a function among the options of pull', (queue) => queue.pull('q', 1, { a() {} } as never)],
  ['data', 'a Proxy among data that no JSON says', (queue) => queue.push('q', 'n', { at: new Date(), proxy: new Proxy({}, {}) })],
  ['data', 'data 600 levels deep', (queue) => { let data = {}; for (let i = 0; i < 600; i++) data = { data, at: new Date(0) }; return queue.push('q', 'n', data) }],
  ['options', 'a function among the options of process', (queue) => queue.process('q', () => {}, { concurrency() {} } as never)],
  ['queue', 'a symbol for the queue to process', (queue) => queue.process(Symbol('x') as never, () => {})],
  ['percent', 'a function for progress', async (queue) => { await queue.push('q', 'n', 1); const [job] = await queue.pull('q'); await queue.progress(job!, (() => {}) as never) }],
  ['ms', 'a symbol for a while', async (queue) => { await queue.push('q', 'n', 1); const [job] = await queue.pull('q'); await queue.snooze(job!, Symbol('x') as never) }],
  ['init', 'no init', (queue) => queue.fetch(URL, 7 as never, LATER)],
  ['options', 'no options of fetch', (queue) => queue.fetch(URL, {}, 7 as never)],
  ...[7, null, ['POST']].map((method) => ['init.method', `the method ${JSON.stringify(method)}`, (queue: Queue) => queue.fetch(URL, { method: method as never }, LATER)] as const),
  ['init.headers', 'headers that are none', (queue) => queue.fetch(URL, { headers: 7 as never }, LATER)],
  ['init.headers["x"]', 'a header that is an object', (queue) => queue.fetch(URL, { headers: { x: { a: 1 } as never } }, LATER)],
  ['init.headers', 'three parts of a header', (queue) => queue.fetch(URL, { headers: [['a', 'b', 'c'] as never] }, LATER)],
  ['options.allowStoredCredentials', 'yes', (queue) => queue.fetch(URL, {}, { ...LATER, allowStoredCredentials: 'yes' as never })],
  ['options.okStatuses[1]', 'a redirect', (queue) => queue.fetch(URL, {}, { ...LATER, okStatuses: [304, 302] })],
  ['options.idempotency', 'null', (queue) => queue.fetch(URL, {}, { ...LATER, idempotency: null as never })],
  ['options.idempotency.header', 'a key as content type', (queue) => queue.fetch(URL, { json: 1 }, { ...LATER, idempotency: { header: 'Content-Type' } })],
  ['init.body', 'bytes that were given away', (queue) => queue.fetch(URL, { body: detached() }, LATER)],
  ['init.json', 'a Map for JSON', (queue) => queue.fetch(URL, { json: new Map() }, LATER)],
  ['init.json', 'a Set within JSON', (queue) => queue.fetch(URL, { json: { deep: [new Set()] } }, LATER)],
  ['init.json', 'a function within JSON', (queue) => queue.fetch(URL, { json: { f() {} } }, LATER)],
  ['filter.fingerprint', 'a filter of removeAll that says nothing', (queue) => queue.removeAll({ fingerprint: undefined as never })],
  ['filter.queue', 'a filter of retryAll that says nothing', (queue) => queue.retryAll({ queue: undefined as never })],
  ...[7, [], null].map((options) => ['options', `openQueue with ${JSON.stringify(options)}`, () => openQueue('x', options as never)] as const),
  ...[0, '', null].map((worker) => ['options.worker', `the worker ${JSON.stringify(worker)}`, () => openQueue('x', { worker: worker as never })] as const),
  ['options.http.beforeSend', '0 for a hook', () => openQueue('x', { worker: false, http: { beforeSend: 0 as never } })],
]

it.each(rows)('%s: %s', async (field, _what, call) => {
  const queue = await tab()
  expect(await fieldOf(() => call(queue))).toBe(field)
  expect((await queue.list({ name: 'fetch' })).jobs).toEqual([])
})

describe('what is refused says where', () => {
  it.each<[string, unknown]>([['data.proxy cannot be copied', { at: new Date(), proxy: new Proxy({}, {}) }], ['data.items[1].onClick is a function', { items: [0, { onClick() {} }] }]])('%s', async (path, data) => {
    const queue = await tab()
    await expect(queue.push(Q, 'n', data)).rejects.toThrow(path)
  })
  it('in JSON', async () => {
    const queue = await tab()
    await expect(queue.fetch(URL, { json: { tags: [1, new Set()] } })).rejects.toThrow('init.json.tags[1] is a Set, which cannot be said in JSON')
  })
})

it('JSON is what JSON.stringify says: toJSON is heeded', async () => {
  const queue = await tab()
  class Money { constructor(readonly cents: number) {} toJSON(): unknown { return { amount: this.cents / 100 } } }
  const id = await queue.fetch(URL, { json: { price: new Money(5), at: new Date(0), see: new globalThis.URL(URL), none: undefined } }, LATER)
  expect((await queue.get(id))?.data).toEqual({ price: { amount: 0.05 }, at: '1970-01-01T00:00:00.000Z', see: URL })
})

it('what a call is given counts as it was then', async () => {
  const queue = await tab()
  await queue.push('y', 'n', 1)
  const filter = { queue: 'y' }
  const removed = queue.removeAll(filter)
  filter.queue = 'z'
  expect((await removed).done).toBe(1)
})

it('an option of retry that is undefined changes nothing', async () => {
  const queue = await tab()
  const id = await queue.push(Q, 'n', 1, { maxAttempts: 1, timeoutMs: 300, priority: 3 })
  await queue.pull(Q)
  await queue.fail(id, 'no')
  await queue.retry(id, { options: { priority: undefined, maxAttempts: undefined, timeoutMs: undefined } as never })
  expect((await queue.list({ queue: Q })).jobs).toMatchObject([{ id, priority: 3, maxAttempts: 1, timeoutMs: 300 }])
})

it.each([['text', '50'], ['null', null], ['a list', []], ['10n', 10n], ['NaN', Number.NaN], ['101', 101]])('a handler cannot report %s as its progress', async (_what, percent) => {
  const queue = await tab()
  await queue.process(Q, (_job, ctx) => { ctx.progress(percent as never) })
  const id = await queue.push(Q, 'n', 1, { maxAttempts: 1 })
  await expect(queue.waitFor(id, { timeoutMs: 2000 })).rejects.toThrow(/progress must be a number from 0 to 100/)
})

it.each([['null', null], ['undefined', undefined], ['an object', {}], ['NaN', Number.NaN], ['1025 letters', 'x'.repeat(1025)]])('a step cannot be named by %s: it does not run', async (_what, name) => {
  const queue = await tab()
  let ran = 0
  await queue.process(Q, async (_job, ctx) => { await ctx.step(name as never, () => { ran++ }) })
  const id = await queue.push(Q, 'n', 1, { maxAttempts: 1 })
  await expect(queue.waitFor(id, { timeoutMs: 2000 })).rejects.toThrow(/step must be/)
  expect(ran).toBe(0)
})

it('a pause that is over has no end', async () => {
  const queue = await tab()
  await queue.push(Q, 'n', 1)
  await queue.pause(Q, { until: 5 })
  await until('it is over', async () => !(await queue.stats(Q)).queues[0]!.paused)
  expect((await queue.stats(Q)).queues[0]).not.toHaveProperty('pausedUntil')
})

it('who listens to an event that there is not is told', async () => {
  const told: unknown[] = []
  vi.stubGlobal('reportError', (error: unknown) => { told.push(error) })
  onTestFinished(() => { vi.unstubAllGlobals() })
  const queue = await tab()
  queue.on('complete' as never, () => {})
  await until('it is told', () => told.length > 0)
  expect(told).toMatchObject([{ code: 'VALIDATION', details: { field: 'type' } }])
})
