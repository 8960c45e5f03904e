/** Requests as jobs, against a real server: what each answer means, and what an origin in trouble costs. */
import type { IncomingMessage, ServerResponse } from 'node:http'
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest'
import type { Page } from 'playwright-core'
import type { FetchInit, FetchOptions, Job, Queue } from 'holdfast'
import { KillableBrowser, pause, serveSite, until, type Site } from '../crash/harness.ts'

interface Seen { readonly at: number; readonly method: string; readonly url: string; readonly body: string; readonly key: string | undefined; readonly type: string | undefined }

let seen: Seen[] = []
/** What the server does with the n-th request of a path, from 0. */
let answer: (url: string, n: number, response: ServerResponse, request: IncomingMessage) => void
const browser = new KillableBrowser()
let site: Site
let page: Page

beforeAll(async () => {
  site = await serveSite(`
    import { openQueue } from 'holdfast'
    window.queue = await openQueue('http-' + performance.timeOrigin)
    window.events = []
    queue.on('*', (event) => events.push(event))
    window.ready = true
  `, (request, body, response) => {
    const url = request.url ?? ''
    const { headers, method = '' } = request
    const key = headers['idempotency-key']
    const n = seen.filter((one) => one.url === url).length
    seen.push({ at: performance.now(), method, url, body, key: Array.isArray(key) ? key[0] : key, type: headers['content-type'] })
    answer(url, n, response, request)
  })
  await browser.start()
})
afterAll(async () => { await browser.dispose(); await site.close() })
beforeEach(async () => {
  await page?.close()
  seen = []
  answer = (_url, _n, response) => { json(response, 200, { ok: true }) }
  page = await browser.page()
  await page.goto(`${site.url}/page`)
  await page.waitForFunction('window.ready')
})

const json = (response: ServerResponse, status: number, body: unknown, headers: Record<string, string> = {}): void => {
  response.writeHead(status, { 'content-type': 'application/json', ...headers }).end(JSON.stringify(body))
}
interface Window { readonly queue: Queue }
const send = (url: string, init: FetchInit = {}, options: FetchOptions = {}): Promise<string> =>
  page.evaluate(([at, how, more]) => (window as unknown as Window).queue.fetch(at, how, more), [url, init, options] as const)
const result = (id: string): Promise<unknown> => page.evaluate((job) => (window as unknown as Window).queue.waitFor(job), id)
const get = async (id: string): Promise<Job> => (await page.evaluate((job) => (window as unknown as Window).queue.get(job), id))!
const ended = async (id: string): Promise<Job> => { await result(id).catch(() => {}); return get(id) }
const FAST: FetchOptions = { backoff: { type: 'fixed', delayMs: 30 } }

test('a JSON request is sent once, with its key; its result says what was answered', async () => {
  answer = (_url, _n, response) => { json(response, 201, { id: 7 }, { 'x-trace': 'abc' }) }
  const id = await send('/api/orders', { json: { sku: 'A-17' } }, { keepResult: true })
  expect(await result(id)).toMatchObject({ status: 201, headers: { 'x-trace': 'abc' }, body: { id: 7 } })
  expect(seen).toEqual([expect.objectContaining({ method: 'POST', url: '/api/orders', body: '{"sku":"A-17"}', key: `"${id}"`, type: 'application/json' })])
})

test('a string body, a bare key header, and no key at all', async () => {
  const [one, two] = [await send('/api/a', { method: 'PUT', body: 'plain' }, { idempotency: { header: 'Idempotency-Key', quoted: false } }), await send('/api/b', {}, { idempotency: false })]
  expect(await result(one)).not.toHaveProperty('body')
  await result(two)
  expect(seen).toMatchObject([{ method: 'PUT', body: 'plain', key: one }, { method: 'GET', key: undefined }])
})

test('408 is a failed attempt', async () => {
  // Chromium itself sends a request again several times that was answered by 408 on a kept-alive connection.
  answer = (_url, n, response) => { json(response, n < 40 ? 408 : 200, {}) }
  const id = await send('/api/x', { json: 0 }, FAST)
  await result(id)
  expect((await get(id)).failures).toBeGreaterThanOrEqual(1)
})

test.each([500, 501])('%i is a failed attempt, tried again under the same key', async (status) => {
  answer = (_url, n, response) => { json(response, n < 2 ? status : 200, {}) }
  const id = await send('/api/x', { json: 0 }, FAST)
  await result(id)
  expect(await get(id)).toMatchObject({ state: 'completed', failures: 2 })
  expect(new Set(seen.map(({ key }) => key))).toEqual(new Set([`"${id}"`]))
})

test.each([400, 403, 404, 409, 418, 422])('%i is dead at once, and says what the server said', async (status) => {
  answer = (_url, _n, response) => { json(response, status, { title: 'Bad order', detail: 'quantity must be at least 1' }, { 'content-type': 'application/problem+json' }) }
  const job = await ended(await send('/api/x', { json: 0 }))
  expect(job).toMatchObject({ state: 'dead', reason: 'unrecoverable', failures: 1 })
  expect(job.attempts?.[0]?.error.message).toContain(`${status} from POST ${site.url}/api/x: Bad order: quantity must be at least 1`)
  expect(seen).toHaveLength(1)
})

test('a refusal that is no JSON is told by the start of its text', async () => {
  answer = (_url, _n, response) => { response.writeHead(451, { 'content-type': 'text/html' }).end(`<h1>Closed</h1>\n<p>by &quot;order&quot;${' and so on'.repeat(500)}`) }
  const { message = '' } = (await ended(await send('/api/x', { json: 0 }))).attempts?.[0]?.error ?? {}
  expect(message).toMatch(new RegExp(`^451 from POST ${site.url}/api/x: Closed by &quot;order&quot; and so on`))
  expect(message.length).toBeLessThan(700)
})

test.each([[65_000, 'object'], [70_000, 'string']])('of an answer of %i bytes of JSON the result is a %s of 64 KiB or less', async (bytes, type) => {
  answer = (_url, _n, response) => { json(response, 200, { long: 'x'.repeat(bytes - 11) }) }
  const { body } = await result(await send('/api/x', {}, { keepResult: true })) as { body: unknown }
  expect(typeof body).toBe(type)
  expect(Math.abs(Buffer.byteLength(type === 'string' ? body as string : JSON.stringify(body)) - Math.min(bytes, 65_536))).toBeLessThan(4)
})

test('what is to be deleted and is gone counts as done; so does a status that was named', async () => {
  for (const status of [404, 410]) {
    answer = (_url, _n, response) => { json(response, status, {}) }
    expect(await ended(await send('/api/x', { method: 'DELETE' }))).toMatchObject({ state: 'completed' })
  }
  answer = (_url, _n, response) => { json(response, 404, {}) }
  expect(await ended(await send('/api/x', { method: 'GET' }, { okStatuses: [404] }))).toMatchObject({ state: 'completed' })
})

test('Retry-After overrides the backoff of a failed attempt', async () => {
  answer = (_url, n, response) => { if (n === 0) json(response, 500, {}, { 'retry-after': '1' }); else json(response, 200, {}) }
  await result(await send('/api/x', { json: 0 }, FAST))
  expect(seen[1]!.at - seen[0]!.at).toBeGreaterThan(950)
})

test.each([429, 502, 503, 504])('%i closes the origin and costs no attempt', async (status) => {
  answer = (_url, n, response) => { json(response, n === 0 ? status : 200, {}, n === 0 ? { 'retry-after': '1' } : {}) }
  const id = await send('/api/x', { json: 0 })
  await page.waitForFunction(`events.some((event) => event.type === 'origin-closed')`)
  const { queues } = await page.evaluate(() => (window as unknown as Window).queue.stats('http'))
  expect(queues[0]!.closedOrigins).toEqual({ [site.url]: { reason: expect.stringContaining(String(status)) as string, until: expect.any(Number) as number } })
  await result(id)
  expect(await get(id)).toMatchObject({ state: 'completed', failures: 0 })
  expect(seen[1]!.at - seen[0]!.at).toBeGreaterThan(950)
})

test.each([
  ['seconds', () => ['2', Date.now() + 2000]],
  ['a date', () => { const due = Math.ceil(Date.now() / 1000) * 1000 + 2000; return [new Date(due).toUTCString(), due] }],
] satisfies Array<[string, () => [header: string, due: number]]>)('429 with Retry-After as %s: the origin is asked again then, and not before', async (_form, wait) => {
  let due = 0
  const asked: number[] = []
  answer = (_url, _n, response) => {
    if (due > 0) { asked.push(Date.now()); json(response, 200, {}); return }
    const [header, at] = wait()
    due = at
    json(response, 429, {}, { 'retry-after': header })
  }
  const id = await send('/api/x', { json: 0 })
  await page.waitForFunction(`events.some((event) => event.type === 'origin-closed')`)
  // Neither another request nor a sign that the network is back asks earlier.
  const other = await send('/api/y', { json: 0 })
  await page.evaluate(`dispatchEvent(new Event('online'))`)
  await Promise.all([id, other].map(result))
  const late = Math.min(...asked) - due
  console.info(`asked again ${Math.round(late)} ms after it may be`)
  expect(late).toBeGreaterThan(-20)
  expect(late).toBeLessThan(250)
  for (const one of [id, other]) expect(await get(one)).toMatchObject({ state: 'completed', failures: 0 })
})

test('409 after an attempt that went unanswered is a failed attempt: the first may still be at work', async () => {
  answer = (_url, n, response) => {
    if (n > 0) { json(response, n === 1 ? 409 : 200, {}); return }
    // Without any answer Chromium might repeat it by itself.
    response.writeHead(200, { 'content-length': 10 }).write('half')
    setTimeout(() => { response.socket?.destroy() }, 50)
  }
  const id = await send('/api/x', { json: 0 }, FAST)
  await result(id)
  expect(await get(id)).toMatchObject({ state: 'completed', failures: 1, attempts: [{ error: { message: expect.stringContaining('409 from') as string } }] })
  expect(seen.map(({ key }) => key)).toEqual(Array(3).fill(`"${id}"`))
})

test('so is 409 that says Retry-After, such as comes when Chromium itself repeats a request whose connection was cut', async () => {
  await result(await send('/api/before', { json: 0 }))
  answer = (_url, n, response, request) => { if (n === 0) request.socket.destroy(); else json(response, n < 3 ? 409 : 200, {}, n < 3 ? { 'retry-after': '1' } : {}) }
  const id = await send('/api/x', { json: 0 }, FAST)
  await result(id)
  expect(await get(id)).toMatchObject({ state: 'completed', failures: 2 })
  expect(seen.slice(1).map(({ key }) => key)).toEqual(Array(4).fill(`"${id}"`))
})

test('edited, a request that waits for its next attempt, and then a dead one, goes out under a new key each time', async () => {
  answer = (_url, n, response) => { if (n === 0) json(response, 500, {}, { 'retry-after': '600' }); else json(response, n === 1 ? 422 : 200, {}) }
  const id = await send('/api/x', { json: { title: 'one' } })
  const state = (wanted: string): Promise<void> => until(async () => (await get(id)).state === wanted)
  await state('delayed')
  await page.evaluate((job) => (window as unknown as Window).queue.update(job, { priority: 5 }), id)
  await page.evaluate((job) => (window as unknown as Window).queue.update(job, { data: { title: 'two' }, runAt: Date.now() }), id)
  await state('dead')
  await page.evaluate((job) => (window as unknown as Window).queue.retry(job, { data: { title: 'three' } }), id)
  await result(id)
  expect(seen.map(({ key, body }) => [key, JSON.parse(body)])).toEqual([[`"${id}"`, { title: 'one' }], [`"${id}.1"`, { title: 'two' }], [`"${id}.2"`, { title: 'three' }]])
})

test('a server that resets connections: nothing is spent, one job tries, and all arrive once it is back', async () => {
  let broken = true
  answer = (_url, _n, response, request) => { if (broken) request.socket.destroy(); else json(response, 200, {}) }
  const ids = await Promise.all(Array.from({ length: 12 }, (_, i) => send(`/api/x${i}`, { json: i })))
  await pause(2500)
  // The first four had been claimed together; then one at a time tries.
  expect(seen.length).toBeLessThan(12)
  broken = false
  await Promise.all(ids.map(result))
  for (const id of ids) expect(await get(id)).toMatchObject({ state: 'completed', failures: 0 })
})

test.each([
  ['gives no answer', 'no-answer', (response: ServerResponse) => { response.socket?.destroy() }],
  ['answers 503', 'failed', (response: ServerResponse) => { json(response, 503, {}) }],
])('one endpoint that always %s, while others work: only its job dies, by its attempts', async (_what, reason, fail) => {
  answer = (url, _n, response) => { if (url === '/api/bad') fail(response); else setTimeout(() => { json(response, 200, {}) }, 5) }
  const bad = await send('/api/bad', { json: 0 }, { ...FAST, maxAttempts: 2 })
  const good: string[] = []
  while ((await get(bad)).state !== 'dead') {
    good.push(await send(`/api/good${good.length}`, { json: 0 }))
    await pause(20)
    expect(good.length).toBeLessThan(200)
  }
  await Promise.all(good.map(result))
  expect(await get(bad)).toMatchObject({ state: 'dead', reason, failures: 2 })
  for (const id of good) expect(await get(id)).toMatchObject({ state: 'completed', failures: 0 })
})

test.each(['GET', 'HEAD'])('a redirect of %s is followed', async (method) => {
  answer = (url, _n, response) => { if (url === '/api/moved') response.writeHead(302, { location: '/api/here' }).end(); else json(response, 200, { here: true }) }
  const id = await send('/api/moved', { method }, { keepResult: true })
  expect(await result(id)).toMatchObject({ status: 200, ...(method === 'GET' && { body: { here: true } }) })
  expect(seen).toMatchObject([{ method, url: '/api/moved', key: `"${id}"` }, { method, url: '/api/here' }])
})

test('a redirect of what changes something is dead, and not sent elsewhere', async () => {
  answer = (_url, _n, response) => { response.writeHead(302, { location: '/api/login' }).end() }
  const id = await send('/api/moved', { json: 0 }, FAST)
  await expect(result(id)).rejects.toThrow(/redirect/)
  expect(await get(id)).toMatchObject({ state: 'dead', failures: 1 })
  expect(seen.map(({ url }) => url)).toEqual(['/api/moved'])
})

test('a server that says "at once" while in trouble is not hammered', async () => {
  answer = (_url, _n, response) => { json(response, 503, {}, { 'retry-after': '0' }) }
  await send('/api/busy', { json: 0 }, FAST)
  await pause(2500)
  expect(seen.length).toBeGreaterThan(0)
  expect(seen.length).toBeLessThanOrEqual(3)
})

test('offline: requests wait, and go out when the page hears that the network is back', async () => {
  await page.evaluate(`Object.defineProperty(navigator, 'onLine', { configurable: true, get: () => window.net !== false }); window.net = false; dispatchEvent(new Event('offline'))`)
  const ids = await Promise.all(Array.from({ length: 10 }, (_, i) => send(`/api/x${i}`, { json: i })))
  await pause(500)
  expect(seen).toEqual([])
  expect(await page.evaluate(() => (window as unknown as Window).queue.stats())).toMatchObject({ online: false, counts: { waiting: 10 } })
  await page.evaluate(`window.net = true; dispatchEvent(new Event('online'))`)
  await Promise.all(ids.map(result))
  expect(seen).toHaveLength(10)
})

test('an attempt that takes longer than its timeout is the job\'s own failure', async () => {
  answer = (_url, n, response) => { if (n > 0) json(response, 200, {}) }
  const id = await send('/api/slow', { json: 0 }, { ...FAST, timeoutMs: 150 })
  await result(id)
  expect(await get(id)).toMatchObject({ failures: 1, attempts: [{ error: { name: 'TimeoutError' } }] })
})
