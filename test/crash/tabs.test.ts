/** Many tabs of one browser, and tabs of different age or poorer than others. */
import { afterAll, beforeAll, expect, test } from 'vitest'
import { drain } from './drain.ts'
import { KillableBrowser, until, type Site } from './harness.ts'
import { freshName, openTab, serveTabs, tabAt } from './tabs.ts'

const browser = new KillableBrowser()
let site: Site
beforeAll(async () => { site = await serveTabs(); await browser.start() })
afterAll(async () => { await browser.dispose(); await site.close() })

const JOBS = 320

test.each([2, 4, 8, 16])('%i tabs: every job runs once, concurrency holds over all, the counters are right', async (tabs) => {
  const { done, lost, doubled, countersWrong, mostAtOnce, perTab, processes, seconds } = await drain({ tabs, jobs: JOBS, concurrency: 6, ms: 10 })
  expect({ done, lost, doubled, countersWrong }).toEqual({ done: JOBS, lost: [], doubled: [], countersWrong: [] })
  expect(mostAtOnce).toBeGreaterThan(1)
  expect(mostAtOnce).toBeLessThanOrEqual(6)
  expect(processes, 'tabs in processes of their own').toBe(tabs)
  expect(perTab.filter((jobs) => jobs === 0), 'tabs that had no turn').toEqual([])
  console.info(`${tabs} tabs: ${JOBS} jobs in ${seconds.toFixed(1)} s, ${mostAtOnce} at once, ${Math.min(...perTab)} to ${Math.max(...perTab)} a tab`)
})

test('without Web Locks and BroadcastChannel two tabs work as well, only slower', async () => {
  const db = freshName()
  const poor = { bare: true, worker: 'bare-worker.js' }
  const [one, two] = [await openTab(browser, site, db, poor), await openTab(browser, site, db, poor)]
  expect(await one.page.evaluate(() => [navigator.locks, typeof BroadcastChannel])).toEqual([undefined, 'undefined'])
  for (const { realm } of [one, two]) await realm.evaluate(async ({ queue, kept }) => {
    kept['ran'] = []
    await queue.process('q', async ({ data }) => { (kept['ran'] as unknown[]).push(data); await new Promise((resolve) => { setTimeout(resolve, 5) }); return data }, { concurrency: 2 })
  })
  const results = await Promise.all([one, two].map(({ realm }, tab) => realm.evaluate(async ({ queue }, first) => {
    const ids = await queue.pushMany('q', Array.from({ length: 100 }, (_, n) => ({ name: 'n', data: first + n, options: { keepResult: true } })))
    return Promise.all(ids.map((id) => queue.waitFor(id)))
  }, tab * 100)))
  expect(results.flat()).toEqual(Array.from({ length: 200 }, (_, n) => n))
  const ran = (await Promise.all([one, two].map(({ realm }) => realm.evaluate(({ kept }) => kept['ran'] as number[])))).flat()
  expect(ran.sort((a, b) => a - b)).toEqual(results.flat())
  expect(await one.realm.evaluate(async ({ queue }) => (await queue.verify()).faults)).toEqual([])
  for (const { page } of [one, two]) await page.close()
})

test('a newer version of the database is not held up by an older tab, which works on', async () => {
  const db = freshName()
  const old = await openTab(browser, site, db)
  await old.realm.evaluate(async ({ queue }) => { await queue.process('q', ({ data }) => data); await queue.push('q', 'n', 0) })
  const newer = await tabAt(browser, `${site.url}/library`)
  const seen = await newer.page.evaluate((database) => new Promise<{ ms: number; blocked: boolean }>((resolve, reject) => {
    const from = performance.now()
    let blocked = false
    const open = indexedDB.open(database, 77)
    open.onblocked = () => { blocked = true }
    open.onupgradeneeded = () => { open.result.createObjectStore('of the future') }
    open.onsuccess = () => { Object.assign(window, { connection: open.result }); resolve({ ms: performance.now() - from, blocked }) }
    open.onerror = () => { reject(open.error!) }
  }), `holdfast:${db}`)
  expect(seen).toEqual({ ms: expect.any(Number) as number, blocked: false })
  expect(seen.ms).toBeLessThan(2000)
  const results = await old.realm.evaluate(async ({ queue }) => {
    const ids = await Promise.all([1, 2, 3].map((data) => queue.push('q', 'n', data, { keepResult: true })))
    return Promise.all(ids.map((id) => queue.waitFor(id, { timeoutMs: 5000 })))
  })
  expect(results).toEqual([1, 2, 3])
  for (const { page } of [old, newer]) await page.close()
})

test('a database deleted between two visits is told as storage-lost', async () => {
  const db = freshName()
  const first = await openTab(browser, site, db)
  await first.realm.evaluate(async ({ queue }) => { await queue.push('q', 'n', 0) })
  await first.page.close()
  const second = await tabAt(browser, `${site.url}/library`)
  const events = async (): Promise<string[]> => second.realm.evaluate(async ({ library }, name) => {
    const queue = library.createQueue(name)
    const heard: string[] = []
    queue.on('*', ({ type }) => { heard.push(type) })
    await queue.push('q', 'n', 1)
    await new Promise((resolve) => { setTimeout(resolve, 200) })
    await queue.close()
    return heard
  }, db)
  expect(await events(), 'nothing was lost yet').not.toContain('storage-lost')
  await second.page.evaluate((database) => new Promise<void>((resolve, reject) => {
    const gone = indexedDB.deleteDatabase(database)
    gone.onsuccess = () => { resolve() }
    gone.onerror = () => { reject(gone.error!) }
  }), `holdfast:${db}`)
  expect((await events()).filter((type) => type === 'storage-lost')).toHaveLength(1)
  expect(await events(), 'told once').not.toContain('storage-lost')
  await second.page.close()
})

test('a tab opened while others work is not held up by them, and hears what they end', async () => {
  const db = freshName()
  const one = await openTab(browser, site, db)
  await one.realm.evaluate(async ({ queue }) => { await queue.process('q', async () => { await new Promise((resolve) => { setTimeout(resolve, 5) }) }, { concurrency: 4 }); void queue.pushMany('q', Array.from({ length: 2000 }, () => ({ name: 'n', data: 0 }))) })
  const from = performance.now()
  const two = await openTab(browser, site, db)
  expect(performance.now() - from).toBeLessThan(5000)
  await two.realm.evaluate(({ queue, kept }) => { kept['heard'] = 0; queue.on('completed', () => { kept['heard'] = kept['heard'] as number + 1 }) })
  await until(() => two.realm.evaluate(({ kept }) => kept['heard'] as number > 0))
  for (const { page } of [one, two]) await page.close()
})
