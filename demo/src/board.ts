/** What the queue holds, kept up to date for drawing: asked for once, then again after events, at most four times a second. */
import type { Job, Queue, Stats } from 'holdfast'

export interface Channel {
  readonly total: number
  /** The first of them; never all when there are thousands. */
  readonly jobs: readonly Job[]
}

export interface Board {
  readonly waiting: Channel
  readonly delayed: Channel
  readonly active: Channel
  /** Latest first. */
  readonly sent: Channel
  readonly dead: Channel
  readonly stats: Stats
}

/** Until when an origin is not asked, if it is not. */
export const closedUntil = ({ stats }: Board, origin: string): number | undefined =>
  stats.queues.map(({ closedOrigins }) => closedOrigins[origin]?.until).find((until) => until !== undefined && until > Date.now())

const EVERY_MS = 250
/** Up to so many are read in one go, so that all that is shown was true at the same moment. */
const FEW = 200
const LIVE = ['active', 'waiting', 'delayed', 'dead'] as const
const SHOWN = { waiting: 64, delayed: 60, active: 12, dead: 100, sent: 54 } as const

const byPlace = (a: Job, b: Job): number => b.priority - a.priority || a.position - b.position
const byDue = (a: Job, b: Job): number => (a.runAt ?? 0) - (b.runAt ?? 0)
const byEnd = (a: Job, b: Job): number => (b.endedAt ?? 0) - (a.endedAt ?? 0)

export function watch(queue: Queue, show: (board: Board) => void, lost: (error: unknown) => void): void {
  const sent = recentlySent(queue)
  let stale = true
  let looking = false

  async function look(): Promise<Board> {
    const [stats, latest] = await Promise.all([queue.stats(), sent.latest()])
    const few = LIVE.reduce((sum, state) => sum + stats.counts[state], 0) <= FEW
    const live = few ? (await queue.list({ state: LIVE, limit: 2 * FEW })).jobs
      : (await Promise.all(LIVE.map((state) => queue.list({ state, limit: SHOWN[state] })))).flatMap(({ jobs }) => jobs)

    // What was read one after the other may name a job twice: what ended has ended.
    const ended = new Set(latest.map(({ id }) => id))
    const once = [...new Map(live.filter(({ id }) => !ended.has(id)).map((job) => [job.id, job])).values()]
    const channel = (state: (typeof LIVE)[number], order: (a: Job, b: Job) => number): Channel => {
      const jobs = once.filter((job) => job.state === state).sort(order)
      return { total: few ? jobs.length : stats.counts[state], jobs: jobs.slice(0, SHOWN[state]) }
    }
    return {
      stats,
      waiting: channel('waiting', byPlace), delayed: channel('delayed', byDue), active: channel('active', byPlace), dead: channel('dead', byEnd),
      sent: { total: Math.max(stats.counts.completed, latest.length), jobs: latest },
    }
  }

  async function refresh(): Promise<void> {
    stale = true
    if (looking || document.hidden) return
    looking = true
    while (stale && !document.hidden) {
      stale = false
      const began = performance.now()
      try {
        show(await look())
      } catch (error) {
        lost(error)
      }
      // A large backlog takes longer to look at, so it is looked at less often.
      await new Promise((done) => setTimeout(done, Math.max(EVERY_MS, 4 * (performance.now() - began))))
    }
    looking = false
  }

  queue.on('*', ({ type, id }) => {
    if (id && type === 'completed') sent.add(id)
    else if (id) sent.drop(id)
    void refresh()
  })
  document.addEventListener('visibilitychange', () => void refresh())
  void refresh()
}

/** `list` gives the oldest first, and the river shows the latest: these are read once to the end, then followed by events. */
function recentlySent(queue: Queue) {
  let ids: string[] | undefined
  const arrived: string[] = []
  const jobs = new Map<string, Job>()

  async function readAll(): Promise<string[]> {
    const all: Job[] = []
    let cursor: string | undefined
    do {
      const page = await queue.list({ state: 'completed', limit: 1000, ...(cursor ? { cursor } : {}) })
      all.push(...page.jobs)
      cursor = page.cursor
    } while (cursor)
    const latest = all.sort(byEnd).slice(0, SHOWN.sent)
    for (const job of latest) jobs.set(job.id, job)
    return latest.map(({ id }) => id)
  }

  return {
    add(id: string): void { arrived.push(id) },
    drop(id: string): void { jobs.delete(id); ids = ids?.filter((other) => other !== id) },
    async latest(): Promise<Job[]> {
      ids ??= await readAll()
      const fresh = arrived.splice(0).reverse()
      ids = [...new Set([...fresh, ...ids])].slice(0, SHOWN.sent)
      await Promise.all(ids.map(async (id) => {
        const job = jobs.get(id) ?? await queue.get(id)
        if (job?.state === 'completed') jobs.set(id, job)
      }))
      const shown = ids.flatMap((id) => jobs.get(id) ?? [])
      jobs.clear()
      for (const job of shown) jobs.set(job.id, job)
      return shown
    },
  }
}
