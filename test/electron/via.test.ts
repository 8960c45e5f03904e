/** Requests that main sends: to a server that knows nothing of CORS. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { buildLibrary, inMainOf, openStage, present, skipped, takeNotes, type Desktop, type PageGlobals, type Stage } from './stage.ts'

skipped()

describe.skipIf(!present)('http.via: main', () => {
  let stage: Stage
  let desktop: Desktop
  beforeAll(async () => {
    buildLibrary()
    stage = await openStage()
    desktop = await stage.start({ VIA: '1' })
  })
  afterAll(async () => { await stage?.close() })

  const sent = (path: string, init: object): Promise<unknown> => inMainOf(desktop)(async (queue, [url, given]: readonly [string, object]) => {
    const id = await queue.fetch(url, given, { keepResult: true, maxAttempts: 1, allowStoredCredentials: true })
    return [await queue.waitFor(id).catch((error: { message: string }) => error.message), id]
  }, [new URL(path, stage.notes.url).href, init] as const)

  it('sends without a preflight, with its key, and reads the whole answer', async () => {
    const [result, id] = await sent('/plain', { json: { sku: 'A-17' } }) as [unknown, string]
    expect(result).toMatchObject({ status: 201, body: { order: 7 }, headers: { 'retry-after': '7' } })
    expect(stage.notes.lines.filter(([what]) => what.startsWith('plain')).map(([what, said]) => [what, said])).toEqual([['plain POST', `"${id}" undefined {"sku":"A-17"}`]])
  })

  it('follows redirects to named origins only, and takes no answer for more than an answer', async () => {
    const other = await takeNotes()
    try {
      const own = stage.notes.url
      const to = (url: string): Promise<unknown> => sent(`/plain/to?${encodeURIComponent(url)}`, { headers: { authorization: 'Bearer secret' } }).then((said) => (said as unknown[])[0])
      for (const url of ['file:///etc/passwd', 'app://holdfast/index.html', 'data:text/plain,hi', new URL('/plain', other.url).href, 'https://example.invalid/']) expect(await to(url)).toMatch(/302 from GET/)
      expect(other.lines).toEqual([])
      expect(await to(new URL('/plain', own).href)).toMatchObject({ status: 201 })
      expect(await to(new URL('/plain/page?text/html', own).href)).toMatchObject({ status: 200 })
      expect(stage.notes.lines).toContainEqual(['asked page', 'text/html Bearer secret', expect.any(Number)])
    } finally { other.close() }
    for (const status of [600, 999]) expect(await sent(`/plain/status?${status}`, {})).toEqual([expect.stringContaining(`${status} from GET`), expect.any(String)])
    expect(await sent('/plain/status?204', {})).toMatchObject([{ status: 204 }, expect.any(String)])
    expect(await desktop.electron.evaluate(() => (globalThis as unknown as { readonly uncaught: unknown[] }).uncaught)).toEqual([])
  })

  it('tells refusals, redirects and silence as ever', async () => {
    expect(await sent('/plain/422', { json: 1 })).toEqual([expect.stringContaining('422 from POST'), expect.any(String)])
    expect(await sent('/plain/moved', { json: 1 })).toEqual([expect.stringContaining('A redirect (3xx)'), expect.any(String)])
    const [silent, closed] = await inMainOf(desktop)(async (queue, url: string) => {
      const id = await queue.fetch(url, { json: 1 })
      let origins = {}
      while (Object.keys(origins).length === 0) origins = (await queue.stats()).queues[0]?.closedOrigins ?? {}
      return [(await queue.get(id))?.failures, Object.keys(origins)]
    }, new URL('/plain/cut', stage.notes.url).href)
    expect([silent, closed]).toEqual([0, [new URL(stage.notes.url).origin]])
  })

  it('is no way out for a page, only to the origins that main names; and no way in', async () => {
    const asked = (headers: HeadersInit): Promise<unknown[]> => desktop.page.evaluate(([given, own]) => Promise.all(['https://example.invalid/', 'file:///etc/passwd', 'app://holdfast/index.html', 'nonsense', 'http://127.0.0.1:9/', own, '%']
      .map((url) => fetch(`/.holdfast/send?${url === '%' ? url : encodeURIComponent(url)}`, { headers: given }).then(({ status }) => status, String))), [headers, stage.notes.url] as const)
    expect(await asked({ 'holdfast-via': '1' })).toEqual([403, 403, 403, 403, 403, 200, 403])
    expect(await asked({})).toEqual([403, 403, 403, 403, 403, 403, 403])
    expect(await desktop.page.evaluate(async (script) => {
      const path = `/.holdfast/send?${encodeURIComponent(script)}`
      const element = document.createElement('script')
      element.src = path
      const loaded = new Promise((resolve) => { element.onload = () => { resolve('loaded') }; element.onerror = () => { resolve('refused') } })
      document.body.append(element)
      const worker = new Worker(path)
      const worked = new Promise((resolve) => { worker.onmessage = () => { resolve('ran') }; worker.onerror = () => { resolve('refused') } })
      return [await loaded, await worked, 'remote' in window]
    }, new URL('/plain/page?text/javascript', stage.notes.url).href)).toEqual(['refused', 'refused', false])
    const opened = desktop.electron.waitForEvent('window')
    await desktop.page.evaluate((url) => { window.open(`/.holdfast/send?${encodeURIComponent(url)}`) }, new URL('/plain/page?text/html', stage.notes.url).href)
    const page = await opened
    await page.waitForLoadState()
    expect(await page.evaluate(() => document.body.textContent)).not.toContain('remote')
    await page.close()
    expect(await desktop.page.evaluate(async () => (await (window as unknown as PageGlobals).queue.stats()).online)).toBe(true)
  })
})
