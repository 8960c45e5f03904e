/** SPEC §8: a probe says whether there is a network, where the browser does not know; against a real server, which can be a captive portal. */
import type { ServerResponse } from 'node:http'
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from 'vitest'
import type { Page } from 'playwright-core'
import type { FetchOptions, Job, Queue, QueueEvent } from 'holdfast'
import { KillableBrowser, pause, serveSite, until, type Site } from '../crash/harness.ts'

interface Seen { readonly url: string; readonly key: string | undefined }

const browser = new KillableBrowser()
let site: Site
let queues = 0
let pages: Page[] = []
/** What was sent, probes excluded. */
let sent: Seen[] = []
let probes = 0
let probing = 0
let mostProbing = 0
let answer: (one: Seen, response: ServerResponse) => void
let ping: (response: ServerResponse) => void

const well = (response: ServerResponse): void => { response.writeHead(204).end() }
const login = (response: ServerResponse): void => { response.writeHead(200, { 'content-type': 'text/html' }).end('<h1>Welcome to the harbour Wi-Fi</h1>') }

const page = (probe: string): string => `
  import { openQueue, NetworkError } from 'holdfast'
  window.events = []
  window.runs = 0
  window.NetworkError = NetworkError
  window.queue = await openQueue(new URLSearchParams(location.search).get('name'), { network: { probe: ${probe} } })
  queue.on('*', (event) => events.push(event))
  window.ready = true
`
const PAGES = {
  url: page(`'/api/ping'`),
  asks: page('() => { window.asked = (window.asked ?? 0) + 1; return window.up() }').replace('window.runs', 'window.up = () => fetch("/api/ping").then(({ ok, redirected, headers }) => ok && !redirected && !headers.get("content-type"))\n  window.runs'),
  none: page('undefined'),
}

beforeAll(async () => {
  site = await serveSite(PAGES, (request, _body, response) => {
    const { headers, url = '' } = request
    if (url === '/api/ping') {
      probes++
      mostProbing = Math.max(mostProbing, ++probing)
      response.on('close', () => { probing-- })
      ping(response)
      return
    }
    const one: Seen = { url, key: headers['idempotency-key'] as string | undefined }
    if (url !== '/api/login') sent.push(one)
    answer(one, response)
  })
  await browser.start()
})
afterAll(async () => { await browser.dispose(); await site.close() })
beforeEach(() => { queues++; sent = []; probes = probing = mostProbing = 0; ping = well; answer = (_one, response) => { response.end('{}') } })
afterEach(async () => { for (const one of pages) await one.close(); pages = [] })

interface Window { readonly queue: Queue; readonly events: readonly QueueEvent[]; readonly NetworkError: new (message: string) => Error; up: () => unknown; asked?: number; runs: number }
declare const window: Window

async function open(which: keyof typeof PAGES): Promise<Page> {
  const opened = await browser.page()
  pages.push(opened)
  await opened.goto(`${site.url}/${which}?name=probe-${queues}`)
  await opened.waitForFunction('window.ready')
  return opened
}
const send = (on: Page, count: number, options: FetchOptions = {}, url = '/api/orders'): Promise<string[]> => on.evaluate(([n, more, at]) => Promise.all(Array.from({ length: n }, (_, i) => window.queue.fetch(`${at}/${i}`, { json: i }, more))), [count, options, url] as const)
const settled = (on: Page, ids: readonly string[]): Promise<unknown> => on.evaluate((all) => Promise.allSettled(all.map((id) => window.queue.waitFor(id))), ids)
const jobs = (on: Page): Promise<readonly Job[]> => on.evaluate(async () => (await window.queue.list({ limit: 1000 })).jobs)
const online = (on: Page): Promise<boolean> => on.evaluate(async () => (await window.queue.stats()).online)
const heard = (on: Page, type: string): Promise<QueueEvent[]> => on.evaluate((name) => window.events.filter((event) => event.type === name), type)
/** The browser says that it has joined a network. */
const joined = (on: Page): Promise<unknown> => on.evaluate(`Object.defineProperty(navigator, 'onLine', { configurable: true, get: () => true }); dispatchEvent(new Event('online'))`)

test.each<[string, (response: ServerResponse) => void, RegExp]>([
  ['answers all by a page to log in', login, /\/api\/ping: the answer was a web page, as of a captive portal/],
  ['leads all to a page to log in', (response) => { response.writeHead(302, { location: '/api/login' }).end() }, /it was redirected, as by a captive portal/],
])('a captive portal that %s completes no request: all wait at no cost, and are delivered once it is gone', async (_what, portal, reason) => {
  ping = portal
  answer = (_one, response) => { login(response) }
  const tab = await open('url')
  const ids = await send(tab, 20)
  await until(() => online(tab).then((is) => !is), 5000)
  expect((await tab.evaluate(() => window.queue.stats())).offlineReason).toMatch(reason)
  await pause(1500)
  expect(sent).toEqual([])
  expect((await jobs(tab)).map(({ state, failures, stalls }) => [state, failures, stalls])).toEqual(ids.map(() => ['waiting', 0, 0]))
  ping = well
  answer = (_one, response) => { response.end('{}') }
  await settled(tab, ids)
  expect((await jobs(tab)).filter(({ state, failures }) => state === 'completed' && failures === 0)).toHaveLength(20)
  expect([sent.length, new Set(sent.map(({ key }) => key)).size]).toEqual([20, 20])
  expect([await online(tab), (await heard(tab, 'online')).length]).toEqual([true, 1])
  ping = portal
  await joined(tab)
  await until(() => heard(tab, 'offline').then((events) => events.some((event) => reason.test(event.reason ?? ''))), 5000)
})

test('a portal that is joined while the app is open: nothing goes out before the probe has answered', async () => {
  const tab = await open('url')
  await settled(tab, await send(tab, 3))
  expect(sent).toHaveLength(3)
  // Slow, so that who does not wait for it is seen.
  ping = (response) => { setTimeout(() => { login(response) }, 300) }
  answer = (_one, response) => { login(response) }
  await joined(tab)
  const ids = await send(tab, 5)
  await pause(1500)
  expect([sent.length, await online(tab)]).toEqual([3, false])
  ping = well
  answer = (_one, response) => { response.end('{}') }
  const back = performance.now()
  await joined(tab)
  await settled(tab, ids)
  // Not only when upkeep looks by itself.
  expect(performance.now() - back).toBeLessThan(3000)
  expect((await jobs(tab)).filter(({ state, failures }) => state === 'completed' && failures === 0)).toHaveLength(8)
})

test('of two tabs one asks at a time, ever more rarely; nobody asks while all is well', async () => {
  ping = (response) => { setTimeout(() => { response.writeHead(503).end() }, 100) }
  const tabs = [await open('url'), await open('url')] as const
  await send(tabs[0], 3)
  await until(() => probes >= 1)
  await pause(6000)
  // After 0, 1, 3 and 7 s, and once more for each tab that was opened.
  expect(mostProbing).toBe(1)
  expect(probes).toBeGreaterThanOrEqual(3)
  expect(probes).toBeLessThanOrEqual(7)
  ping = well
  await until(() => online(tabs[1]), 15_000)
  await settled(tabs[0], (await jobs(tabs[0])).map(({ id }) => id))
  const before = probes
  await settled(tabs[1], await send(tabs[1], 5))
  await pause(6000)
  expect(probes).toBe(before)
}, 60_000)

test('when the tab that asks is closed another asks', async () => {
  const first = await open('url')
  await until(() => probes === 1)
  ping = () => {}
  await joined(first)
  await until(() => probes === 2)
  const second = await open('url')
  const ids = await send(second, 3)
  await pause(1000)
  expect([probes, sent.length]).toEqual([2, 0])
  ping = well
  const closed = performance.now()
  await first.close()
  pages = [second]
  await settled(second, ids)
  // Not only because the first one has been silent for so long.
  expect(performance.now() - closed).toBeLessThan(10_000)
  expect(mostProbing).toBe(1)
}, 30_000)

test('no answer from where the probe says that all is well is the request’s own failure, and closes no gate', async () => {
  const tab = await open('url')
  answer = ({ url }, response) => { if (url.startsWith('/api/broken')) response.socket?.destroy(); else response.end('{}') }
  const [broken] = await send(tab, 1, { maxAttempts: 2, backoff: { type: 'fixed', delayMs: 0 } }, '/api/broken')
  await settled(tab, [broken!])
  expect((await jobs(tab))[0]).toMatchObject({ state: 'dead', reason: 'no-answer', failures: 2 })
  await settled(tab, await send(tab, 3))
  expect((await jobs(tab)).filter(({ state }) => state === 'completed')).toHaveLength(3)
  expect(await heard(tab, 'origin-closed')).toEqual([])
})

test('a function says no more than that there is a network: no answer is free, and closes the gate', async () => {
  const tab = await open('asks')
  answer = (_one, response) => { response.socket?.destroy() }
  await send(tab, 1, { maxAttempts: 1 })
  await until(() => heard(tab, 'origin-closed').then((events) => events.length > 1), 10_000)
  expect((await jobs(tab))[0]).toMatchObject({ failures: 0 })
  expect(await heard(tab, 'offline')).toEqual([])
  expect(await tab.evaluate(() => window.asked)).toBeGreaterThanOrEqual(2)
}, 20_000)

test.each([['false', '() => false', /it is false/], ['nothing', '() => {}', /must be true or false, and is undefined/], ['an error', 'async () => { throw new Error("no route") }', /no route/]])('a function that answers %s keeps all waiting', async (_what, how, reason) => {
  const tab = await open('asks')
  await tab.evaluate(`window.up = ${how}`)
  await joined(tab)
  await until(() => heard(tab, 'offline').then((events) => events.some((event) => reason.test(event.reason ?? ''))), 5000)
  const ids = await send(tab, 2)
  await pause(500)
  expect(sent).toEqual([])
  await tab.evaluate(`window.up = () => true`)
  await settled(tab, ids)
  expect(sent).toHaveLength(2)
})

test('handlers of a queue that needs the network wait too, and what failed for want of it is free', async () => {
  const tab = await open('url')
  const id = await tab.evaluate(async () => {
    await window.queue.configure('sync', { needsNetwork: true })
    await window.queue.process('sync', () => { if (++window.runs === 1) throw new window.NetworkError('gone'); return 'done' })
    return ''
  })
  expect(id).toBe('')
  ping = login
  const job = await tab.evaluate(() => window.queue.push('sync', 'a', 0, { maxAttempts: 1 }))
  await until(() => online(tab).then((is) => !is), 5000)
  await pause(1200)
  expect(await tab.evaluate(() => window.runs)).toBe(1)
  expect((await jobs(tab))[0]).toMatchObject({ state: 'waiting', failures: 0 })
  ping = well
  await settled(tab, [job])
  expect((await jobs(tab))[0]).toMatchObject({ state: 'completed', failures: 0 })
  const failing = await tab.evaluate(async () => {
    await window.queue.configure('up', { needsNetwork: true })
    await window.queue.process('up', () => { throw new window.NetworkError('refused') })
    return window.queue.push('up', 'a', 0, { maxAttempts: 1 })
  })
  await settled(tab, [failing])
  expect((await jobs(tab)).find(({ id: one }) => one === failing)).toMatchObject({ state: 'dead', failures: 1 })
}, 30_000)

test('a tab without a probe heeds what another has found', async () => {
  ping = login
  const asks = await open('url')
  await until(() => online(asks).then((is) => !is), 5000)
  const tab = await open('none')
  expect(await online(tab)).toBe(false)
  const ids = await send(tab, 2)
  await pause(500)
  expect(sent).toEqual([])
  ping = well
  await settled(tab, ids)
  expect(await online(tab)).toBe(true)
}, 30_000)
