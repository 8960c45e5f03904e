/** What an application has a say in of its requests, where it goes wrong (test/e2e/credentials.test.ts plays what goes right in a browser). */
import './support/store.ts'
import { afterEach, expect, it, onTestFinished, vi } from 'vitest'
import { exposeHost } from '../../src/door/host.ts'
import type { Reply } from '../../src/door/protocol.ts'
import { questions } from '../../src/door/questions.ts'
import { openQueue, ref } from '../../src/index.ts'
import type { HttpHooks, HttpResult, OpenOptions, Queue } from '../../src/queue.ts'
import { forget, freshName } from './support/database.ts'
import { ManualClock } from './support/engine.ts'
import { after, until } from './support/tabs.ts'

afterEach(() => { vi.unstubAllGlobals() })

interface Sent { readonly url: string; readonly method: string; readonly body: string; readonly headers: Headers }
/** A server: what it answers. */
function serve(status: (sent: Sent) => number, answer = '{}'): Sent[] {
  const all: Sent[] = []
  vi.stubGlobal('fetch', (url: string, { method, body, headers }: Omit<Sent, 'url'>) => {
    const sent = { url: url.replace('#holdfast', ''), method, body, headers }
    all.push(sent)
    return Promise.resolve(new Response(answer, { status: status(sent), headers: { 'content-type': 'application/json' } }))
  })
  return all
}

async function open(http: HttpHooks | undefined, name = freshName(), worker: OpenOptions['worker'] = false): Promise<Queue> {
  const queue = await openQueue(name, { worker, ...(http && { http }) })
  onTestFinished(async () => { await queue.close(); await forget(name) })
  return queue
}
const URL = 'https://a.example/x'

it('an answer goes to the worker that asked, and to no other', { timeout: 40_000 }, async () => {
  const sent = serve(() => 200)
  vi.stubGlobal('Worker', class {})
  const kills: Array<() => void> = []
  const worker = (): Worker => {
    const { port1, port2 } = new MessageChannel()
    const end = exposeHost([], port1)
    port1.start()
    port2.start()
    kills.push(() => { void end(); setTimeout(() => { port1.close() }, 300) })
    return Object.assign(port2, { terminate() { void end() } }) as unknown as Worker
  }
  let asked = 0
  const queue = await open({ async beforeSend(_request, { data }) { asked++; if (data !== 'A') await after(asked === 2 ? 8000 : 7000) } }, freshName(), worker)
  await queue.waitFor(await queue.fetch('https://a.example/A', { json: 'A' }), { timeoutMs: 3000 })
  const b = await queue.fetch('https://a.example/B', { json: 'B' })
  await until('the hook is asked of B', () => asked === 2)
  kills[0]!()
  const c = await queue.fetch('https://a.example/C', { json: 'C' })
  await Promise.all([b, c].map((id) => queue.waitFor(id, { timeoutMs: 25_000 })))
  expect(sent.map(({ url }) => url).sort()).toEqual(['https://a.example/A', 'https://a.example/B', 'https://a.example/C'])
})

it('a refresh that fails for want of a network is called again', { timeout: 15_000 }, async () => {
  let good = false
  serve(() => good ? 200 : 401)
  let calls = 0
  const queue = await open({ onUnauthorized() { if (++calls === 1) throw new TypeError('Failed to fetch'); good = true } })
  const denied: unknown[] = []
  queue.on('unauthorized', (event) => { denied.push(event) })
  const id = await queue.fetch(URL, { json: 1 })
  await queue.waitFor(id, { timeoutMs: 8000 })
  expect([calls, denied, (await queue.get(id))?.failures]).toEqual([2, [], 0])
})

it('who signs in again as the same user is let through', async () => {
  let good = false
  serve(() => good ? 200 : 401)
  const queue = await open({ onUnauthorized() { throw new Error('signed out') } })
  let denied = 0
  queue.on('unauthorized', () => { denied++ })
  await queue.setUser('ada')
  const id = await queue.fetch(URL, { json: 1 })
  await until('it is denied', () => denied === 1)
  expect((await queue.stats('http')).queues[0]!.closedOrigins).toEqual({ 'https://a.example': { reason: 'unauthorized' } })
  good = true
  await queue.setUser('ada')
  await queue.waitFor(id, { timeoutMs: 5000 })
  expect((await queue.stats('http')).queues[0]!.closedOrigins).toEqual({})
})

it('a request without hooks that is refused does not shut out those that have them', { timeout: 15_000 }, async () => {
  const sent = serve(({ headers }) => headers.get('authorization') === 'ok' ? 200 : 401)
  const name = freshName()
  const before = await openQueue(name, { worker: false })
  await before.pause('http')
  await before.fetch('https://a.example/old', { json: 1 })
  await before.close()
  const queue = await open({ beforeSend(request) { request.headers['authorization'] = 'ok' }, onUnauthorized() {} }, name)
  await queue.resume('http')
  await until('the old one is sent', () => sent.length > 0)
  await queue.waitFor(await queue.fetch('https://a.example/new', { json: 2 }), { timeoutMs: 5000 })
})

it('a timeout while an answer is judged spends an attempt', async () => {
  const sent = serve(() => 200)
  const queue = await open({ async classify() { await after(300); return undefined } })
  const id = await queue.fetch(URL, { json: 1 }, { timeoutMs: 50, maxAttempts: 2, backoff: { type: 'fixed', delayMs: 0 } })
  await expect(queue.waitFor(id, { timeoutMs: 5000 })).rejects.toThrow(/dead/)
  expect(sent).toHaveLength(2)
})

it('what a hook returns may be Headers and a URL, is laid over what it was given, and a thing that cannot be cloned refuses nothing but its attempt', async () => {
  const sent = serve(() => 200)
  let change: unknown
  const queue = await open({ beforeSend: () => change as never })
  change = { url: new globalThis.URL('https://a.example/y'), headers: new Headers({ Authorization: 'Bearer 1' }) }
  const id = await queue.fetch(URL, { json: 1 })
  await queue.waitFor(id, { timeoutMs: 5000 })
  expect(sent.map(({ url, headers }) => [url, headers.get('authorization'), headers.get('idempotency-key'), headers.get('content-type')])).toEqual([['https://a.example/y', 'Bearer 1', `"${id}"`, 'application/json']])
  change = { body: () => 0 }
  const other = await queue.push('q', 'n', 1)
  const heard: string[] = []
  queue.waitFor(other).catch((error: unknown) => { heard.push(String(error)) })
  const ids = await Promise.all([1, 2, 3].map((json) => queue.fetch(URL, { json }, { maxAttempts: 1 })))
  await Promise.all(ids.map((one) => queue.waitFor(one, { timeoutMs: 5000 }).catch(() => {})))
  expect([heard, (await Promise.all(ids.map((one) => queue.get(one)))).map((job) => job?.attempts?.[0]?.error.message)]).toEqual([[], Array(3).fill(expect.stringContaining('could not be cloned'))])
})

it('one that never answers is forgotten when its time is over', async () => {
  const clock = new ManualClock()
  const open = new Map<number, (reply: Reply) => void>()
  const { ask, answered } = questions(clock, () => {}, open)
  void ask('beforeSend')
  const said = ask('classify')
  answered(2, { value: 'retry' })
  expect([await said, open.size]).toEqual(['retry', 1])
  await clock.advance(30_000)
  expect(open.size).toBe(0)
})

it.each(['50', [50], 50n, Infinity, NaN, null, -1, {}])('classify cannot have %o as a wait: the attempt fails, and says so', async (afterMs) => {
  const sent = serve(() => 200)
  const queue = await open({ classify: () => sent.length === 1 ? { kind: 'retry', afterMs: afterMs as number } : undefined })
  const id = await queue.fetch(URL, { json: 1 }, { backoff: { type: 'fixed', delayMs: 0 } })
  await queue.waitFor(id, { timeoutMs: 5000 })
  expect((await queue.get(id))?.attempts?.map(({ error }) => error.message)).toEqual([expect.stringContaining('classify must return nothing, or one of')])
})

it.each(['retry', 'origin'] as const)('classify has nothing wait for more than a day: %s', async (kind) => {
  serve(() => 200)
  const queue = await open({ classify: () => ({ kind, afterMs: 1e300 }) })
  const id = await queue.fetch(URL, { json: 1 })
  const retryAt = async (): Promise<number | undefined> => kind === 'retry' ? (await queue.get(id))?.runAt : (await queue.stats('http')).queues[0]!.closedOrigins['https://a.example']?.until
  const before = Date.now()
  await expect.poll(retryAt, { timeout: 5000 }).toBeGreaterThan(0)
  expect(Math.round((await retryAt())! / 1000 - before / 1000)).toBeLessThanOrEqual(86_405)
})

it.each([
  [{ method: 'GET' }, /GET/], [{ method: 'FOO BAR' }, /FOO BAR/], [{ method: 'TRACE' }, /TRACE/], [{ body: { a: 1 } }, /its body must be a string, a Blob/], [{ body: 5 }, /its body must be a string, a Blob/],
])('what beforeSend makes unsendable by %o fails the attempt, and its origin is not blamed', async (change, why) => {
  const sent = serve(() => 200)
  const queue = await open({ beforeSend: () => change as never })
  const id = await queue.fetch(URL, { json: 1 }, { maxAttempts: 1 })
  await expect(queue.waitFor(id, { timeoutMs: 5000 })).rejects.toThrow(/dead/)
  const { message = '' } = (await queue.get(id))?.attempts?.[0]?.error ?? {}
  expect(message).toMatch(/^beforeSend made a request that cannot be sent: /)
  expect(message).toMatch(why)
  expect([sent, (await queue.stats('http')).queues[0]!.closedOrigins]).toEqual([[], {}])
})

it('beforeSend may write a method in lower case, and give a body of bytes', async () => {
  const sent = serve(() => 200)
  const queue = await open({ beforeSend: () => ({ method: 'patch', body: new Uint8Array([1]).buffer }) })
  await queue.waitFor(await queue.fetch(URL, { json: 1 }), { timeoutMs: 5000 })
  expect(sent).toMatchObject([{ method: 'PATCH', body: new Uint8Array([1]).buffer }])
})

it.each([['{"a":{"__proto__":{"b":1}}}', 'string'], ['['.repeat(600) + ']'.repeat(600), 'string'], ['['.repeat(499) + ']'.repeat(499), 'object'], ['{"a":1', 'string']])('JSON that no result may hold stays text (%#)', async (answer, type) => {
  serve(() => 201, answer)
  const queue = await open(undefined)
  const made = await queue.waitFor(await queue.fetch(URL, { json: 1 }, { keepResult: true }), { timeoutMs: 5000 }) as HttpResult
  expect(made).toMatchObject({ status: 201, headers: { 'content-type': 'application/json' } })
  expect(typeof made.body).toBe(type)
  expect(type === 'string' ? made.body : JSON.stringify(made.body)).toBe(answer)
})

it('a body of more than 64 KiB is marked as cut off, for who depends on it too; without it there is no mark', async () => {
  serve(() => 200, JSON.stringify('x'.repeat(70_000)))
  const queue = await open(undefined)
  await queue.pause('http')
  const [create, kept] = [await queue.fetch(URL, { json: 1 }), await queue.fetch(URL, { json: 1 }, { keepResult: true })]
  const child = await queue.fetch(URL, { json: ref('create', 'body') }, { dependsOn: { create } })
  await queue.resume('http')
  expect(await queue.waitFor(kept, { timeoutMs: 5000 })).toMatchObject({ body: expect.stringMatching(/^"xxx/), truncated: true })
  expect(Object.keys(await queue.waitFor(create) as object)).toEqual(['status', 'headers'])
  await expect(queue.waitFor(child, { timeoutMs: 5000 })).rejects.toThrow(/dead \(invalid\): create\.body cannot be taken/)
})

it('who depends on an answer that had come before, and was not kept, is told what was lacking', async () => {
  serve(() => 201, '{"id":7}')
  const queue = await open(undefined)
  const create = await queue.fetch(URL, { json: 1 })
  await queue.waitFor(create, { timeoutMs: 5000 })
  const late = await queue.fetch(URL, { json: ref('create', 'body.id') }, { dependsOn: { create } })
  await expect(queue.waitFor(late, { timeoutMs: 5000 })).rejects.toThrow(/create\.body\.id is missing: create has no body\..* keepResult: true/)
})
