/** How long the jobs of a tab that dies wait for another tab. */
import { afterAll, beforeAll, expect, test } from 'vitest'
import { KillableBrowser, until, pause, type Site } from './harness.ts'
import { freshName, openTab, serveTabs, type Tab } from './tabs.ts'

const SAMPLES = Number(process.env['RECOVERY_SAMPLES'] ?? 20)

const browser = new KillableBrowser()
let site: Site
beforeAll(async () => { site = await serveTabs(); await browser.start() })
afterAll(async () => { await browser.dispose(); await site.close() })

const now = (): number => performance.timeOrigin + performance.now()
const noted = (what: string): number | undefined => site.journal.notes.find((note) => note.what === what)?.when

/** From the tab's end to the start of its job in the other tab. */
async function recovery(db: string, other: Tab, end: (victim: Tab) => Promise<void> | void): Promise<number> {
  site.journal.notes.length = 0
  const victim = await openTab(browser, site, db)
  await victim.realm.evaluate(async ({ queue, tell }) => {
    await queue.process('q', (job) => { tell('begun', job.id); return new Promise(() => {}) }, { concurrency: 2 })
    await queue.push('q', 'n', 0)
  })
  await until(() => noted('begun') !== undefined)
  await other.realm.evaluate(async ({ queue, tell, kept }) => { kept['processor'] = await queue.process('q', (job) => { tell('again', job.id) }, { concurrency: 2 }) })
  await pause(50)
  expect(noted('again')).toBeUndefined()
  const from = now()
  await end(victim)
  await until(() => noted('again') !== undefined)
  await other.realm.evaluate(({ kept }) => (kept['processor'] as { stop(): Promise<void> }).stop())
  victim.page.close().catch(() => {})
  return noted('again')! - from
}

async function measure(what: string, samples: number, end: (victim: Tab) => Promise<void> | void): Promise<number> {
  const db = freshName()
  const other = await openTab(browser, site, db)
  const taken: number[] = []
  for (let n = 0; n < samples; n++) taken.push(await recovery(db, other, end))
  await other.page.close()
  const sorted = taken.toSorted((a, b) => a - b)
  const at = (part: number): number => Math.round(sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * part))]!)
  console.info(`${what} to its job's start in another tab: p50 ${at(0.5)} ms, p95 ${at(0.95)} ms, most ${at(1)} ms (${samples} times)`)
  return at(0.5)
}

test('the jobs of a killed tab start in another within 200 ms', async () => {
  expect(await measure('kill -9 of a tab', SAMPLES, (victim) => { victim.kill() })).toBeLessThan(200)
})

test('so do those of a tab that is closed', async () => {
  expect(await measure('close of a tab', 5, (victim) => { void victim.page.close() })).toBeLessThan(200)
})
