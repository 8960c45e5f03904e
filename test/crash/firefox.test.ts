/** The core of it in a real Firefox, and kill -9 of it. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { findFirefox } from '../../scripts/firefox.mjs'
import { killFirefoxes, KillableFirefox, openStage } from './firefox.ts'
import type { Site } from './harness.ts'
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
