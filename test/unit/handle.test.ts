/** What a user may rely on at the handle, beyond what the model knows (model.test.ts). */
import { describe, expect, it, onTestFinished, vi } from 'vitest'
import { RetryAfter, Unrecoverable } from '../../src/index.ts'
import type { Context, Job, Queue } from '../../src/queue.ts'
import { after, tab, tabs, until } from './support/tabs.ts'

const Q = 'emails'
const many = (count: number, name = 'welcome') => Array.from({ length: count }, (_, n) => ({ name, data: { n } }))

// ---- calls ----

describe('calls', () => {
  it('count in the order in which they are made', async () => {
    const queue = await tab()
    const id = await queue.push(Q, 'welcome', 1, { backoff: { type: 'fixed', delayMs: 0 } })
    await queue.pull(Q)
    const [failed, pulled] = await Promise.all([queue.fail(id, new Error('boom')), queue.pull(Q)])
    expect(failed.willRetry).toBe(true)
    expect(pulled.map((job) => [job.id, job.failures])).toEqual([[id, 1]])
  })

  it.each<[string, (queue: Queue) => Promise<string>]>([
    ['fetch, of a Request whose body must be read first', (queue) => queue.fetch(new Request('https://api.example/', { method: 'POST', body: 'x' }))],
    ['push, where it must be looked up whether there is room', (queue) => queue.push(Q, 'welcome', 'x'.repeat(300_000))],
    ['pushMany, likewise', async (queue) => (await queue.pushMany(Q, [{ name: 'welcome', data: 'x'.repeat(300_000) }]))[0]!],
  ])('also before a change of user: %s', async (_call, made) => {
    let usage = 1e9 - 4.3e6
    vi.stubGlobal('navigator', { onLine: true, storage: { estimate: () => Promise.resolve({ quota: 1e9, usage }) } })
    onTestFinished(() => { vi.unstubAllGlobals() })
    const queue = await tab()
    await queue.setUser('ann')
    await queue.storage()
    usage = 0
    const [before, , later] = await Promise.all([made(queue), queue.setUser('bob'), queue.push(Q, 'welcome', 1)])
    expect([(await queue.get(before))?.user, (await queue.get(later))?.user]).toEqual(['ann', 'bob'])
  })

  it.each<[string, (queue: Queue, data: { n: number }) => Promise<string>]>([
    ['push', (queue, data) => queue.push(Q, 'welcome', data)],
    ['pushMany', async (queue, data) => (await queue.pushMany(Q, [{ name: 'welcome', data }]))[0]!],
    ['fetch', (queue, data) => queue.fetch('https://api.example/', { json: data }, { queue: Q, delayMs: 3_600_000 })],
  ])('%s copies what it is given when it is called', async (_call, push) => {
    const queue = await tab()
    const data = { n: 1 }
    const pushed = push(queue, data)
    data.n = 2
    expect((await queue.get(await pushed))?.data).toEqual({ n: 1 })
  })

  it('that come with an old lease do not cost the handle its new one', async () => {
    const queue = await tab()
    const id = await queue.push(Q, 'welcome', 1)
    await queue.pull(Q)
    const [, , stale] = await Promise.allSettled([queue.release(id), queue.pull(Q), queue.ack(id)])
    expect(stale).toMatchObject({ status: 'rejected', reason: { code: 'STALE_LEASE' } })
    await queue.ack(id)
    expect((await queue.get(id))?.state).toBe('completed')
  })
})

describe('fail means what a handler means that throws the same', () => {
  const failed = async (error: unknown): Promise<Job> => {
    const queue = await tab()
    const id = await queue.push(Q, 'welcome', 1, { backoff: { type: 'fixed', delayMs: 0 } })
    await queue.pull(Q)
    await queue.fail(id, error)
    return (await queue.get(id))!
  }

  it('an error of any class', async () => {
    expect(await failed(new TypeError('boom'))).toMatchObject({ state: 'waiting', failures: 1, attempts: [{ error: { name: 'TypeError', message: 'boom', stack: expect.stringContaining('boom') } }] })
  })
  it('text, or an object', async () => {
    expect((await failed('boom')).attempts).toMatchObject([{ error: { name: 'Error', message: 'boom' } }])
    expect((await failed({ code: 7 })).attempts).toMatchObject([{ error: { message: '{"code":7}' } }])
  })
  it('Unrecoverable', async () => { expect(await failed(new Unrecoverable('never'))).toMatchObject({ state: 'dead', reason: 'unrecoverable', failures: 1 }) })
  it('RetryAfter', async () => {
    const { state, runAt, failures } = await failed(new RetryAfter(3_600_000))
    expect({ state, failures }).toEqual({ state: 'delayed', failures: 1 })
    expect(Math.abs(runAt! - Date.now() - 3_600_000)).toBeLessThan(5000)
  })
})

describe('a call that makes no sense is refused, and does not take its neighbours along', () => {
  const noText = [undefined, null, 5, {}, () => {}, Symbol('x')]
  const noNumber = [null, 'x', -1, 1.5, () => {}]
  it.each<[string, readonly unknown[], (queue: Queue, what: never) => Promise<unknown>]>([
    ['push: queue', noText, (queue, what) => queue.push(what, 'welcome', 1)],
    ['push: name', noText, (queue, what) => queue.push(Q, what, 1)],
    ['push: data', [() => {}, Symbol('x'), { f() {} }], (queue, what) => queue.push(Q, 'welcome', what)],
    ['push: options', [5, [], () => {}, { tags: 5 }, { tags: [() => {}] }], (queue, what) => queue.push(Q, 'welcome', 1, what)],
    ['pushMany: queue', noText, (queue, what) => queue.pushMany(what, many(1))],
    ['pushMany: items', [undefined, 5, {}, [5], [undefined], [{}], [() => {}]], (queue, what) => queue.pushMany(Q, what)],
    ['pull: queue', noText, (queue, what) => queue.pull(what)],
    ['pull: count', noNumber, (queue, what) => queue.pull(Q, what)],
    ['pull: options', [5, () => {}, { waitMs: 'x' }, { waitMs() {} }], (queue, what) => queue.pull(Q, 1, what)],
    ['get: id', noText, (queue, what) => queue.get(what)],
    ['list: filter', [5, () => {}, { name: 5 }, { name() {} }, { state: 'failed' }], (queue, what) => queue.list(what)],
    ['cancel: id', noText, (queue, what) => queue.cancel(what)],
    ['cancel: options', [5, () => {}, { reason: 5 }, { reason() {} }], async (queue, what) => queue.cancel(await queue.push('third', 'welcome', 1), what)],
    ['update: id', noText, (queue, what) => queue.update(what, { priority: 1 })],
    ['promote: id', noText, (queue, what) => queue.promote(what)],
    ['retry: id', noText, (queue, what) => queue.retry(what)],
    ['remove: id', noText, (queue, what) => queue.remove(what)],
    ['removeAll: filter', [5, null, () => {}, { ids: 5 }, { ids: [() => {}] }], (queue, what) => queue.removeAll(what)],
    ['waitFor: id', noText, (queue, what) => queue.waitFor(what, { timeoutMs: 900 })],
    ['configure: queue', noText, (queue, what) => queue.configure(what, {})],
    ['configure: settings', [undefined, null, 5, () => {}, { concurrency: 'x' }], (queue, what) => queue.configure(Q, what)],
    ['pause: queue', noText, (queue, what) => queue.pause(what)],
    ['pause: options', [5, () => {}, { until: 'x' }, { until() {} }], (queue, what) => queue.pause(Q, what)],
  ])('%s', async (_what, nonsense, call) => {
    const queue = await tab()
    const answer = (made: Promise<unknown>): Promise<unknown> => Promise.race([made.then(() => 'accepted', (error: { code?: string }) => error.code ?? error), after(500).then(() => 'no answer')])
    for (const what of nonsense) {
      const [refused, neighbour] = await Promise.all([answer(call(queue, what as never)), answer(queue.push('other', 'welcome', 1))])
      expect({ what, refused, neighbour }).toEqual({ what, refused: 'VALIDATION', neighbour: 'accepted' })
    }
  })
})

// ---- options that are undefined count as absent ----

describe('undefined counts as absent', () => {
  it('in an option of push, where the queue has a default', async () => {
    const queue = await tab()
    await queue.configure(Q, { defaults: { priority: 5, maxAttempts: 7, backoff: { type: 'fixed' } } })
    const id = await queue.push(Q, 'welcome', 1, { priority: undefined, maxAttempts: undefined, backoff: undefined } as never)
    expect(await queue.get(id)).toMatchObject({ priority: 5, maxAttempts: 7, backoff: { type: 'fixed' } })
  })

  it('in the settings of a queue', async () => {
    const queue = await tab()
    await queue.configure(Q, { concurrency: 1 })
    await queue.configure(Q, { needsNetwork: false, concurrency: undefined } as never)
    await queue.pushMany(Q, many(3))
    expect(await queue.pull(Q, 3)).toHaveLength(1)
  })
})

// ---- lists, and what is done to all of a list ----

describe('lists', () => {
  it('say of a running job what get says of it', async () => {
    const queue = await tab()
    const id = await queue.push(Q, 'welcome', 1)
    await queue.pull(Q)
    await queue.progress(id, 50, 'half of it')
    await queue.cancel(id)
    expect((await queue.list({ state: 'active' })).jobs).toEqual([await queue.get(id)])
    expect(await queue.get(id)).toMatchObject({ progress: 50, progressMessage: 'half of it', cancelRequested: { reason: 'cancelled' } })
  })

  it('a job is the same to whoever pulls, handles, gets or lists it', async () => {
    const queue = await tab()
    const small = await queue.push(Q, 'welcome', 'x')
    const large = await queue.push(Q, 'welcome', 'x'.repeat(20_000))
    for (const job of await queue.pull(Q, 2)) expect(job).toEqual(await queue.get(job.id))
    expect((await queue.list({ state: 'active' })).jobs).toEqual([await queue.get(small), await queue.get(large)])
  })

  it.each(['x', '[]', '{}', '[0,{},0]', '[99,null,0]', '[-1,null,0]', '[1.5,null,0]'])('refuse a cursor that is none: %s', async (cursor) => {
    const queue = await tab()
    await queue.push(Q, 'welcome', 1)
    await expect(queue.list({ cursor })).rejects.toMatchObject({ code: 'VALIDATION', details: { field: 'filter.cursor' } })
  })
})

describe('what is done to all', () => {
  it('removeAll removes all, however many they are', { timeout: 30_000 }, async () => {
    const queue = await tab()
    await queue.pushMany(Q, many(600))
    expect(await queue.removeAll({ queue: Q, state: 'waiting' })).toEqual({ done: 600, refused: [] })
    expect((await queue.stats(Q)).counts.waiting).toBe(0)
  })

  it('retryAll retries all, however many they are', { timeout: 30_000 }, async () => {
    const queue = await tab()
    await queue.pushMany(Q, many(600).map((item) => ({ ...item, options: { maxAttempts: 1 } })))
    const jobs = await queue.pull(Q, 600)
    await Promise.all(jobs.map((job) => queue.fail(job, new Error('boom'))))
    expect(await queue.retryAll({ queue: Q, state: 'dead' })).toEqual({ done: 600, refused: [] })
    expect((await queue.stats(Q)).counts).toMatchObject({ dead: 0, waiting: 600 })
  })

  it('removeAll of ended jobs too', { timeout: 30_000 }, async () => {
    const queue = await tab()
    await queue.pushMany(Q, many(600))
    await queue.ackMany(await queue.pull(Q, 600))
    expect(await queue.removeAll({ queue: Q, state: 'completed' })).toEqual({ done: 600, refused: [] })
    expect((await queue.stats(Q)).counts.completed).toBe(0)
  })
})

// ---- ids ----

it('an id has 34 random bits', async () => {
  const queue = await tab()
  const low = new Set<number>()
  for (let n = 0; n < 60; n++) low.add(parseInt((await queue.push(Q, 'welcome', n)).slice(24, 26), 16) & 3)
  expect([...low].sort((a, b) => a - b)).toEqual([0, 1, 2, 3])
})

it('an id is a whole: one with other random bits is another job’s, though it has the same number', async () => {
  const queue = await tab()
  const id = await queue.push(Q, 'welcome', 1)
  const other = `${id.slice(0, 15)}${id[15] === '0' ? '1' : '0'}${id.slice(16)}`
  expect(await queue.get(other)).toBeUndefined()
  for (const call of [() => queue.cancel(other), () => queue.remove(other), () => queue.update(other, { priority: 1 })]) await expect(call()).rejects.toMatchObject({ code: 'NOT_FOUND' })
  expect(await queue.get(id)).toMatchObject({ state: 'waiting', priority: 0 })
})

// ---- processors ----

describe('concurrency', () => {
  /** A handler that counts how many of it run at once. */
  const counting = (ms: number) => {
    const seen = { running: 0, most: 0, done: 0 }
    return { seen, handler: async (_job: Job, _ctx: Context) => { seen.most = Math.max(seen.most, ++seen.running); await after(ms); seen.running--; seen.done++ } }
  }

  it('is over all tabs together, and is used', async () => {
    const { queues } = await tabs(3)
    const { seen, handler } = counting(5)
    for (const queue of queues) await queue.process(Q, handler, { concurrency: 3 })
    await queues[0]!.pushMany(Q, many(60))
    await until('all are done', () => seen.done === 60)
    expect(seen.most).toBe(3)
  })

  it('of a processor that is paused is free for the other tabs', async () => {
    const { queues: [one, other] } = await tabs(2)
    const first = counting(20)
    const second = counting(0)
    const processor = await one!.process(Q, first.handler, { concurrency: 1 })
    await one!.push(Q, 'welcome', 1)
    await until('the first tab runs it', () => first.seen.running === 1)
    await processor.pause()
    await until('the first tab has ended it', () => first.seen.done === 1)
    await other!.process(Q, second.handler, { concurrency: 1 })
    await other!.push(Q, 'welcome', 2)
    await until('the second tab runs the next', () => second.seen.done === 1)
  })

  it('is shared with a tab that handles other jobs, however busy the first is', async () => {
    const { queues: [one, other] } = await tabs(2)
    const busy = counting(1)
    const rare = counting(0)
    await one!.process(Q, { newsletter: busy.handler }, { concurrency: 1 })
    await other!.process(Q, { welcome: rare.handler }, { concurrency: 1 })
    await one!.pushMany(Q, many(1500, 'newsletter'))
    await other!.push(Q, 'welcome', 1)
    await until('the other tab has had its turn', () => rare.seen.done === 1)
    expect(busy.seen.done).toBeLessThan(1000)
  })
})
