/** Tabs that stop, freeze or lose their lock in the middle of a job: it is done by another, and their own ending is refused. */
import { afterAll, beforeAll, expect, test } from 'vitest'
import { KillableBrowser, pause, seeded, until, type Site } from './harness.ts'
import { faultsIn } from './kills.ts'
import { ownerOf, steal, stealLocks } from './stale.ts'
import { freshName, openTab, serveTabs, tabAt, type Tab } from './tabs.ts'

const browser = new KillableBrowser()
let site: Site
beforeAll(async () => { site = await serveTabs(); await browser.start() })
afterAll(async () => { await browser.dispose(); await site.close() })

const codeOf = (tab: Tab): Promise<string> => tab.realm.evaluate(async ({ queue, kept }) => queue.ack(kept['job'] as string).then(() => 'accepted', (error: { code: string }) => error.code))
const pull = (tab: Tab, options: { leaseMs?: number; waitMs?: number }): Promise<string | undefined> =>
  tab.realm.evaluate(async ({ queue, kept }, how) => { const [job] = await queue.pull('q', 1, how); kept['job'] = job?.id; return job?.id }, options)
const look = (tab: Tab): Promise<{ completed: number; open: number; faults: readonly string[]; stalls: number | undefined }> => tab.realm.evaluate(async ({ queue }) => {
  const { counts } = await queue.stats('q')
  const { jobs } = await queue.list({ queue: 'q' })
  return { completed: counts.completed, open: counts.waiting + counts.active + counts.delayed, faults: (await queue.verify()).faults, stalls: jobs[0]?.stalls }
})
const close = async (...tabs: readonly Tab[]): Promise<void> => { await Promise.all(tabs.map(({ page }) => page.close())) }
const notes = (): string[] => site.journal.notes.map(({ what }) => what)

test('a tab stopped past its lease: its ack is refused, the job was done once by another', async () => {
  const db = freshName()
  const [one, two] = [await openTab(browser, site, db), await openTab(browser, site, db)]
  const id = await one.realm.evaluate(({ queue }) => queue.push('q', 'n', 0))
  expect(await pull(one, { leaseMs: 1000 })).toBe(id)
  await pause(100)
  one.stop()
  const from = performance.now()
  expect(await pull(two, { waitMs: 25_000 })).toBe(id)
  console.info(`a lease of 1 s of a stopped tab was over after ${Math.round(performance.now() - from)} ms`)
  one.thaw()
  expect(await codeOf(one)).toBe('STALE_LEASE')
  expect(await codeOf(two)).toBe('accepted')
  expect(await look(two)).toEqual({ completed: 1, open: 0, faults: [], stalls: 1 })
  await close(one, two)
})

test('a tab stopped in the middle of a handler past its lease: the handler is told, the job was done once by another', async () => {
  const db = freshName()
  // The other tab's worker lives ten times as fast, so that the lease of 30 s is over in 3.
  const [one, two] = [await openTab(browser, site, db), await openTab(browser, site, db, { worker: 'hasty-worker.js' })]
  site.journal.notes.length = 0
  const id = await one.realm.evaluate(async ({ queue, tell }) => {
    await queue.process('q', (job, { signal }) => new Promise((resolve) => {
      tell('begun')
      signal.addEventListener('abort', () => { tell(`aborted-${(signal.reason as { code?: string }).code}`); resolve('late') })
    }))
    return queue.push('q', 'n', 0)
  })
  await until(() => notes().includes('begun'))
  await pause(100)
  one.stop()
  await two.realm.evaluate(async ({ queue, tell }) => { await queue.process('q', () => { tell('again'); return 'by two' }) })
  await until(() => notes().includes('again'), 25_000)
  expect(notes()).not.toContain('aborted-STALE_LEASE')
  one.thaw()
  await until(() => notes().includes('aborted-STALE_LEASE'), 5000)
  await pause(300)
  expect(await two.realm.evaluate(({ queue }, job) => queue.waitFor(job), id)).toBe('by two')
  expect(await look(one)).toEqual({ completed: 1, open: 0, faults: [], stalls: 1 })
  expect(notes().filter((what) => what === 'again')).toHaveLength(1)
  await close(one, two)
})

test('a tab whose lock was stolen goes on as another owner: its ack is refused, the job runs once elsewhere', async () => {
  const db = freshName()
  const [one, two] = [await openTab(browser, site, db), await openTab(browser, site, db)]
  const thief = await tabAt(browser, `${site.url}/library`)
  site.journal.notes.length = 0
  await one.realm.evaluate(({ queue }) => queue.push('q', 'n', 0))
  const id = await pull(one, {})
  await steal(thief, `holdfast:${db}`, await ownerOf(two, db))
  expect(await pull(two, { waitMs: 10_000 })).toBe(id)
  expect(await codeOf(one)).toBe('STALE_LEASE')
  expect(await codeOf(two)).toBe('accepted')
  expect(await look(one)).toEqual({ completed: 1, open: 0, faults: [], stalls: 1 })
  // It works on, and what it claims from now on is its own.
  await one.realm.evaluate(({ queue }) => queue.push('q', 'n', 1))
  expect(await pull(one, { waitMs: 5000 })).toBeDefined()
  expect(await codeOf(one)).toBe('accepted')
  expect(await look(two)).toMatchObject({ completed: 2, open: 0, faults: [] })
  await close(one, two, thief)
})

const STEALS = 20
const SEED = Number(process.env['CRASH_SEED'] ?? Math.floor(Math.random() * 2 ** 31))

test(`${STEALS} locks stolen while their jobs are acknowledged: each job ends once (CRASH_SEED=${SEED})`, async () => {
  const findings = await stealLocks({ browser, site }, { kills: STEALS, seed: SEED })
  expect(faultsIn(findings)).toEqual([])
  expect(findings.acknowledged).toBe(STEALS * 3)
})

test('a tab stopped in the middle of a transaction: what is refused beside it is not stored later, and all goes on when it is thawed', async () => {
  const random = seeded(SEED)
  for (let held = false, n = 0; !held && n < 6; n++) {
    const db = freshName()
    // Its worker lives ten times as fast, so that the 10 s it waits for the database are one.
    const [one, two] = [await openTab(browser, site, db), await openTab(browser, site, db, { worker: 'hasty-worker.js' })]
    await one.realm.evaluate(({ queue, kept }) => { void (async () => { while (kept['stop'] === undefined) await queue.pushMany('q', Array.from({ length: 100 }, () => ({ name: 'n', data: 'x'.repeat(500) }))) })() })
    await two.realm.evaluate(({ queue, kept }) => { kept['heard'] = []; queue.on('*', ({ type }) => { (kept['heard'] as string[]).push(type) }) })
    await pause(200 + random() * 200)
    one.stop()
    const push = (): Promise<string> => two.realm.evaluate(({ queue }) => queue.push('p', 'n', 0).then(() => 'ok', ({ code }: { code: string }) => code))
    const answers = [await push(), await push()]
    held = answers.includes('STORAGE')
    one.thaw()
    await until(async () => { answers.push(await push()); return answers.at(-1) === 'ok' })
    const { waiting, heard, faults } = await two.realm.evaluate(async ({ queue, kept }) => ({ waiting: (await queue.stats('p')).counts.waiting, faults: (await queue.verify()).faults, heard: kept['heard'] as string[] }))
    expect(waiting, answers.join(' ')).toBe(answers.filter((answer) => answer === 'ok').length)
    expect(faults).toEqual([])
    if (held) expect(heard.filter((type) => /degraded|recovered/.test(type))).toEqual(['degraded', 'recovered'])
    console.info(`stopped at a random moment under load, pushes beside it: ${answers.join(', ')}`)
    await close(one, two)
  }
})
