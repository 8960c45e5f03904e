/** kill -9 at random moments under load, as often as asked; what was acknowledged is compared with what is there. */
import type { Queue } from 'holdfast'
import { KillableBrowser, pause, type Backend, seeded, serveSite, type Journal, type Site } from './harness.ts'

/** What a kill needs of a browser and its pages, whichever they are. */
export interface OpenPage {
  goto(url: string): Promise<unknown>
  waitForFunction(what: string): Promise<unknown>
  evaluate<T>(what: () => Promise<T>): Promise<T>
  close(): Promise<void>
}
export interface Killable {
  readonly profile: string
  start(): Promise<unknown>
  page(): Promise<OpenPage>
  /** Whether it has made its databases anew since this was last asked. */
  remade?(): boolean
  /** SIGKILL to all of it at once. */
  killAll(): Promise<void>
  dispose(): Promise<void>
}

/**
 * Pushes without rest by ones, tens and a hundred at once, now and then urgent, late or large. A handler completes, fails once, or dawdles;
 * other jobs are pulled and acknowledged by hand.
 */
export const PAGE = `
  import { openQueue } from 'holdfast'
  const load = location.hash !== '#drain'
  const queue = await openQueue('crash')
  window.queue = queue
  queue.on('completed', (event) => { tell('completed', event.id) })
  await queue.configure('q', { defaults: { backoff: { type: 'fixed', delayMs: 20 }, maxAttempts: 20 } })
  await queue.process('q', async (job, ctx) => {
    tell('started', job.id)
    const n = job.data.n ?? job.data
    if (n % 7 === 0) await new Promise((resolve) => setTimeout(resolve, 30))
    if (n % 11 === 0 && ctx.attempt === 1) throw new Error('once')
    return n
  }, { concurrency: 8 })
  async function byHand() {
    for (;;) {
      const jobs = await queue.pull('p', 5, { waitMs: 1000 })
      for (const job of jobs) tell('started', job.id)
      if (jobs.length > 0) await queue.ackMany(jobs)
    }
  }
  void byHand()
  tell('ready')
  const large = 'x'.repeat(20_000)
  for (let n = 0; load; n++) {
    const size = [1, 10, 1, 100][n % 4]
    const to = n % 3 === 0 ? 'p' : 'q'
    const options = [undefined, { priority: n % 5 }, { delayMs: 25 }][n % 7] ?? {}
    if (size === 100) for (const id of await queue.pushMany(to, Array.from({ length: size }, (_, i) => ({ name: 'n', data: n + i })))) tell('pushed', id)
    else await Promise.all(Array.from({ length: size }, async (_, i) => tell('pushed', await queue.push(to, 'n', n % 9 === 0 ? { n, large } : n + i, options))))
  }
`

export interface Findings {
  kills: number
  acknowledged: number
  starts: number
  /** Jobs that were running at too many kills: dead, neither lost nor doubled. */
  stalled: number
  /** How often the browser itself threw its databases away, and what had been acknowledged until then. */
  remade: number
  thrownAway: number
  /** Acknowledged pushes that are gone. */
  readonly lost: string[]
  /** Jobs that ran after they had completed, or are in two places. */
  readonly doubled: string[]
  /** Endings that were accepted although another had been. */
  readonly staleAccepted: string[]
  /** Jobs that did not complete. */
  readonly unfinished: string[]
  /** What `verify()` found, and counters that differ from what is stored. */
  readonly countersWrong: string[]
}

export const noFindings = (): Findings => ({ kills: 0, acknowledged: 0, starts: 0, stalled: 0, remade: 0, thrownAway: 0, lost: [], doubled: [], staleAccepted: [], unfinished: [], countersWrong: [] })

/** All that should not have been, in words. */
export const faultsIn = ({ lost, doubled, staleAccepted, unfinished, countersWrong }: Findings): string[] =>
  Object.entries({ lost, doubled, staleAccepted, unfinished, countersWrong }).flatMap(([what, found]) => found.map((one) => `${what}: ${one}`))

export interface Stage<B extends Killable = Killable> {
  readonly site: Site
  readonly browser: B
  close(): Promise<void>
  /** Closes, but leaves the profile to be looked at. */
  keep(): Promise<void>
}

export const openStage = (backend?: Backend): Promise<Stage<KillableBrowser>> => stageOf(new KillableBrowser(backend && { backend }))

export async function stageOf<B extends Killable>(browser: B): Promise<Stage<B>> {
  const site = await serveSite(PAGE)
  return {
    site, browser,
    async close() { await browser.dispose(); await site.close() },
    async keep() { await browser.killAll(); await site.close() },
  }
}

export interface KillOptions {
  readonly kills: number
  readonly seed: number
  /** What it has found so far; adds to it. */
  readonly findings?: Findings
  /** Called after each kill. */
  readonly progress?: (findings: Findings) => void
  readonly stop?: AbortSignal
}

/** Often enough that retention (a minute) cannot have taken what is looked for. */
const SETTLE_EVERY = 20
const SETTLE_MS = 20_000

/** Kills, and looks at what is left now and then and at the end. */
async function loop({ kills, seed, findings = noFindings(), progress, stop }: KillOptions, kill: (random: () => number, n: number) => Promise<void>, settled: () => Promise<void>, journal: Journal): Promise<Findings> {
  const random = seeded(seed)
  const before = journal.starts
  const starts = findings.starts
  let [since, at] = [0, performance.now()]
  for (let n = 1; n <= kills && !stop?.aborted; n++) {
    await kill(random, n)
    findings.kills++
    findings.starts = starts + journal.starts - before
    if (++since >= SETTLE_EVERY || performance.now() - at > SETTLE_MS) {
      await settled()
      ;[since, at] = [0, performance.now()]
    }
    progress?.(findings)
  }
  if (since > 0) await settled()
  findings.starts = starts + journal.starts - before
  return findings
}

/** kill -9 of the renderer: the page, its worker, their locks and connections; most moments are under load, some while it opens. */
export async function killRenderers({ site, browser }: Stage<KillableBrowser>, options: KillOptions): Promise<Findings> {
  const findings = options.findings ?? noFindings()
  await browser.start()
  await loop({ ...options, findings }, async (random, n) => {
    const page = await browser.page()
    const opened = load(page, site, n % 4 !== 0)
    if (n % 4 === 0) await pause(random() * 200)
    else { await opened; await pause(random() * 150) }
    browser.killRenderers()
    // Chromium takes half a second over it.
    page.close().catch(() => {})
    await opened.catch(() => {})
  }, () => settle(browser, site, findings), site.journal)
  await browser.killAll()
  return findings
}

/** kill -9 of all processes of the browser at once. */
export async function killBrowsers({ site, browser }: Stage, options: KillOptions): Promise<Findings> {
  const findings = options.findings ?? noFindings()
  let before = 0
  await loop({ ...options, findings }, async (random, n) => {
    await browser.start()
    const page = await browser.page()
    const opened = load(page, site, n % 4 !== 0)
    if (n % 4 === 0) await pause(random() * 300)
    else { await opened; await pause(random() * 400) }
    await browser.killAll()
    await opened.catch(() => {})
    forgetThrownAway(browser, site, findings, before)
    before = site.journal.acknowledged.size
  }, async () => {
    await browser.start()
    await settle(browser, site, findings)
    before = 0
    await browser.killAll()
  }, site.journal)
  return findings
}

/** What the browser itself has thrown away is not asked for; all that is counted. */
function forgetThrownAway(browser: Killable, { journal }: Site, findings: Findings, acknowledged: number): void {
  const gone = browser.remade?.() ? journal.forget(acknowledged) : 0
  if (gone === 0) return
  findings.remade++
  findings.thrownAway += gone
}

/** Resolves when the page works, or at once when that need not be awaited. */
async function load(page: OpenPage, { url, journal }: Site, ready: boolean): Promise<void> {
  const was = journal.notes.length
  // A kill ends it before it has arrived.
  page.goto(`${url}/page`).catch(() => {})
  for (const end = performance.now() + 30_000; ready && journal.notes.length === was; await Promise.race([journal.next(), pause(1000)])) if (performance.now() > end) throw new Error('the page did not open its queue within 30 s')
}

/** Everything that is left is done; then what the database holds is compared with the journal. */
async function settle(browser: Killable, site: Site, findings: Findings): Promise<void> {
  const { url, journal } = site
  const page = await browser.page()
  await page.goto(`${url}/page#drain`)
  await page.waitForFunction('window.queue')
  const { stored, counts, report } = await page.evaluate(async () => {
    const { queue } = window as unknown as { queue: Queue }
    const end = performance.now() + 60_000
    for (;;) {
      const { counts: now } = await queue.stats()
      if (now.waiting + now.active + now.delayed === 0 || performance.now() > end) break
      await new Promise((resolve) => { setTimeout(resolve, 20) })
    }
    /** The list comes in parts: what was forgotten between them must not make the counters look wrong. */
    async function look(): Promise<{ stored: Array<readonly [state: string, id: string]>; counts: Record<string, number> }> {
      const { counts: before } = await queue.stats()
      const found: Array<readonly [state: string, id: string]> = []
      let cursor: string | undefined
      do {
        const part = await queue.list({ limit: 1000, ...(cursor === undefined ? {} : { cursor }) })
        found.push(...part.jobs.map((job) => [job.state === 'dead' && job.stalls > 5 ? 'stalled' : job.state, job.id] as const))
        cursor = part.cursor
      } while (cursor !== undefined)
      const { counts: now } = await queue.stats()
      return JSON.stringify(before) === JSON.stringify(now) ? { stored: found, counts: now } : look()
    }
    const state = { ...await look(), report: await queue.verify() }
    await queue.removeAll({ state: 'dead' })
    return state
  })
  await page.close()
  forgetThrownAway(browser, site, findings, journal.acknowledged.size)
  const kept = new Set(stored.map(([, id]) => id))
  // Retention may have forgotten jobs that completed more than a minute ago: those are told by the journal.
  findings.lost.push(...[...journal.acknowledged].filter((id) => !kept.has(id) && !journal.completed.has(id)))
  findings.doubled.push(...journal.takeDoubled(), ...(kept.size < stored.length ? [`${stored.length - kept.size} jobs are in two places`] : []))
  const number = (...states: readonly string[]): number => stored.filter(([state]) => states.includes(state)).length
  // Who is killed under its tab for the sixth time is dead, as it should be.
  findings.stalled += number('stalled')
  findings.unfinished.push(...stored.filter(([state]) => state !== 'completed' && state !== 'stalled').map(([state, id]) => `${state} ${id}`))
  findings.countersWrong.push(...report.faults, ...(counts.completed === number('completed') && counts.dead === number('dead', 'stalled') ? [] : [`counted ${JSON.stringify(counts)}, stored ${number('completed')} completed and ${number('dead', 'stalled')} dead`]))
  findings.acknowledged += journal.acknowledged.size
  // These have been found; what is pushed from now on is another question, so that retention cannot make it look lost.
  journal.acknowledged.clear()
  journal.notes.length = 0
}
