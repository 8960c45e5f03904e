/** The core of it and its requests in a real Firefox, and kill -9 of it. */
import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Page } from 'puppeteer-core'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import type { Job, Queue } from 'holdfast'
import { findFirefox } from '../../scripts/firefox.mjs'
import { killFirefoxes, KillableFirefox, openStage } from './firefox.ts'
import { pause, serveSite, type Site } from './harness.ts'
import { faultsIn } from './kills.ts'
import { serveTabs, type Realm } from './tabs.ts'

const KILLS = Number(process.env['FIREFOX_KILLS'] ?? 3)
const SEED = Number(process.env['CRASH_SEED'] ?? Math.floor(Math.random() * 2 ** 31))

if (findFirefox() === undefined) console.warn('SKIPPED: there is no Firefox. Install one (Debian: apt-get install firefox-esr), or set FIREFOX to its executable.')

describe.skipIf(findFirefox() === undefined)('Firefox', () => {
  const browser = new KillableFirefox()
  let site: Site
  beforeAll(async () => { site = await serveTabs(); await browser.start() })
  afterAll(async () => { await browser.dispose(); await site.close() })

  test('push, process, retry, waitFor; stored over a reload; two tabs', async () => {
    const page = await browser.page()
    await page.goto(`${site.url}/tab?db=core`)
    await page.waitForFunction('window.ready')
    const here = await page.evaluate(async () => {
      const { queue } = window as unknown as Realm
      await queue.process('q', ({ data }, { attempt }) => {
        if (attempt < 3) throw new Error(`attempt ${attempt}`)
        return `${String(data)} at attempt ${attempt}`
      })
      return queue.waitFor(await queue.push('q', 'n', 'done', { backoff: { type: 'fixed', delayMs: 20 } }), { timeoutMs: 10_000 })
    })
    expect(here).toBe('done at attempt 3')
    const id = await page.evaluate(() => (window as unknown as Realm).queue.push('later', 'n', { nested: new Map([['a', 1]]) }))
    await page.reload()
    await page.waitForFunction('window.ready')
    const other = await browser.page()
    await other.goto(`${site.url}/tab?db=core`)
    await other.waitForFunction('window.ready')
    await other.evaluate(async () => {
      await (window as unknown as Realm).queue.process('later', ({ data }) => (data as { nested: Map<string, number> }).nested.get('a'))
    })
    expect(await page.evaluate((job) => (window as unknown as Realm).queue.waitFor(job, { timeoutMs: 10_000 }), id)).toBe(1)
    const { faults, state } = await page.evaluate(async () => {
      const { queue } = window as unknown as Realm
      return { faults: (await queue.verify()).faults, state: (await queue.storage()).state }
    })
    expect({ faults, state }).toEqual({ faults: [], state: 'ok' })
    await other.close()
    await page.close()
  })

  describe('requests', () => {
    interface Seen { readonly at: number; readonly url: string; readonly key: string | undefined; readonly type: string | undefined; readonly body: Buffer }
    /** Reads large bodies slowly. */
    async function taken(request: IncomingMessage): Promise<Seen> {
      const at = Date.now()
      const { headers, url = '' } = request
      const pieces: Buffer[] = []
      for await (const piece of request as AsyncIterable<Buffer>) if (pieces.push(piece) > 1) await pause(5)
      return { at, url, key: headers['idempotency-key'] as string | undefined, type: headers['content-type'], body: Buffer.concat(pieces) }
    }
    let seen: Seen[] = []
    let down = false
    /** What the server does with the n-th request, from 0. */
    let answer: (n: number, response: ServerResponse) => void
    let api: Site
    let page: Page
    beforeAll(async () => {
      api = await serveSite(`
        import { openQueue } from 'holdfast'
        window.queue = await openQueue('requests-' + performance.timeOrigin)
        window.events = []
        queue.on('*', (event) => events.push(event))
        window.ready = true`, (request, _text, response) => {
        if (down) { request.socket.destroy(); return }
        void taken(request).then((one) => { answer(seen.push(one) - 1, response) })
      })
      page = await browser.page()
      await page.goto(`${api.url}/page`)
      await page.waitForFunction('window.ready')
    })
    afterAll(async () => { await page.close(); await api.close() })
    beforeEach(() => {
      seen = []
      down = false
      answer = (_n, response) => { response.end('{}') }
    })
    /** Runs in the page too. */
    const bytes = (): Uint8Array<ArrayBuffer> => Uint8Array.from({ length: 8_000_000 }, (_, i) => i * 31 + (i >> 8) * 7)
    const run = async <T>(what: string): Promise<T> => await page.evaluate(what) as T
    const send = (url: string, init: string, options = '{}'): Promise<string> => run(`queue.fetch('/raw/${url}', ${init}, ${options})`)
    const settled = (id: string): Promise<Job> => page.evaluate(async (job) => {
      const { queue } = window as unknown as { readonly queue: Queue }
      await queue.waitFor(job, { timeoutMs: 20_000 })
      const { state, failures, result } = (await queue.get(job))!
      return { state, failures, result } as Job
    }, id)

    test('JSON goes out once, with its key, and its answer comes back', async () => {
      answer = (_n, response) => { response.writeHead(201, { 'content-type': 'application/json' }).end('{"order":7}') }
      const id = await send('orders', `{ json: { sku: 'Ä-17' } }`, '{ keepResult: true }')
      expect(await settled(id)).toMatchObject({ state: 'completed', failures: 0, result: { status: 201, body: { order: 7 } } })
      expect(seen).toMatchObject([{ url: '/raw/orders', key: `"${id}"`, type: 'application/json', body: Buffer.from('{"sku":"Ä-17"}') }])
    })

    test('offline they wait, and go out when the page hears that the network is back', async () => {
      await run(`(() => { Object.defineProperty(navigator, 'onLine', { configurable: true, get: () => window.net !== false }); window.net = false; dispatchEvent(new Event('offline')) })()`)
      const id = await send('offline', '{ json: 0 }')
      await pause(300)
      expect(seen).toEqual([])
      await run(`(() => { window.net = true; dispatchEvent(new Event('online')) })()`)
      expect(await settled(id)).toMatchObject({ state: 'completed', failures: 0 })
    })

    test('a server that cuts every connection costs no attempt; all arrive once it is back', async () => {
      down = true
      const ids = await Promise.all(Array.from({ length: 8 }, (_, n) => send(`cut${n}`, `{ json: ${n} }`)))
      await page.waitForFunction(`events.some(({ type }) => type === 'origin-closed')`)
      await pause(500)
      expect(seen).toEqual([])
      down = false
      for (const id of ids) expect(await settled(id)).toMatchObject({ state: 'completed', failures: 0 })
      expect(seen).toHaveLength(8)
      expect(new Set(seen.map(({ key }) => key))).toEqual(new Set(ids.map((id) => `"${id}"`)))
    })

    test('429 with Retry-After closes the origin for so long', async () => {
      answer = (n, response) => { response.writeHead(n === 0 ? 429 : 200, n === 0 ? { 'retry-after': '2' } : {}).end() }
      const id = await send('busy', '{ json: 0 }')
      expect(await settled(id)).toMatchObject({ state: 'completed', failures: 0 })
      const late = seen[1]!.at - seen[0]!.at - 2000
      console.info(`Firefox: asked again ${late} ms after it may be`)
      expect(late).toBeGreaterThan(-20)
      // Some 40 ms; more while the machine is busy.
      expect(late).toBeLessThan(1000)
    })

    test('a group goes one at a time, in order, though one of it fails', async () => {
      answer = (n, response) => { setTimeout(() => { response.writeHead(n === 1 ? 500 : 200).end() }, 20) }
      const ids = await run<string[]>(`Promise.all([0, 1, 2, 3].map((n) => queue.fetch('/raw/edit' + n, { json: n }, { group: 'document', backoff: { type: 'fixed', delayMs: 50 } })))`)
      for (const id of ids) await settled(id)
      expect(seen.map(({ url }) => url)).toEqual(['/raw/edit0', '/raw/edit1', '/raw/edit1', '/raw/edit2', '/raw/edit3'])
    })

    test('a form with a file arrives byte for byte, and tells how far it is', async () => {
      const id = await send('form', `{ body: (() => {
        const form = new FormData()
        form.append('note', 'Grüße\\r\\nzweite Zeile')
        form.append('file', new File([(${bytes.toString()})()], 'a "file" ü.bin', { type: 'application/x-test' }))
        return form
      })() }`)
      expect(await settled(id)).toMatchObject({ state: 'completed', failures: 0 })
      expect(seen).toMatchObject([{ key: `"${id}"` }])
      const form = await new Response(new Uint8Array(seen[0]!.body), { headers: { 'content-type': seen[0]!.type! } }).formData()
      const file = form.get('file') as File
      expect([form.get('note'), file.name, file.type]).toEqual(['Grüße\r\nzweite Zeile', 'a "file" ü.bin', 'application/x-test'])
      expect(Buffer.from(await file.arrayBuffer()).equals(bytes())).toBe(true)
      expect(await run<number>(`events.filter(({ type, id }) => type === 'progress' && id === '${id}').length`)).toBeGreaterThan(0)
    })
  })

  test(`${KILLS} kills of the whole browser (CRASH_SEED=${SEED})`, async () => {
    const stage = await openStage()
    const findings = await killFirefoxes(stage, { kills: KILLS, seed: SEED })
    const { kills, acknowledged, starts } = findings
    await stage.close()
    expect(faultsIn(findings)).toEqual([])
    expect(acknowledged).toBeGreaterThan(kills)
    console.info(`Firefox: ${kills} kills, ${acknowledged} acknowledged, ${starts} starts: none lost, none run again`)
  })
})
