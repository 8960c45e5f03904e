/** kill -9 at random moments under load: nothing acknowledged is lost, nothing completed runs again. */
import { afterAll, beforeAll, expect, test } from 'vitest'
import type { Queue } from 'holdfast'
import { KillableBrowser, pause, seeded, serveSite, type Site } from './harness.ts'

const RENDERER_KILLS = Number(process.env['RENDERER_KILLS'] ?? 20)
const BROWSER_KILLS = Number(process.env['BROWSER_KILLS'] ?? 5)
const SEED = Number(process.env['CRASH_SEED'] ?? Math.floor(Math.random() * 2 ** 31))

/** Pushes without rest by ones, tens and a hundred at once, while a handler completes, fails once, or dawdles. */
const PAGE = `
  import { openQueue } from '/src/index.ts'
  const load = location.hash !== '#drain'
  const when = () => ' ' + (performance.timeOrigin + performance.now())
  const tell = (lines) => fetch('/journal', { method: 'POST', body: lines.join('\\n') })
  const queue = await openQueue('crash')
  window.queue = queue
  queue.on('completed', (event) => { void tell(['completed ' + event.id + when()]) })
  await queue.configure('q', { defaults: { backoff: { type: 'fixed', delayMs: 20 }, maxAttempts: 20 } })
  await queue.process('q', async (job, ctx) => {
    void tell(['started ' + job.id + when()])
    if (job.data % 7 === 0) await new Promise((resolve) => setTimeout(resolve, 30))
    if (job.data % 11 === 0 && ctx.attempt === 1) throw new Error('once')
    return job.data
  }, { concurrency: 8 })
  window.ready = true
  for (let n = 0; load; n++) {
    const size = [1, 10, 1, 100][n % 4]
    if (size === 100) await tell((await queue.pushMany('q', Array.from({ length: size }, (_, i) => ({ name: 'n', data: n + i })))).map((id) => 'pushed ' + id))
    else await Promise.all(Array.from({ length: size }, async (_, i) => tell(['pushed ' + await queue.push('q', 'n', n + i)])))
  }
`

let site: Site
const browser = new KillableBrowser()
beforeAll(async () => { site = await serveSite(PAGE) })
afterAll(async () => { await browser.dispose(); await site.close() })

/** Everything that is left is done; then what the database holds is compared with the journal. */
async function settle(): Promise<number> {
  const page = await browser.page()
  await page.goto(`${site.url}/page#drain`)
  await page.waitForFunction('window.ready')
  const { counts, ids } = await page.evaluate(async () => {
    const { queue } = window as unknown as { queue: Queue }
    for (;;) {
      const { counts: now } = await queue.stats('q')
      if (now.waiting + now.active + now.delayed === 0) break
      await new Promise((resolve) => { setTimeout(resolve, 50) })
    }
    const found: string[] = []
    let cursor: string | undefined
    do {
      const part = await queue.list({ queue: 'q', limit: 1000, ...(cursor === undefined ? {} : { cursor }) })
      found.push(...part.jobs.map((job) => `${job.state} ${job.id}`))
      cursor = part.cursor
    } while (cursor !== undefined)
    return { counts: (await queue.stats('q')).counts, ids: found }
  })
  await page.close()
  const { journal } = site
  const { size } = journal.acknowledged
  const stored = ids.map((line) => line.split(' ')[1] ?? '')
  const kept = new Set(stored)
  expect(kept.size, 'a job is in two places').toBe(stored.length)
  // Retention may have forgotten jobs that completed more than a minute ago: those are told by the journal.
  const lost = [...journal.acknowledged].filter((id) => !kept.has(id) && !journal.completed.has(id))
  expect(lost, 'acknowledged pushes that are gone').toEqual([])
  expect(journal.again, 'jobs that ran after they had completed').toEqual([])
  expect(ids.filter((line) => !line.startsWith('completed')), 'jobs that did not complete').toEqual([])
  expect(counts.completed, 'the counter and what is stored differ').toBe(stored.length)
  // These have been found; what is pushed from now on is another question, so that retention cannot make it look lost.
  journal.acknowledged.clear()
  return size
}

const SETTLE_EVERY = 5

test(`${RENDERER_KILLS} kills of the renderer (CRASH_SEED=${SEED})`, async () => {
  const random = seeded(SEED)
  await browser.start()
  let acknowledged = 0
  for (let kill = 1; kill <= RENDERER_KILLS; kill++) {
    const page = await browser.page()
    await page.goto(`${site.url}/page`)
    await page.waitForFunction('window.ready')
    await pause(random() * 400)
    browser.killRenderers()
    await page.close().catch(() => {})
    if (kill % SETTLE_EVERY === 0 || kill === RENDERER_KILLS) acknowledged += await settle()
  }
  expect(acknowledged).toBeGreaterThan(RENDERER_KILLS * 5)
  console.info(`renderer: ${RENDERER_KILLS} kills, ${acknowledged} acknowledged, ${site.journal.starts} starts, 0 lost, 0 run again`)
})

test(`${BROWSER_KILLS} kills of the whole browser (CRASH_SEED=${SEED})`, async () => {
  const random = seeded(SEED + 1)
  await browser.killAll()
  let acknowledged = 0
  for (let kill = 1; kill <= BROWSER_KILLS; kill++) {
    await browser.start()
    const page = await browser.page()
    await page.goto(`${site.url}/page`)
    await page.waitForFunction('window.ready')
    await pause(random() * 800)
    await browser.killAll()
    if (kill % SETTLE_EVERY === 0 || kill === BROWSER_KILLS) { await browser.start(); acknowledged += await settle(); await browser.killAll() }
  }
  console.info(`browser: ${BROWSER_KILLS} kills, ${acknowledged} acknowledged, ${site.journal.starts} starts, 0 lost, 0 run again`)
})
