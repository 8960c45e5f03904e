/** SPEC §9: what the application has a say in of its requests, and whose they are; against a real server. */
import type { IncomingMessage, ServerResponse } from 'node:http'
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from 'vitest'
import type { Page } from 'playwright-core'
import type { FetchInit, FetchOptions, HttpHooks, Job, Queue } from 'holdfast'
import { KillableBrowser, pause, serveSite, type Site } from '../crash/harness.ts'

interface Seen { readonly url: string; readonly body: string; readonly token: string | undefined; readonly key: string | undefined; readonly at: number; status: number }

let seen: Seen[] = []
let answer: (one: Seen, response: ServerResponse, request: IncomingMessage) => void
const browser = new KillableBrowser()
let site: Site
let queues = 0
let pages: Page[] = []

const page = (hooks: string): string => `
  import { openQueue } from 'holdfast'
  const name = new URLSearchParams(location.search).get('name')
  window.asked = []
  window.events = []
  const http = ${hooks}
  window.queue = await openQueue(name, http && { http })
  queue.on('*', (event) => events.push(event))
  window.ready = true
`
const PAGES = {
  /** Its token is what the last refresh got. */
  app: page(`{
    async beforeSend(request) { request.headers.authorization = 'Bearer ' + (localStorage.token ?? 'old') },
    async onUnauthorized({ origin }) {
      asked.push(origin)
      const answer = await fetch('/api/refresh')
      if (!answer.ok) throw new Error('signed out')
      localStorage.token = await answer.text()
    },
  }`),
  plain: page('undefined'),
  sends: page('{ beforeSend: (request, job) => window.hook(request, job) }'),
  judges: page('{ classify: (answer, job) => window.hook(answer, job) }'),
}

beforeAll(async () => {
  site = await serveSite(PAGES, (request, body, response) => {
    const { headers, url = '' } = request
    const one: Seen = { url, body, token: headers.authorization, key: String(headers['idempotency-key']), at: performance.now(), status: 0 }
    response.on('finish', () => { one.status = response.statusCode })
    seen.push(one)
    answer(one, response, request)
  })
  await browser.start()
})
afterAll(async () => { await browser.dispose(); await site.close() })
beforeEach(() => { seen = []; queues++; answer = (_one, response) => { response.end('{}') } })
afterEach(async () => { for (const one of pages) await one.close(); pages = [] })

async function open(which: keyof typeof PAGES): Promise<Page> {
  const opened = await browser.page()
  pages.push(opened)
  await opened.goto(`${site.url}/${which}?name=credentials-${queues}`)
  await opened.waitForFunction('window.ready')
  return opened
}
interface Window { readonly queue: Queue; readonly asked: string[]; readonly events: ReadonlyArray<{ readonly type: string; readonly origin?: string }>; hook: NonNullable<HttpHooks['beforeSend' | 'classify']> }
declare const window: Window
const send = (on: Page, url: string, init: FetchInit = { json: 0 }, options: FetchOptions = {}): Promise<string> => on.evaluate(([at, how, more]) => window.queue.fetch(at, how, more), [url, init, options] as const)
const sendMany = (on: Page, count: number, what: string): Promise<string[]> => on.evaluate(([n, at]) => Promise.all(Array.from({ length: n }, (_, i) => window.queue.fetch(`/api/${at}${i}`, { json: i }))), [count, what] as const)
const settled = (on: Page, ids: readonly string[]): Promise<unknown> => on.evaluate((all) => Promise.allSettled(all.map((id) => window.queue.waitFor(id))), ids)
const get = async (on: Page, id: string): Promise<Job> => (await on.evaluate((job) => window.queue.get(job), id))!
const jobs = (on: Page): Promise<readonly Job[]> => on.evaluate(async () => (await window.queue.list({ limit: 1000 })).jobs)
const asked = async (): Promise<number> => (await Promise.all(pages.map((one) => one.evaluate(() => window.asked.length)))).reduce((sum, n) => sum + n, 0)
const heard = (on: Page, type: string): Promise<unknown> => on.waitForFunction((name) => window.events.some((event) => event.type === name), type)
const sent = (): Seen[] => seen.filter(({ url }) => url !== '/api/refresh')
/** Sets what the hook of a page does. */
const hook = (on: Page, what: string): Promise<void> => on.evaluate(`window.hook = ${what}`)

/** A server that takes one token; `/api/refresh` says which. */
function guarded(valid: string, refresh: (response: ServerResponse) => void = (response) => { setTimeout(() => { response.end(valid) }, 100) }): void {
  answer = ({ url, token }, response) => {
    if (url === '/api/refresh') refresh(response)
    else if (token === `Bearer ${valid}`) response.end('{}')
    else response.writeHead(401).end()
  }
}

test('200 requests from two tabs under an expired token: one refresh, no attempt spent, each done once', async () => {
  const tabs = [await open('app'), await open('app')] as const
  guarded('new')
  await tabs[0].evaluate(() => { localStorage['token'] = 'old' })
  const ids = (await Promise.all(tabs.map((tab, i) => sendMany(tab, 100, `t${i}-`)))).flat()
  await settled(tabs[0], ids)
  expect(await asked()).toBe(1)
  const all = await jobs(tabs[0])
  expect(all.filter(({ state, failures }) => state === 'completed' && failures === 0)).toHaveLength(200)
  const done = sent().filter(({ status }) => status === 200)
  expect([done.length, new Set(done.map(({ key }) => key)).size]).toEqual([200, 200])
  // As many as may be out at once.
  expect(sent().length - 200).toBeLessThanOrEqual(4)
})

test('a server that always answers 401 is asked no more than twice a refresh, ever more rarely, and its jobs die by their attempts', async () => {
  const tab = await open('app')
  let refreshes = 0
  guarded('never', (response) => { refreshes++; response.end('new') })
  const ids = await tab.evaluate(() => Promise.all([0, 1].map((n) => window.queue.fetch(`/api/x${n}`, { json: n }, { maxAttempts: 2, backoff: { type: 'fixed', delayMs: 0 } }))))
  await settled(tab, ids)
  expect(await Promise.all(ids.map((id) => get(tab, id)))).toMatchObject([{ state: 'dead', failures: 2 }, { state: 'dead', failures: 2 }])
  expect(refreshes).toBeGreaterThanOrEqual(2)
  expect(sent().length).toBeLessThanOrEqual(2 * refreshes)
}, 30_000)

test('a refresh that fails leaves the requests waiting, says so, and resume lets them try again', async () => {
  const tab = await open('app')
  let signedIn = false
  guarded('new', (response) => { if (signedIn) response.end('new'); else response.writeHead(403).end() })
  await tab.evaluate(() => { localStorage['token'] = 'old' })
  const id = await send(tab, '/api/x')
  await heard(tab, 'unauthorized')
  expect(await tab.evaluate(() => window.events.find(({ type }) => type === 'unauthorized'))).toMatchObject({ origin: site.url })
  await pause(1500)
  expect([sent().length, (await get(tab, id)).state, await asked()]).toEqual([1, 'waiting', 1])
  signedIn = true
  await tab.evaluate(() => window.queue.resume('http'))
  await settled(tab, [id])
  expect(await get(tab, id)).toMatchObject({ state: 'completed', failures: 0 })
})

test('a refresh without network is tried again by itself', async () => {
  const tab = await open('app')
  let broken = 2
  guarded('new', (response) => { if (broken-- > 0) response.socket?.destroy(); else response.end('new') })
  await tab.evaluate(() => { localStorage['token'] = 'old' })
  const id = await send(tab, '/api/x')
  await settled(tab, [id])
  expect(await get(tab, id)).toMatchObject({ state: 'completed', failures: 0 })
}, 20_000)

test('without the hook a 401 keeps the origin waiting, until somebody signs in', async () => {
  const tab = await open('plain')
  let open401 = true
  answer = (_one, response) => { if (open401) response.writeHead(401).end(); else response.end('{}') }
  const [id] = [await send(tab, '/api/x'), await send(tab, '/api/y')]
  await heard(tab, 'unauthorized')
  await pause(300)
  const before = seen.length
  expect(before).toBeLessThanOrEqual(2)
  open401 = false
  await tab.evaluate(() => window.queue.setUser('ann'))
  await settled(tab, [id])
  expect(await get(tab, id)).toMatchObject({ state: 'completed', failures: 0 })
})

test('a request that was pushed under a hook waits for a tab that has it, and holds up no other', async () => {
  const app = await open('app')
  const plain = await open('plain')
  guarded('old')
  await app.evaluate(() => { delete localStorage['token'] })
  await app.evaluate(() => window.queue.pause('http'))
  const ids = await sendMany(app, 3, 'hooked')
  await app.evaluate(() => window.queue.close())
  await app.close()
  pages = [plain]
  await plain.evaluate(() => window.queue.resume('http'))
  answer = ({ token }, response) => { response.writeHead(token ? 200 : 202).end('{}') }
  const bare = await send(plain, '/api/bare')
  await settled(plain, [bare])
  expect(sent().map(({ url }) => url)).toEqual(['/api/bare'])
  expect((await Promise.all(ids.map((id) => get(plain, id)))).map(({ state }) => state)).toEqual(['waiting', 'waiting', 'waiting'])
  const again = await open('app')
  await settled(again, ids)
  expect(sent().filter(({ token }) => token === 'Bearer old')).toHaveLength(3)
})

test('after another user has signed in none of the first one’s requests are sent, nor under the second’s name; they go on when the first is back', async () => {
  const tabs = [await open('app'), await open('app')] as const
  await tabs[0].evaluate(async () => { localStorage['token'] = 'ann'; await window.queue.setUser('ann') })
  answer = (_one, response) => { setTimeout(() => { response.end('{}') }, 40) }
  const ids = await sendMany(tabs[0], 60, 'ann')
  await pause(150)
  await tabs[1].evaluate(async () => { await window.queue.setUser('bob'); localStorage['token'] = 'bob' })
  const switched = performance.now()
  const theirs = await sendMany(tabs[0], 5, 'bob')
  await settled(tabs[0], theirs)
  await pause(500)
  const late = sent().filter(({ at }) => at > switched)
  expect(late.every(({ url, token }) => url.startsWith('/api/bob') && token === 'Bearer bob')).toBe(true)
  const early = sent().filter(({ at }) => at <= switched)
  expect(early.length).toBeGreaterThan(0)
  expect(early.length).toBeLessThan(60)
  expect(early.every(({ url, token }) => url.startsWith('/api/ann') && token === 'Bearer ann')).toBe(true)
  await tabs[0].evaluate(async () => { localStorage['token'] = 'ann'; await window.queue.setUser('ann') })
  await settled(tabs[0], ids)
  const anns = (await jobs(tabs[0])).filter(({ user }) => user === 'ann')
  expect([anns.length, anns.filter(({ state, failures }) => state === 'completed' && failures === 0).length]).toEqual([60, 60])
})

test('a handler is told to stop when its user signs out; its job goes back at no cost', async () => {
  const tab = await open('plain')
  await tab.evaluate(async () => {
    await window.queue.setUser('ann')
    await window.queue.process('mail', (_job, { signal }) => new Promise((_resolve, reject) => { signal.addEventListener('abort', () => { reject(signal.reason as Error) }) }))
    await window.queue.pushMany('mail', [1, 2, 3].map((data) => ({ name: 'a', data })))
  })
  await heard(tab, 'active').catch(() => {})
  await expect.poll(async () => (await jobs(tab)).some(({ state }) => state === 'active')).toBe(true)
  await tab.evaluate(() => window.queue.setUser(null))
  expect((await jobs(tab)).map(({ state, failures, stalls }) => [state, failures, stalls])).toEqual([['waiting', 0, 0], ['waiting', 0, 0], ['waiting', 0, 0]])
})

test('forgetUser removes all that a user has here, and nobody else’s', async () => {
  const tab = await open('app')
  answer = () => {}
  await tab.evaluate(async () => { await window.queue.setUser('ann') })
  await sendMany(tab, 10, 'ann')
  await tab.evaluate(() => window.queue.setUser('bob'))
  answer = (_one, response) => { response.end('{}') }
  await settled(tab, await sendMany(tab, 3, 'bob'))
  await tab.evaluate(() => window.queue.forgetUser('ann'))
  await expect.poll(async () => (await jobs(tab)).map(({ user }) => user)).toEqual(['bob', 'bob', 'bob'])
  await expect(tab.evaluate(() => window.queue.setUser(7 as unknown as string))).rejects.toThrow(/id must be/)
})

test('beforeSend changes what is sent, and nothing of what is stored; another origin is refused', async () => {
  const tab = await open('sends')
  await hook(tab, `(request, job) => ({ url: request.url + '?v=2', headers: { ...request.headers, authorization: 'Bearer ' + job.name }, body: request.body.toUpperCase() })`)
  const id = await send(tab, '/api/x', { json: { a: 'b' } })
  await settled(tab, [id])
  expect(sent()).toMatchObject([{ url: '/api/x?v=2', token: 'Bearer fetch', body: '{"A":"B"}', key: `"${id}"` }])
  expect(JSON.stringify(await get(tab, id))).not.toContain('Bearer')
  await hook(tab, `(request) => { request.url = 'https://elsewhere.example/' }`)
  const astray = await send(tab, '/api/y', { json: 0 }, { maxAttempts: 1 })
  await settled(tab, [astray])
  expect((await get(tab, astray)).attempts?.[0]?.error.message).toMatch(/may not change the origin/)
  await hook(tab, `() => { throw new Error('no token yet') }`)
  const failed = await send(tab, '/api/z', { json: 0 }, { maxAttempts: 1 })
  await settled(tab, [failed])
  expect((await get(tab, failed)).attempts?.[0]?.error.message).toContain('no token yet')
  expect(sent()).toHaveLength(1)
})

test.each([
  ['a 200 that says no', 200, `(answer) => answer.body.error && 'dead'`, { state: 'dead', failures: 1 }, 1],
  ['a 404 that is as good as done', 404, `({ status }) => status === 404 ? 'done' : undefined`, { state: 'completed', failures: 0 }, 1],
  ['a 400 that will be good', 400, `({ status }) => status === 400 ? { kind: 'retry', afterMs: 10 } : undefined`, { state: 'completed', failures: 1 }, 2],
  ['a 500 that is the whole server’s', 500, `({ status }) => status === 500 ? { kind: 'origin', afterMs: 500 } : undefined`, { state: 'completed', failures: 0 }, 2],
  ['nothing to say', 422, `() => undefined`, { state: 'dead', failures: 1 }, 1],
  ['nonsense', 200, `() => 'fine'`, { state: 'dead', failures: 1 }, 1],
])('classify: %s', async (_what, status, how, becomes, asks) => {
  const tab = await open('judges')
  await hook(tab, how)
  answer = (_one, response) => { response.writeHead(seen.length === 1 ? status : 204, { 'content-type': 'application/json' }).end(seen.length === 1 ? '{"error":"no"}' : undefined) }
  const id = await send(tab, '/api/x', { json: 0 }, { maxAttempts: becomes.state === 'completed' ? 3 : 1 })
  await settled(tab, [id])
  expect(await get(tab, id)).toMatchObject(becomes)
  expect(seen).toHaveLength(asks)
})
