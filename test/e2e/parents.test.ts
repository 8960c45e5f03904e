/** Requests that use what earlier ones were answered, in a real browser: made offline, kept over a reload, sent in order. */
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest'
import type { Page } from 'playwright-core'
import type { Job, Queue } from 'holdfast'
import { KillableBrowser, serveSite, type Site } from '../crash/harness.ts'

interface Seen { readonly method: string; readonly path: string; readonly match: string | undefined; readonly body: unknown }
interface Window { readonly queue: Queue; make(text: string): Promise<string[]> }

/** Not one of its characters may end the segment of the path in which it stands. */
const ID = 'quay/4 ?ü#%2e'
let seen: Seen[] = []
let created: unknown
const browser = new KillableBrowser()
let site: Site
let page: Page

beforeAll(async () => {
  site = await serveSite(`
    import { openQueue, ref } from 'holdfast'
    if (location.search === '?away') Object.defineProperty(navigator, 'onLine', { configurable: true, get: () => false })
    window.queue = await openQueue('parents')
    window.make = async (text) => {
      const create = await queue.fetch('/api/docs', { json: { text } })
      const patch = await queue.fetch('/api/docs/{{create.body.id}}?rev={{create.body.rev}}', {
        method: 'PATCH', headers: { 'If-Match': '"{{create.body.rev}}"' }, json: { document: ref('create', 'body.id'), text: text + ' {{create.body.id}}' },
      }, { dependsOn: { create }, fill: true, keepResult: true })
      return [create, patch]
    }
    window.ready = true
  `, ({ method = '', url = '', headers }, body, response) => {
    const match = headers['if-match']
    seen.push({ method, path: url, match, body: JSON.parse(body) as unknown })
    response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify(method === 'POST' ? created : { saved: true }))
  })
  await browser.start()
})
afterAll(async () => { await browser.dispose(); await site.close() })
beforeEach(async () => { seen = []; created = { id: ID, rev: 3 }; page = await browser.page() })

async function visit(search = ''): Promise<void> {
  await page.goto(`${site.url}/page${search}`)
  await page.waitForFunction('window.ready')
}
const make = (text: string): Promise<string[]> => page.evaluate((given) => (window as unknown as Window).make(given), text)
const result = (id: string): Promise<unknown> => page.evaluate((job) => (window as unknown as Window).queue.waitFor(job), id)
const get = async (id: string): Promise<Job> => (await page.evaluate((job) => (window as unknown as Window).queue.get(job), id))!

test('a document is made and changed offline; after a reload the server gets both, the second under the id that the first was given', async () => {
  await visit('?away')
  const [create, patch] = await make('Parcels') as [string, string]
  expect([(await get(create)).state, (await get(patch)).state]).toEqual(['waiting', 'blocked'])
  await visit('?away')
  expect(await get(patch)).toMatchObject({ state: 'blocked', data: { document: null, text: 'Parcels {{create.body.id}}' } })
  expect(seen).toEqual([])
  await visit()
  expect(await result(patch)).toMatchObject({ status: 200, body: { saved: true } })
  expect(seen).toEqual([
    { method: 'POST', path: '/api/docs', match: undefined, body: { text: 'Parcels' } },
    { method: 'PATCH', path: `/api/docs/${encodeURIComponent(ID)}?rev=3`, match: '"3"', body: { document: ID, text: 'Parcels {{create.body.id}}' } },
  ])
  // Its body was for its child, which keeps it.
  expect((await get(create)).result).not.toHaveProperty('body')
  expect((await get(patch)).parents).toMatchObject({ create: { status: 200, body: { id: ID, rev: 3 } } })
  await page.evaluate((id) => (window as unknown as Window).queue.retry(id), patch)
  await result(patch)
  expect(seen[2]).toEqual(seen[1])
})

test('what is not there leaves a dead letter that names it, and nothing is sent', async () => {
  created = { rev: 3 }
  await visit()
  const [, patch] = await make('Parcels') as [string, string]
  await expect(result(patch)).rejects.toThrow('create.body.id is missing: create.body has no id')
  expect(await get(patch)).toMatchObject({ state: 'dead', reason: 'invalid', failures: 1 })
  expect(seen).toHaveLength(1)
  expect(await page.evaluate(() => (window as unknown as Window).queue.verify())).toMatchObject({ ok: true, faults: [] })
})
