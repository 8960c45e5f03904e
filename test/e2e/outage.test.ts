/** A server that goes away under hundreds of waiting requests, and comes back in trouble: nothing is spent, nothing is sent twice, nobody tramples on it. */
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { afterAll, beforeAll, expect, test } from 'vitest'
import type { Job, Queue } from 'holdfast'
import { KillableBrowser, pause, serveSite, until, type Site } from '../crash/harness.ts'

/** The soak of it: DOWN_MS=60000 TROUBLED_MS=30000. */
const DOWN_MS = Number(process.env['DOWN_MS'] ?? 8000)
const TROUBLED_MS = Number(process.env['TROUBLED_MS'] ?? 5000)
const JOBS = 500
const FIRST_SECOND = 20

interface Window { readonly queue: Queue }
const browser = new KillableBrowser()
let site: Site
let api: Server
let port = 0
let troubled = false
const delivered = new Map<string, number>()
/** When the server answered well, in ms. */
const good: number[] = []

beforeAll(async () => {
  site = await serveSite(`
    import { openQueue } from 'holdfast'
    window.queue = await openQueue('outage')
    window.ready = true
  `)
  await browser.start()
})
afterAll(async () => { await browser.dispose(); await site.close(); api.closeAllConnections(); api.close() })

async function up(): Promise<void> {
  api = createServer((request, response) => {
    response.setHeader('access-control-allow-origin', '*').setHeader('access-control-allow-headers', 'content-type, idempotency-key').setHeader('access-control-max-age', '600')
    if (request.method === 'OPTIONS') { response.end(); return }
    if (troubled) { response.writeHead(503).end(); return }
    const key = String(request.headers['idempotency-key'])
    delivered.set(key, (delivered.get(key) ?? 0) + 1)
    good.push(performance.now())
    response.end()
  })
  await new Promise<void>((resolve) => { api.listen(port, '127.0.0.1', resolve) })
  port = (api.address() as AddressInfo).port
}
const down = async (): Promise<void> => { api.closeAllConnections(); await new Promise((resolve) => { api.close(resolve) }) }

test(`down for ${DOWN_MS / 1000} s, then 503 for ${TROUBLED_MS / 1000} s, then well: all ${JOBS} are delivered once, and no attempt was spent`, async () => {
  await up()
  await down()
  const page = await browser.page()
  await page.goto(`${site.url}/page`)
  await page.waitForFunction('window.ready')
  const ids = await page.evaluate(async ([url, count]) => {
    const { queue } = window as unknown as Window
    return Promise.all(Array.from({ length: count }, (_, n) => queue.fetch(url, { json: { n } })))
  }, [`http://127.0.0.1:${port}/orders`, JOBS] as const)
  await pause(DOWN_MS)
  troubled = true
  await up()
  await pause(TROUBLED_MS)
  expect(delivered.size).toBe(0)
  troubled = false
  await until(() => delivered.size === JOBS, 120_000)
  const early = good.filter((at) => at < good[0]! + 1000).length
  expect([...delivered.values()].filter((times) => times > 1)).toEqual([])
  expect(early).toBeLessThanOrEqual(FIRST_SECOND)
  const jobs = await page.evaluate(async (list) => {
    const { queue } = window as unknown as Window
    await Promise.all(list.map((id) => queue.waitFor(id)))
    return Promise.all(list.map((id) => queue.get(id)))
  }, ids) as Job[]
  expect(jobs.filter(({ failures, state }) => failures > 0 || state !== 'completed')).toEqual([])
  console.info(`${JOBS} delivered once; ${early} in the first second, all within ${((good.at(-1)! - good[0]!) / 1000).toFixed(1)} s`)
})
