/** The service worker as one more participant: with no tab open, beside working tabs, killed, and for what pages could not send. */
import type { IncomingMessage, ServerResponse } from 'node:http'
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from 'vitest'
import type { CDPSession, Page } from 'playwright-core'
import type { FetchInit, Queue } from 'holdfast'
import { KillableBrowser, pause, serveSite, until, type Site } from './harness.ts'

interface Seen { readonly url: string; readonly body: string; readonly key: string; readonly type: string | undefined; readonly by: string }

let browser: KillableBrowser
let site: Site
/** What was answered. */
let seen: Seen[] = []
/** What was asked, answered or not. */
let asked: string[] = []
let down = false
let answer: (response: ServerResponse, url: string) => void
let atOnce = 0
let mostAtOnce = 0
const header = (request: IncomingMessage, name: string): string | undefined => { const value = request.headers[name]; return Array.isArray(value) ? value[0] : value }

const SERVICE = `import { queueFetch, serveSync } from '/holdfast/service-worker.js'
  const queue = serveSync('app')
  queueFetch(queue, ({ url }) => url.pathname === '/api/always', { always: true })
  queueFetch(queue, ({ url }) => url.pathname.startsWith('/api/'))
  self.addEventListener('message', (event) => { event.waitUntil(queue.send(event.data).then(() => 'done', String).then((said) => { event.source.postMessage(said) })) })
  self.addEventListener('install', () => { skipWaiting() })
  self.addEventListener('activate', (event) => { event.waitUntil(clients.claim()) })`
const PAGE = `import { openQueue } from 'holdfast'
  import { withSync } from 'holdfast/service-worker/page'
  await navigator.serviceWorker.register('/sw.js', { type: 'module' })
  await navigator.serviceWorker.ready
  if (!navigator.serviceWorker.controller) await new Promise((resolve) => { navigator.serviceWorker.oncontrollerchange = resolve })
  const asked = new URLSearchParams(location.search)
  if (!asked.has('bare')) window.queue = await openQueue('app')
  if (asked.has('sync')) window.queue = withSync(window.queue)
  window.ready = true`

/** Chromium tries again after 2 s instead of 5 min. */
const QUICK_RETRIES = ['--force-fieldtrials=BackgroundSync/Quick/', '--force-fieldtrial-params=BackgroundSync.Quick:initial_retry_delay_sec/2']
/** It believes to be offline until it is told. */
const DIM = `let offline = true
  Object.defineProperty(navigator, 'onLine', { get: () => !offline })
  const tell = (what) => fetch('/journal', { method: 'POST', body: 'sync ' + what })
  self.addEventListener('sync', (event) => {
    void tell('began')
    const { waitUntil } = event
    event.waitUntil = (work) => { waitUntil.call(event, work); work.catch(() => tell('rejected')) }
  })
  self.addEventListener('message', (event) => { offline = false; event.stopImmediatePropagation() })`

beforeAll(async () => {
  site = await serveSite({ 'sw.js': SERVICE, 'poor.js': `delete ServiceWorkerRegistration.prototype.sync\n${SERVICE}`, 'dim.js': `${DIM}\n${SERVICE}`, page: PAGE, dim: PAGE.replace('/sw.js', '/dim.js'), poor: PAGE.replace('/sw.js', '/poor.js') }, (request, body, response) => {
    asked.push(request.url ?? '')
    if (down) { request.socket.destroy(); return }
    mostAtOnce = Math.max(mostAtOnce, ++atOnce)
    response.on('close', () => { atOnce-- })
    const one: Seen = { url: request.url ?? '', body, key: header(request, 'idempotency-key') ?? '', type: header(request, 'content-type'), by: new URL(header(request, 'referer') ?? 'none:').pathname }
    response.on('finish', () => { seen.push(one) })
    answer(response, one.url)
  })
})
afterAll(async () => { await site.close() })

/** A page of no origin, by which the browser is told what to do. */
let cdp: CDPSession
let registration = ''
beforeEach(async () => {
  browser = new KillableBrowser({ more: QUICK_RETRIES })
  await browser.start()
  seen = []
  asked = []
  mostAtOnce = atOnce = 0
  down = false
  answer = (response) => { response.end('{}') }
  const blank = await browser.page()
  cdp = await blank.context().newCDPSession(blank)
  cdp.on('ServiceWorker.workerRegistrationUpdated', ({ registrations }) => { registration = registrations.at(-1)?.registrationId ?? registration })
  await cdp.send('ServiceWorker.enable')
})
afterEach(async () => { await browser.dispose() })

const sync = (): Promise<unknown> => cdp.send('ServiceWorker.dispatchSyncEvent', { origin: site.url, registrationId: registration, tag: 'holdfast:app', lastChance: false })

async function open(path = 'page'): Promise<Page> {
  const page = await browser.page()
  await page.goto(`${site.url}/${path}`)
  await page.waitForFunction('window.ready')
  return page
}
interface Window { readonly queue: Queue }
const push = (page: Page, count: number, init: FetchInit = {}): Promise<string[]> =>
  page.evaluate(([n, how]) => Promise.all(Array.from({ length: n }, (_, i) => (window as unknown as Window).queue.fetch(`/api/${i}`, { json: { i }, ...how }))), [count, init] as const)
const keys = (): string[] => seen.map(({ key }) => key).sort()
const quoted = (ids: readonly string[]): string[] => ids.map((id) => `"${id}"`).sort()

/** What is left of whoever was here. */
async function left(): Promise<{ locks: string[]; leases: unknown[]; states: unknown[] }> {
  const page = await browser.page()
  await page.goto(`${site.url}/empty`)
  const found = await page.evaluate(async () => {
    const db = await new Promise<IDBDatabase>((resolve, reject) => { const opening = indexedDB.open('holdfast:app'); opening.onsuccess = () => { resolve(opening.result) }; opening.onerror = () => { reject(opening.error!) } })
    const all = (room: string): Promise<unknown[]> => new Promise((resolve) => { const asking = db.transaction(room).objectStore(room).getAll(); asking.onsuccess = () => { resolve(asking.result as unknown[]) } })
    const leases = await all('leases')
    const rows = [...await all('queues'), ...(await all('meta')).flatMap((meta) => (meta as { queue?: unknown }).queue ?? [])] as Array<{ queue: string; counts: Record<string, number>; processors: object }>
    // Of a queue the row in the meta row counts.
    const states = [...new Map(rows.map((row) => [row.queue, row])).values()].map(({ counts, processors }) => ({ ...Object.fromEntries(Object.entries(counts).filter(([, count]) => count > 0)), processors: Object.keys(processors).length }))
    db.close()
    const { held = [], pending = [] } = await navigator.locks.query()
    return { locks: [...held, ...pending].map(({ name = '' }) => name), leases, states }
  })
  await page.close()
  return found
}

test('with all tabs closed, a sync event sends what is stored, each once, and leaves nothing behind', async () => {
  const page = await open()
  down = true
  // Uploads are sent in another way. Neither is queued again by the service worker that the tab sends through.
  const upload = await page.evaluate(() => (window as unknown as Window).queue.fetch('/api/upload', { body: new Blob(['bytes'], { type: 'text/plain' }) }))
  await until(() => asked.includes('/api/upload'))
  const ids = [upload, ...await push(page, 4)]
  await until(() => asked.some((url) => url !== '/api/upload'))
  await page.close()
  expect(seen).toEqual([])
  down = false
  await sync()
  await until(() => seen.length === 5)
  await until(async () => (await left()).locks.length === 0)
  expect(keys()).toEqual(quoted(ids))
  expect(new Set(seen.map(({ by }) => by))).toEqual(new Set(['/sw.js']))
  expect(await left()).toEqual({ locks: [], leases: [], states: [{ completed: 5, processors: 0 }] })
})

test('withSync: the browser calls by itself, and again when that was in vain', async () => {
  const page = await open('dim?sync')
  down = true
  const ids = await push(page, 3)
  const events = (what: string): number => site.journal.notes.filter(({ id }) => id === what).length
  await until(() => events('rejected') > 0)
  // As many as the page asked for; from here on only the browser's own tries follow.
  await pause(500)
  await page.evaluate(() => { navigator.serviceWorker.controller?.postMessage('online') })
  await page.close()
  const before = events('began')
  expect(seen).toEqual([])
  down = false
  await until(() => seen.length === 3, 30_000)
  expect(events('began')).toBeGreaterThan(before)
  expect(keys()).toEqual(quoted(ids))
})

test('two tabs at work and one sync event after another: each request arrives once, and no more at a time than the queue allows', async () => {
  const tabs = [await open(), await open()]
  answer = (response) => { setTimeout(() => { response.end('{}') }, 15) }
  const pushing = Promise.all(tabs.map((page) => push(page, 100)))
  let events = 0
  await until(async () => { await sync(); events++; await pause(30); return seen.length >= 200 }, 60_000)
  await pause(500)
  expect(keys()).toEqual(quoted((await pushing).flat()))
  expect(mostAtOnce).toBeLessThanOrEqual(4)
  const by = Object.fromEntries(['/sw.js', '/holdfast/worker.js'].map((who) => [who, seen.filter((one) => one.by === who).length]))
  console.info(`${events} sync events, sent by ${JSON.stringify(by)}, ${asked.length} asked`)
  expect(by['/sw.js']).toBeGreaterThan(0)
  expect(by['/holdfast/worker.js']).toBeGreaterThan(0)
  expect(await tabs[0]?.evaluate(async () => (await (window as unknown as Window).queue.verify()).faults)).toEqual([])
})

test('a tab closed and then a service worker killed in the middle of their requests: they come back, and the next event sends them', async () => {
  const page = await open()
  let kept: ServerResponse[] = []
  answer = (response) => { kept.push(response) }
  const ids = await push(page, 6)
  await until(() => kept.length === 4)
  await page.close()
  await until(() => kept.every(({ closed }) => closed))
  kept = []
  await sync()
  await until(() => kept.length === 4)
  await cdp.send('ServiceWorker.stopAllWorkers')
  await until(() => kept.every(({ closed }) => closed))
  expect((await left()).states).toEqual([expect.objectContaining({ active: 4, waiting: 2 })])
  answer = (response) => { response.end('{}') }
  await sync()
  await until(() => seen.length >= 6)
  await until(async () => (await left()).locks.length === 0)
  expect(keys()).toEqual(quoted(ids))
  expect(await left()).toEqual({ locks: [], leases: [], states: [{ completed: 6, processors: 0 }] })
})

interface Told { readonly status?: number; readonly id?: string; readonly header?: string | null; readonly body?: string; readonly error?: string }
const send = (page: Page, url: string, init: RequestInit = {}): Promise<Told> => page.evaluate(async ([to, how]) => {
  try {
    const response = await fetch(to, { method: 'POST', ...how })
    const body = await response.text()
    const header = response.headers.get('holdfast-job')
    return { status: response.status, header, body, ...(header && JSON.parse(body) as object) }
  } catch (error) { return { error: String(error) } }
}, [url, init] as const)

test('what a page could not send is answered by 202 and sent later, once, as it was; what was answered passes as it is', async () => {
  const page = await open('page?bare')
  const json = { headers: { 'content-type': 'application/json', 'x-mine': 'yes' }, body: '{"n": 10000000000000000001}' }
  answer = (response, url) => { response.writeHead(url === '/api/bad' ? 422 : 200).end('as it is') }
  expect(await send(page, '/api/bad', json)).toEqual({ status: 422, header: null, body: 'as it is' })
  expect(seen).toHaveLength(1)
  seen = []
  down = true
  const one = await send(page, '/api/one', json)
  expect(one).toMatchObject({ status: 202, header: one.id, id: expect.any(String) as string })
  const two = await send(page, '/api/two', { method: 'DELETE', headers: { 'idempotency-key': 'mine' } })
  expect(two.status).toBe(202)
  // What it cannot store or must not send in the page's name.
  for (const init of [{ headers: { authorization: 'Bearer x' }, body: 'x' }, { method: 'GET' }, { credentials: 'omit' as const, body: 'x' }])
    expect(await send(page, '/api/no', init), JSON.stringify(init)).toEqual({ error: 'TypeError: Failed to fetch' })
  const form = await page.evaluate(async () => { const data = new FormData(); data.append('file', new Blob(['\u0000\u00ff']), 'a.bin'); return (await fetch('/api/three', { method: 'POST', body: data })).status })
  expect(form).toBe(202)
  await page.close()
  await pause(200)
  down = false
  await sync()
  await until(() => seen.length >= 3)
  await until(async () => (await left()).locks.length === 0)
  expect(seen.sort((a, b) => a.url.localeCompare(b.url))).toEqual([
    { url: '/api/one', body: json.body, key: `"${one.id}"`, type: 'application/json', by: '/sw.js' },
    expect.objectContaining({ url: '/api/three', body: expect.stringContaining('filename="a.bin"\r\nContent-Type: application/octet-stream\r\n\r\n\0\u00ff\r\n') as string, type: expect.stringContaining('multipart/form-data; boundary=') as string, by: '/sw.js' }),
    { url: '/api/two', body: '', key: 'mine', type: undefined, by: '/sw.js' },
  ])
  expect((await left()).states).toEqual([{ completed: 3, processors: 0 }])
})

test('asked to queue at once, it does, and the browser calls it; what it cannot store goes to the network as ever', async () => {
  const page = await open('page?bare')
  const { status, id } = await send(page, '/api/always', { body: 'x' })
  expect(status).toBe(202)
  await until(() => seen.length === 1)
  expect(seen).toEqual([{ url: '/api/always', body: 'x', key: `"${id}"`, type: 'text/plain;charset=UTF-8', by: '/sw.js' }])
  expect(await send(page, '/api/always', { body: 'y', headers: { authorization: 'Bearer x' } })).toEqual({ status: 200, header: null, body: '{}' })
  expect(seen).toMatchObject([{ body: 'x' }, { body: 'y', key: '' }])
})

test('when its time is over, what is under way goes back, though the service worker and a tab live on', async () => {
  const page = await open()
  down = true
  await push(page, 6)
  await page.evaluate(() => (window as unknown as Window).queue.close())
  down = false
  let held = 0
  answer = () => { held++ }
  const said = await page.evaluate(() => new Promise((resolve) => {
    navigator.serviceWorker.onmessage = ({ data }) => { resolve(data) }
    navigator.serviceWorker.startMessages()
    navigator.serviceWorker.controller?.postMessage(1500)
  }))
  expect(said).toBe('Error: Requests of app are left, to be tried again')
  expect(held).toBeGreaterThan(0)
  expect(await left()).toEqual({ locks: [], leases: [], states: [{ waiting: 6, processors: 0 }] })
})

test('where there is no Background Sync, nothing throws, and it sends when it starts', async () => {
  const page = await open('poor')
  down = true
  const ids = await push(page, 3)
  const errors: string[] = []
  page.on('pageerror', (error) => { errors.push(String(error)) })
  await page.evaluate(() => (window as unknown as Window).queue.close())
  await cdp.send('ServiceWorker.stopAllWorkers')
  down = false
  await page.goto(`${site.url}/empty`)
  await until(() => seen.length === 3)
  expect(keys()).toEqual(quoted(ids))
  expect(seen.every(({ by }) => by === '/poor.js')).toBe(true)
  expect(errors).toEqual([])
})
