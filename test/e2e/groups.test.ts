/** Order per document: requests of one group go one at a time, in order, from however many tabs, whatever fails. */
import { afterAll, beforeAll, expect, test } from 'vitest'
import type { Queue } from 'holdfast'
import { KillableBrowser, seeded, serveSite, until, type Site } from '../crash/harness.ts'

interface Edit { readonly group: number; readonly n: number }
interface Window { readonly queue: Queue; push(from: number, to: number): Promise<void> }

const GROUPS = 20
const TABS = 2
const PER_TAB = 500

const random = seeded(7)
/** What the server has taken in, in order, and every request by its key. */
const applied: Edit[] = []
const asked = new Map<string, number>()
const busy = new Set<number>()
const overlaps: number[] = []
const browser = new KillableBrowser()
let site: Site

beforeAll(async () => {
  site = await serveSite(`
    import { openQueue } from 'holdfast'
    window.queue = await openQueue('groups')
    // Each tab has groups of its own, so that the order of its pushes is known.
    window.push = async (from, to) => {
      for (let n = 0; n < ${PER_TAB}; n++) {
        const group = from + n % (to - from)
        await queue.fetch('/api/edits/' + group, { json: { group, n } }, { group: 'document-' + group, backoff: { type: 'fixed', delayMs: 20 }, maxAttempts: 1000 })
      }
    }
    window.ready = true
  `, (request, body, response) => {
    const edit = JSON.parse(body) as Edit
    const key = String(request.headers['idempotency-key'])
    if (busy.has(edit.group)) overlaps.push(edit.group)
    busy.add(edit.group)
    asked.set(key, (asked.get(key) ?? 0) + 1)
    setTimeout(() => {
      busy.delete(edit.group)
      const fails = random() < 0.2
      if (!fails) applied.push(edit)
      response.writeHead(fails ? 500 : 200).end()
    }, 1)
  })
  await browser.start()
})
afterAll(async () => { await browser.dispose(); await site.close() })

test(`${TABS} tabs, ${TABS * PER_TAB} requests in ${GROUPS} groups, a fifth of them answered 500: each once, in order`, async () => {
  const pages = await Promise.all(Array.from({ length: TABS }, async () => {
    const page = await browser.page()
    await page.goto(`${site.url}/page`)
    await page.waitForFunction('window.ready')
    return page
  }))
  const share = GROUPS / TABS
  await Promise.all(pages.map((page, tab) => page.evaluate(([from, to]) => (window as unknown as Window).push(from, to), [tab * share, (tab + 1) * share] as const)))
  await until(() => applied.length >= TABS * PER_TAB, 120_000)
  for (let group = 0; group < GROUPS; group++) {
    const order = applied.filter((edit) => edit.group === group).map(({ n }) => n)
    expect(order).toEqual([...order].sort((a, b) => a - b))
    expect(new Set(order).size).toBe(PER_TAB / share)
  }
  expect(applied).toHaveLength(TABS * PER_TAB)
  expect(overlaps).toEqual([])
  const counts = await pages[0]!.evaluate(async () => {
    const { queue } = window as unknown as Window
    return { ...(await queue.stats('http')).counts, faults: (await queue.verify()).faults }
  })
  expect(counts).toMatchObject({ waiting: 0, blocked: 0, active: 0, delayed: 0, dead: 0, faults: [] })
  const requests = [...asked.values()].reduce((sum, n) => sum + n, 0)
  console.info(`${applied.length} applied, each once and in order, by ${requests} requests of ${asked.size} keys`)
})
