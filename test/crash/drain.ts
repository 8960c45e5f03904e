/** Many tabs, each a process, push into one queue and work it off together. */
import type { Queue } from 'holdfast'
import { KillableBrowser, pause, serveSite } from './harness.ts'

/** `#tab,jobs,concurrency,ms`: pushes its share once all tabs are there, and remembers what it ran and when. */
const PAGE = `
  import { openQueue } from 'holdfast'
  const [tab, jobs, concurrency, ms] = location.hash.slice(1).split(',').map(Number)
  const queue = await openQueue('drain')
  window.queue = queue
  window.ran = []
  await queue.process('q', async (job) => {
    const from = when()
    if (ms > 0) await new Promise((resolve) => setTimeout(resolve, ms))
    window.ran.push([job.data, from, when()])
  }, { concurrency })
  window.ready = true
  window.push = async () => {
    for (let n = 0; n < jobs;) {
      const size = Math.min(jobs - n, [1, 20, 200, 7][n % 4])
      await queue.pushMany('q', Array.from({ length: size }, (_, i) => ({ name: 'n', data: tab * 1e7 + n + i })))
      n += size
    }
    window.pushed = true
  }
`

export interface DrainOptions {
  readonly tabs: number
  readonly jobs: number
  readonly concurrency: number
  /** How long a job takes. */
  readonly ms: number
  readonly stop?: AbortSignal
  readonly progress?: (done: number) => void
}

export interface Drained {
  readonly done: number
  readonly seconds: number
  readonly lost: readonly string[]
  readonly doubled: readonly string[]
  readonly countersWrong: readonly string[]
  /** Jobs that ran at the same time, over all tabs. */
  readonly mostAtOnce: number
  readonly perTab: readonly number[]
  readonly processes: number
}

interface Window { readonly queue: Queue; readonly ran: ReadonlyArray<readonly [data: number, from: number, to: number]>; readonly pushed?: true; push(): Promise<void> }

export async function drain(options: DrainOptions): Promise<Drained> {
  const browser = new KillableBrowser()
  const site = await serveSite(PAGE)
  try {
    await browser.start()
    return await drainIn(browser, site.url, options)
  } finally { await browser.dispose(); await site.close() }
}

async function drainIn(browser: KillableBrowser, url: string, { tabs, jobs, concurrency, ms, stop, progress }: DrainOptions): Promise<Drained> {
  const share = Math.ceil(jobs / tabs)
  const before = browser.renderers().length
  const pages = await Promise.all(Array.from({ length: tabs }, async (_, tab) => {
    const page = await browser.page()
    await page.goto(`${url}/page#${tab},${share},${concurrency},${ms}`)
    await page.waitForFunction('window.ready')
    return page
  }))
  const processes = browser.renderers().length - before
  const begun = performance.now()
  for (const page of pages) await page.evaluate(() => { void (window as unknown as Window).push() })
  for (;;) {
    await pause(100)
    const states = await Promise.all(pages.map((page) => page.evaluate(() => ({ ran: (window as unknown as Window).ran.length, pushed: (window as unknown as Window).pushed === true }))))
    progress?.(states.reduce((sum, { ran }) => sum + ran, 0))
    if (stop?.aborted) break
    if (!states.every(({ pushed }) => pushed)) continue
    const counts = await pages[0]!.evaluate(async () => (await (window as unknown as Window).queue.stats('q')).counts)
    if (counts.waiting + counts.active + counts.delayed === 0) break
  }
  const seconds = (performance.now() - begun) / 1000
  const ran = await Promise.all(pages.map((page) => page.evaluate(() => (window as unknown as Window).ran)))
  const { counts, report } = await pages[0]!.evaluate(async () => {
    const { queue } = window as unknown as Window
    return { counts: (await queue.stats('q')).counts, report: await queue.verify() }
  })
  const times = new Map<number, number>()
  for (const [data] of ran.flat()) times.set(data, (times.get(data) ?? 0) + 1)
  const wanted = stop?.aborted ? [] : Array.from({ length: tabs * share }, (_, n) => Math.floor(n / share) * 1e7 + n % share)
  const others = Object.entries(counts).filter(([state, count]) => state !== 'completed' && count > 0 && !stop?.aborted)
  return {
    done: times.size, seconds, processes,
    lost: wanted.filter((data) => !times.has(data)).map(String),
    doubled: [...times].filter(([, count]) => count > 1).map(([data]) => String(data)),
    countersWrong: [...report.faults, ...others.map(([state, count]) => `${count} ${state}`)],
    mostAtOnce: most(ran.flat()), perTab: ran.map((list) => list.length),
  }
}

/** The clocks of two processes may be this far apart. */
const SKEW_MS = 1

function most(runs: ReadonlyArray<readonly [data: number, from: number, to: number]>): number {
  const turns = runs.flatMap(([, from, to]) => [[from + SKEW_MS, 1], [Math.max(to, from + SKEW_MS), -1]] as Array<[number, number]>).sort(([a, one], [b, other]) => a - b || one - other)
  let [now, highest] = [0, 0]
  for (const [, step] of turns) highest = Math.max(highest, now += step)
  return highest
}
