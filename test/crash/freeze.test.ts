/** Pages that the browser freezes. By puppeteer, since playwright makes every page believe that it is seen, and what is seen is never frozen. */
import { afterAll, beforeAll, expect, test } from 'vitest'
import puppeteer, { type Browser, type Page } from 'puppeteer-core'
import { launchOptions } from '../../scripts/chromium.mjs'
import { until, type Site } from './harness.ts'
import { freshName, serveTabs, type Realm } from './tabs.ts'

let browser: Browser
let site: Site
beforeAll(async () => {
  site = await serveTabs()
  browser = await puppeteer.launch({ ...launchOptions(), headless: true })
})
afterAll(async () => { await browser.close(); await site.close() })

async function open(db: string, worker = ''): Promise<Page> {
  const page = await browser.newPage()
  await page.goto(`${site.url}/tab?${new URLSearchParams({ db, worker })}`)
  await page.waitForFunction('window.ready')
  return page
}
const notes = (): string[] => site.journal.notes.map(({ what }) => what)

test('a frozen page holds up nobody, others do its jobs when its lease is over, and it goes on when it is thawed', async () => {
  const db = freshName()
  const one = await open(db)
  // Its worker lives ten times as fast, so that the lease of 30 s is over in 3.
  const two = await open(db, 'hasty-worker.js')
  await two.bringToFront()
  await one.evaluate(async () => {
    const { queue, tell, kept } = window as unknown as Realm
    await queue.process('q', async ({ data }, { signal }) => {
      if (data === 'slow') { tell('slow'); await new Promise((resolve) => { kept['finish'] = resolve; signal.addEventListener('abort', () => { tell('aborted') }) }) }
      tell(`one-${String(data)}`)
    })
    // Quick ones first, so that it claims ahead.
    for (let n = 0; n < 20; n++) await queue.waitFor(await queue.push('q', 'n', 'quick'))
    await queue.pushMany('q', ['slow', 'a', 'b', 'c'].map((data) => ({ name: 'n', data })))
  })
  await until(() => notes().includes('slow'))
  const session = await one.createCDPSession()
  await session.send('Page.setWebLifecycleState', { state: 'frozen' })
  const pushed = await two.evaluate(async () => {
    const { queue, tell } = window as unknown as Realm
    const from = performance.now()
    await queue.push('q', 'n', 'd')
    const took = performance.now() - from
    await queue.process('q', ({ data }) => { tell(`two-${String(data)}`) })
    return took
  })
  expect(pushed, 'ms to push beside a frozen page').toBeLessThan(2000)
  await until(() => ['slow', 'a', 'b', 'c', 'd'].every((data) => notes().includes(`two-${data}`)), 20_000)
  expect(notes()).not.toContain('aborted')
  await session.send('Page.setWebLifecycleState', { state: 'active' })
  await until(() => notes().includes('aborted'), 5000)
  const after = await two.evaluate(async () => {
    const { queue } = window as unknown as Realm
    const { counts } = await queue.stats('q')
    return { completed: counts.completed, open: counts.waiting + counts.active + counts.delayed, faults: (await queue.verify()).faults }
  })
  expect(after).toEqual({ completed: 25, open: 0, faults: [] })
  // Its handler is over, and it takes its turn again.
  await two.close()
  await one.evaluate(async () => {
    const { queue, kept } = window as unknown as Realm
    ;(kept['finish'] as () => void)()
    await queue.waitFor(await queue.push('q', 'n', 'later'), { timeoutMs: 5000 })
  })
  await until(() => notes().includes('one-later'))
  expect(notes().filter((what) => /^one-[a-d]$/.test(what)), 'done by the other, so not here too').toEqual([])
  await one.close()
})
