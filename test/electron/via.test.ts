/** Requests that main sends: to a server that knows nothing of CORS. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { buildLibrary, inMainOf, openStage, present, skipped, type Desktop, type PageGlobals, type Stage } from './stage.ts'

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
    const id = await queue.fetch(url, given, { keepResult: true, maxAttempts: 1 })
    return [await queue.waitFor(id).catch((error: { message: string }) => error.message), id]
  }, [new URL(path, stage.notes.url).href, init] as const)

  it('sends without a preflight, with its key, and reads the whole answer', async () => {
    const [result, id] = await sent('/plain', { json: { sku: 'A-17' } }) as [unknown, string]
    expect(result).toMatchObject({ status: 201, body: { order: 7 }, headers: { 'retry-after': '7' } })
    expect(stage.notes.lines.filter(([what]) => what.startsWith('plain')).map(([what, said]) => [what, said])).toEqual([['plain POST', `"${id}" undefined {"sku":"A-17"}`]])
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

  it('is no way out for a page: only to the origins that main names', async () => {
    expect(await desktop.page.evaluate(() => Promise.all(['https://example.invalid/', 'file:///etc/passwd', 'app://holdfast/index.html', 'nonsense', 'http://127.0.0.1:9/']
      .map((url) => fetch(`/.holdfast/send?${encodeURIComponent(url)}`).then(({ status }) => status))))).toEqual([403, 403, 403, 403, 403])
    expect(await desktop.page.evaluate(async () => (await (window as unknown as PageGlobals).queue.stats()).online)).toBe(true)
  })
})
