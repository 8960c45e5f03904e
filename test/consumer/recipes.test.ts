/** The recipes at work: in real browsers, against real servers, beside the package that one of them replaces. */
import { join } from 'node:path'
import { getRequestListener, type HttpBindings } from '@hono/node-server'
import { Hono, type Context, type MiddlewareHandler } from 'hono'
import { chromium, type Browser, type Page } from 'playwright-core'
import { rolldown } from 'rolldown'
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest'
import type { Queue } from 'holdfast'
import { bundleServiceWorker } from '../../scripts/builtin-worker.mjs'
import { launchOptions } from '../../scripts/chromium.mjs'
import { KillableBrowser, pause, serveSite, until } from '../crash/harness.ts'
import { root, writeApp } from './documents.ts'
import { shop } from './shop.ts'

const app = writeApp()
const recipe = (file: string): string => join(app.folder, 'recipes', file)
afterAll(() => { app.remove() })

describe('offline writes', () => {
  let browser: Browser
  beforeAll(async () => { browser = await chromium.launch(launchOptions()) })
  afterAll(() => browser.close())

  test('what is typed is shown at once, also after a reload, until the server has it; what it refused can be typed anew or discarded', async () => {
    const { api, todos } = shop()
    let down = false
    /** Taken in, and the answer does not come through. */
    let lost = false
    const server = await app.serve(new Hono().use(async (c, next) => {
      if (!down) await next()
      if (down || (lost && c.req.method === 'POST')) c.res = new Response(null, { status: 503 })
    }).route('/', api))
    onTestFinished(() => server.close())
    const page = await browser.newPage()
    const errors: string[] = []
    page.on('pageerror', (error) => { errors.push(String(error)) })
    await page.goto(`${server.url}recipes/list.ts.html`)
    const shown = (): Promise<string[]> => page.locator('li').evaluateAll((lines) => lines.map(({ textContent }) => textContent ?? ''))
    const type = async (text: string): Promise<void> => {
      await page.locator('input').fill(text)
      await page.locator('input').blur()
    }
    await type('Buy rope')
    await expect.poll(shown).toEqual(['Buy rope'])
    down = true
    await type('Paint the hull')
    await expect.poll(shown).toEqual(['Buy rope', 'Paint the hull – not saved yet'])
    await page.reload()
    await expect.poll(shown).toEqual(['Paint the hull – not saved yet'])
    down = false
    await expect.poll(shown, { timeout: 10_000 }).toEqual(['Buy rope', 'Paint the hull'])
    lost = true
    await type('Mend the net')
    await expect.poll(() => todos.length).toBe(3)
    await pause(300)
    await expect.poll(shown).toEqual(['Buy rope', 'Paint the hull', 'Mend the net'])
    lost = false
    const refused = [...await shown(), expect.stringMatching(/ – 422 from POST .*: A todo says what is to be done /) as string]
    await type(' ')
    await expect.poll(shown, { timeout: 10_000 }).toEqual(refused)
    page.once('dialog', (dialog) => { void dialog.accept('Feed the gulls') })
    await page.getByText('Edit and retry').click()
    await expect.poll(shown).toEqual(['Buy rope', 'Paint the hull', 'Mend the net', 'Feed the gulls'])
    await type('  ')
    await expect.poll(async () => (await shown()).length).toBe(5)
    await page.getByText('Discard').click()
    await expect.poll(shown).toEqual(['Buy rope', 'Paint the hull', 'Mend the net', 'Feed the gulls'])
    expect(todos.map(({ text }) => text)).toEqual(['Buy rope', 'Paint the hull', 'Mend the net', 'Feed the gulls'])
    expect(errors).toEqual([])
    await page.close()
  })
})

describe('from workbox-background-sync', () => {
  interface Seen { readonly url: string; readonly method: string; readonly body: Buffer; readonly type: string | undefined; readonly key: string | undefined; readonly token: string | undefined; readonly by: string }

  /** As `NetworkOnly` with the plugin does it. */
  const BEFORE = `
    import { BackgroundSyncPlugin, Queue } from 'workbox-background-sync'
    const plugin = new BackgroundSyncPlugin('q', { forceSyncFallback: true })
    const byHand = new Queue('other', { forceSyncFallback: true, onSync: () => Promise.resolve() })
    addEventListener('install', () => { skipWaiting() })
    addEventListener('activate', (event) => { event.waitUntil(clients.claim()) })
    addEventListener('fetch', (event) => {
      const { request } = event
      if (request.method === 'GET' || !request.url.includes('/raw/')) return
      const copy = request.clone()
      event.respondWith(fetch(request).catch(async (error) => {
        if (request.url.includes('other')) await byHand.pushRequest({ request: copy, metadata: { why: 'by hand' } })
        else await plugin.fetchDidFail({ request: copy, originalRequest: request, error, event })
        throw error
      }))
    })`

  async function bundled(input: string, code?: string): Promise<string> {
    const service = { name: 'service-worker', resolveId: (id: string) => id === 'holdfast/service-worker' ? '\0service' : id === input && code !== undefined ? id : undefined, load: async (id: string) => id === '\0service' ? bundleServiceWorker() : id === input ? code : undefined }
    const bundle = await rolldown({ input, cwd: root, platform: 'browser', plugins: [service], transform: { define: { 'process.env.NODE_ENV': '"production"' } } })
    const { output } = await bundle.generate({ format: 'iife', codeSplitting: false })
    await bundle.close()
    return output[0].code
  }

  const PAGE = `
    import { openQueue } from 'holdfast'
    const asked = new URLSearchParams(location.search)
    await navigator.serviceWorker.register('/sw.js')
    await navigator.serviceWorker.ready
    if (asked.has('queue')) window.queue = await openQueue('my-app')
    window.ready = true`

  test('what the real package has stored is moved when the service worker is replaced: each sent once, as it was and in order; a move that was cut short is not repeated', async () => {
    const seen: Seen[] = []
    let down = true
    const scripts: Record<string, string> = { 'sw.js': await bundled('before.js', BEFORE), page: PAGE }
    const site = await serveSite(scripts, (request, _text, response) => {
      if (down) { request.socket.destroy(); return }
      const pieces: Buffer[] = []
      request.on('data', (piece: Buffer) => { pieces.push(piece) })
      request.on('end', () => {
        const { headers, url = '', method = '' } = request
        seen.push({ url, method, body: Buffer.concat(pieces), type: headers['content-type'], key: headers['idempotency-key'] as string | undefined, token: headers.authorization, by: String(headers['x-by']) })
        setTimeout(() => { response.end('{}') }, 20)
      })
    })
    const browser = new KillableBrowser()
    await browser.start()
    onTestFinished(async () => { await browser.dispose(); await site.close() })
    const open = async (more = ''): Promise<Page> => {
      const page = await browser.page()
      await page.goto(`${site.url}/page${more}`)
      await page.waitForFunction('window.ready')
      return page
    }
    interface Row { readonly id: number; readonly queueName: string; readonly timestamp: number }
    /** What Workbox has stored, after `more` were stored too. */
    const rows = (page: Page, more: ReadonlyArray<Row & { readonly requestData?: object }> = []): Promise<Row[]> => page.evaluate(async (added) => {
      const db = await new Promise<IDBDatabase>((resolve) => { const opening = indexedDB.open('workbox-background-sync'); opening.onsuccess = () => { resolve(opening.result) } })
      const store = db.transaction('requests', 'readwrite').objectStore('requests')
      for (const row of added) store.put(row)
      const all = await new Promise<Row[]>((resolve) => { const asking = store.getAll(); asking.onsuccess = () => { resolve(asking.result as Row[]) } })
      db.close()
      return all.map(({ id, queueName, timestamp }) => ({ id, queueName, timestamp }))
    }, more)

    const old = await open()
    await old.waitForFunction('navigator.serviceWorker.controller')
    const failed = await old.evaluate(async () => {
      const form = new FormData()
      form.append('note', 'Grüße')
      form.append('file', new File([Uint8Array.from({ length: 256 }, (_, i) => i)], 'a.bin', { type: 'application/x-test' }))
      const asked: Array<[string, RequestInit]> = [
        ['/raw/0', { method: 'POST', headers: { 'content-type': 'application/json', 'x-by': 'page', authorization: 'Bearer old' }, body: '{"n": 10000000000000000001}' }],
        ['/raw/1', { method: 'DELETE' }],
        ['/raw/2', { method: 'POST', body: form }],
        ['/raw/3', { method: 'PUT', headers: { 'idempotency-key': 'mine' }, body: new Uint8Array(100_000).fill(7) }],
        ['/raw/other', { method: 'POST', body: 'by hand' }],
        ['/raw/4', { method: 'PATCH', body: new URLSearchParams({ a: 'ü' }) }],
        [`http://localhost:${location.port}/raw/beacon`, { method: 'POST', mode: 'no-cors', body: 'x' }],
      ]
      const said: string[] = []
      for (const [url, init] of asked) said.push(await fetch(url, init).then(() => 'answered', String))
      return said
    })
    expect(failed).toEqual(Array<string>(7).fill('TypeError: Failed to fetch'))
    const before = await rows(old)
    expect(before.map(({ queueName }) => queueName)).toEqual(['q', 'q', 'q', 'q', 'other', 'q', 'q'])

    // The app's next release is used once no page of the last one is open.
    scripts['sw.js'] = await bundled(recipe('sw.ts'))
    await old.evaluate(async () => { await (await navigator.serviceWorker.getRegistration())?.update() })
    await old.waitForFunction('navigator.serviceWorker.getRegistration().then(({ waiting }) => waiting)')
    await old.close()
    await pause(1000)
    const page = await open()
    await until(async () => (await rows(page)).length === 1, 20_000)
    expect(await rows(page)).toEqual(before.slice(-1))
    down = false
    const working = await open('?queue')
    await until(() => seen.length >= 6, 20_000)
    const inOrder = seen.filter(({ url }) => url !== '/raw/other')
    expect(inOrder).toMatchObject([
      { method: 'POST', url: '/raw/0', body: Buffer.from('{"n": 10000000000000000001}'), type: 'application/json', by: 'page', token: undefined },
      { method: 'DELETE', url: '/raw/1', body: Buffer.alloc(0) },
      { method: 'POST', url: '/raw/2' },
      { method: 'PUT', url: '/raw/3', body: Buffer.alloc(100_000, 7), key: 'mine' },
      { method: 'PATCH', url: '/raw/4', body: Buffer.from('a=%C3%BC'), type: 'application/x-www-form-urlencoded;charset=UTF-8' },
    ])
    const form = await new Response(new Uint8Array(inOrder[2]!.body), { headers: { 'content-type': inOrder[2]!.type! } }).formData()
    const file = form.get('file') as File
    expect([form.get('note'), file.name, file.type, [...new Uint8Array(await file.arrayBuffer())]]).toEqual(['Grüße', 'a.bin', 'application/x-test', Array.from({ length: 256 }, (_, i) => i)])
    expect(new Set(seen.map(({ key }) => key)).size).toBe(6)

    // As if the service worker had been ended before it could delete them.
    await rows(page, before.slice(0, 6).map((row) => ({ ...row, requestData: { url: `${site.url}/raw/again`, method: 'POST' } })))
    const cdp = await page.context().newCDPSession(page)
    await cdp.send('ServiceWorker.enable')
    await cdp.send('ServiceWorker.stopAllWorkers')
    await page.evaluate(() => fetch('/empty'))
    await until(async () => (await rows(page)).length === 1, 20_000)
    await pause(500)
    expect(seen).toHaveLength(6)
    expect(await working.evaluate(() => (window as unknown as { queue: Queue }).queue.stats('http'))).toMatchObject({ counts: { completed: 6, waiting: 0, blocked: 0 } })
  })

  test('where Workbox never was, nothing is moved and nothing made', async () => {
    const site = await serveSite({ 'sw.js': await bundled(recipe('sw.ts')), page: PAGE })
    const browser = new KillableBrowser()
    await browser.start()
    onTestFinished(async () => { await browser.dispose(); await site.close() })
    const page = await browser.page()
    await page.goto(`${site.url}/page`)
    await page.waitForFunction('window.ready')
    const names = (): Promise<unknown[]> => page.evaluate(async () => (await indexedDB.databases()).map(({ name }) => name))
    for (const end = performance.now() + 1500; performance.now() < end; await page.evaluate(() => fetch('/empty'))) expect(await names()).toEqual([])
  })
})

describe('the server’s side of a key', () => {
  type Idempotency = (userOf: (c: Context) => string) => MiddlewareHandler
  let idempotency: Idempotency
  let browser: KillableBrowser
  beforeAll(async () => {
    ({ idempotency } = await import(/* @vite-ignore */ recipe('idempotency.ts')) as { idempotency: Idempotency })
    browser = new KillableBrowser()
    await browser.start()
  })
  afterAll(() => browser.dispose())

  /** A server that counts what it did, slowly. What is to go wrong is said by the request. */
  async function server(slowMs = 50) {
    const done: string[] = []
    const asked: Array<readonly [key: string | undefined, status: number]> = []
    let lost = 0
    const api = new Hono<{ Bindings: HttpBindings }>().basePath('/raw')
      .use(async (c, next) => {
        await next()
        asked.push([c.req.header('idempotency-key'), c.res.status])
        if (lost > 0) { lost--; c.env.incoming.socket.destroy() }
      })
      .use(idempotency((c) => c.req.header('x-user') ?? ''))
      .all('/nothing', async (c) => { done.push(await c.req.text()); return c.body(null, 204) })
      .all('/form', async (c) => {
        const form = await c.req.formData()
        const file = form.get('file') as File
        await pause(slowMs)
        done.push(`${file.name} ${new Uint8Array(await file.arrayBuffer()).join()}`)
        return c.json({ n: done.length }, 201)
      })
      .all('*', async (c) => {
        const body = await c.req.text()
        await pause(slowMs)
        if (body === 'throw' && !done.includes('threw')) { done.push('threw'); throw new Error('a bug') }
        if (body === 'refuse' && !done.includes('refused')) { done.push('refused'); return c.json({ title: 'not yet' }, 422) }
        done.push(body)
        return c.json({ n: done.length }, 201, { 'x-n': String(done.length) })
      })
      .onError((_error, c) => c.text('a bug', 500))
    const listener = getRequestListener(api.fetch)
    const site = await serveSite(`import { openQueue } from 'holdfast'\n window.queue = await openQueue('keys-' + location.hash.slice(1))\n window.ready = true`, (request, _body, response) => { void listener(request, response) })
    onTestFinished(() => site.close())
    const ask = (path: string, key: string | undefined, init: RequestInit = {}): Promise<Response> =>
      fetch(`${site.url}/raw/${path}`, { method: 'POST', body: 'x', ...init, headers: { ...key !== undefined && { 'idempotency-key': key }, ...init.headers as Record<string, string> } })
    return { site, done, asked, ask, lose(count: number) { lost = count } }
  }

  test('50 at once under one key: one is done, the others are told that it is at work, later ones get its answer', async () => {
    const { done, ask } = await server(1000)
    const answers = await Promise.all(Array.from({ length: 50 }, () => ask('orders', 'k')))
    for (const { status, headers } of answers) expect(headers.get('retry-after')).toBe(status === 409 ? '1' : null)
    expect(answers.map(({ status }) => status).toSorted((a, b) => a - b)).toEqual([201, ...Array<number>(49).fill(409)])
    expect(done).toEqual(['x'])
    for (let i = 0; i < 3; i++) {
      const again = await ask('orders', 'k')
      expect([again.status, again.headers.get('x-n'), await again.json()]).toEqual([201, '1', { n: 1 }])
    }
    expect(done).toEqual(['x'])
  })

  test('keys of their own, other users, and none: each is done', async () => {
    const { done, ask } = await server()
    const answers = await Promise.all(Array.from({ length: 50 }, (_, i) => ask('orders', i < 20 ? `k${i}` : i < 40 ? 'k' : undefined, { body: String(i), headers: { 'x-user': i < 20 ? '' : `u${i}` } })))
    expect(new Set(answers.map(({ status }) => status))).toEqual(new Set([201]))
    expect(done).toHaveLength(50)
  })

  test('another body, path or method under a key is refused, also while the first is at work', async () => {
    const { done, ask } = await server(500)
    const first = ask('orders', 'k')
    const others = () => Promise.all([ask('orders', 'k', { body: 'y' }), ask('order', 'k'), ask('orders', 'k', { method: 'PUT' })])
    for (const { status } of await others()) expect(status).toBe(422)
    expect((await first).status).toBe(201)
    for (const { status } of await others()) expect(status).toBe(422)
    expect(done).toEqual(['x'])
  })

  test('what was refused or went wrong is not kept; an answer without a body is', async () => {
    const { done, ask } = await server()
    for (const [body, status] of [['throw', 500], ['refuse', 422]] as const) {
      expect((await ask('orders', body, { body })).status).toBe(status)
      expect((await ask('orders', body, { body })).status).toBe(201)
      expect((await ask('orders', body, { body })).status).toBe(201)
    }
    expect([(await ask('nothing', 'k')).status, (await ask('nothing', 'k')).status]).toEqual([204, 204])
    expect(done).toEqual(['threw', 'throw', 'refused', 'refuse', 'x'])
  })

  test('a queue whose answers are lost: text and a form with a file are each done once, and the job gets the first answer', async () => {
    const { site, done, asked, lose } = await server()
    const page = await browser.page()
    await page.goto(`${site.url}/page#lost`)
    await page.waitForFunction('window.ready')
    for (const [path, init] of [['orders', `{ body: 'an order' }`], ['form', `{ body: (() => { const form = new FormData(); form.append('file', new File([Uint8Array.from({ length: 256 }, (_, i) => i)], 'a.bin')); return form })() }`]]) {
      done.length = asked.length = 0
      // The browser itself repeats one that was cut off on a connection used before.
      lose(3)
      expect(await page.evaluate(`queue.fetch('/raw/${path}', ${init}, { keepResult: true }).then((id) => queue.waitFor(id))`)).toMatchObject({ status: 201, body: { n: 1 } })
      expect(done).toEqual([path === 'form' ? `a.bin ${Array.from({ length: 256 }, (_, i) => i).join()}` : 'an order'])
      expect(asked.map(([, status]) => status)).toEqual([201, 201, 201, 201])
      expect(new Set(asked.map(([key]) => key)).size).toBe(1)
    }
    await page.close()
  })

  test('a page that is reloaded while its request is at work: told so, it tries again, and it is done once', async () => {
    const { site, done, asked } = await server(1500)
    const page = await browser.page()
    await page.goto(`${site.url}/page#reload`)
    await page.waitForFunction('window.ready')
    const id = await page.evaluate<string>(`queue.fetch('/raw/orders', { body: 'an order' }, { keepResult: true })`)
    await pause(300)
    await page.reload()
    await page.waitForFunction('window.ready')
    expect(await page.evaluate((job) => (window as unknown as { queue: Queue }).queue.waitFor(job), id)).toMatchObject({ status: 201, body: { n: 1 } })
    expect(done).toEqual(['an order'])
    expect(asked.map(([, status]) => status)).toEqual(expect.arrayContaining([201, 409]))
    await page.close()
  })

  test('the server of the recipe takes an order once', async () => {
    const { app: api } = await import(/* @vite-ignore */ recipe('server.ts')) as { app: Hono }
    const ask = () => api.request('/orders', { method: 'POST', body: '{"sku":"A-17"}', headers: { 'idempotency-key': 'k' } })
    for (const answer of [await ask(), await ask()]) expect([answer.status, await answer.json()]).toEqual([201, { order: 1 }])
  })
})
