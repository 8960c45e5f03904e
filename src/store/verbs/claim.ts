/** Claiming: the first jobs that a realm can run leave their lanes for a lease box. */
import { credentialsAllow, credentialsKey } from '../../core/credentials.ts'
import { allowance } from '../../core/gate.ts'
import type { Job } from '../../core/job.ts'
import { canRun, parseLane, type Lane, type Runs } from '../../core/lane.ts'
import { present } from '../../core/present.ts'
import { fairShare } from '../../core/share.ts'
import { transition, type JobEvent } from '../../core/transition.ts'
import { head, jobBytes, PAGE_JOBS, takeFirst, type LaneView } from '../lane-view.ts'
import { isApart, lean } from '../packing.ts'
import { isWhole, whole as withKept } from '../reads.ts'
import { count, forgetExpiry, setLane, summonAhead } from '../rooms.ts'
import { bucketsOf, type LeaseRow, type ProcessorShare, type QueueRow } from '../schema.ts'
import type { Work } from '../work.ts'
import { settleOutcome } from './end.ts'
import { credentialsEvent } from './credentials.ts'
import { gateEvent, takeTrial } from './gates.ts'
import { needsNetwork } from './network.ts'
import { resumed } from './queues.ts'

const BOX_BYTES = 4_194_304
/** Jobs that came too late, or have lost their data, are ended on the way; with more of them in front a claim holds up nobody, and is made again. */
const MOST_ENDED = 500

export interface ClaimRequest {
  readonly queue: string
  readonly owner: string
  readonly leaseMs: number
  /** Whether the network may be used now, for all this realm knows. */
  readonly online: boolean
  /** At most so many, `ahead` included. */
  readonly count: number
  /** Absent: pulled by hand. */
  readonly processor?: { readonly id: string; readonly want: number; readonly running: number; readonly runs: Runs }
}

export interface Claim {
  /** How many the processor may run at once. */
  readonly has: number
  /** There are jobs for it, and no place to run them. */
  readonly hungry: boolean
  readonly box?: number
  readonly token?: string
  readonly jobs: readonly Job[]
  /** It has not come to the end of what there is: to be asked again at once. */
  readonly more: boolean
  /** Whether the queue is not claimed from while offline. */
  readonly gated: boolean
}

/** Claims the first jobs that this realm can run, into one box under one fresh token. */
export async function claim(work: Work, request: ClaimRequest): Promise<Claim> {
  const before = await work.queue(request.queue)
  let row = before
  if (row.paused && row.pausedUntil !== undefined && row.pausedUntil <= work.now) row = resumed(work, row)
  const { has, free } = shareOf(row, request)
  const gated = needsNetwork(row)
  const blocked = row.paused || (gated && (!request.online || work.meta.network !== undefined))
  const { jobs, more } = blocked || free <= 0 ? { jobs: [], more: false } : await take(work, row, request.processor?.runs, free, request.processor !== undefined && free >= PAGE_JOBS, (next) => { row = next })
  const lease = jobs.length > 0 ? putBox(work, request, jobs) : undefined
  if (lease) row = count(row, 'active', jobs.length)
  if (request.processor) row = withShare(work, row, request.owner, request.processor, has, jobs)
  if (row !== before) work.putQueue(row)
  return { has, gated, hungry: request.processor !== undefined && row.processors[request.processor.id]?.hungry === true, jobs, more, ...(lease && { box: lease.box, token: lease.token }) }
}

/** Notes what a processor may run and holds; one that holds nothing lets others have its share. */
function withShare(work: Work, row: QueueRow, owner: string, { id, want, runs }: NonNullable<ClaimRequest['processor']>, has: number, jobs: readonly Job[]): QueueRow {
  const claimed = jobs.length
  const old = row.processors[id]
  const leased = (old?.leased ?? 0) + claimed
  const names = runs.kind === 'handlers' ? runs.names : undefined
  const isRival = (other: ProcessorShare): boolean => !names || !other.names || other.names.some((name) => names.includes(name))
  // Who has just given up its place lets the hungry one come before it.
  const starved = has <= 0 && (old?.has ?? 0) <= 0 && Object.keys(row.lanes).some((lane) => canRun(runs, parseLane(lane), work.meta.user))
  const outrun = leased === 0 && runs.kind === 'handlers' && Object.entries(row.processors).some(([other, share]) => other !== id && share.leased > share.has && isRival(share))
  const hungry = starved || outrun
  const last = jobs[jobs.length - 1]
  const priority = last?.priority ?? old?.priority ?? 0
  const share: ProcessorShare = present({ owner, want, has: leased === 0 ? 0 : has, leased, priority, hungry: hungry || undefined, names })
  if (old && old.has > share.has) work.wakes.add(row.queue)
  // What others have claimed ahead of time they give back.
  if (hungry && !old?.hungry) summonAhead(work, row, isRival)
  if (old && claimed === 0 && old.has === share.has && old.want === want && old.hungry === share.hungry) return row
  return { ...row, processors: { ...row.processors, [id]: share } }
}

function shareOf(row: QueueRow, { count: wanted, processor }: ClaimRequest): { readonly has: number; readonly free: number } {
  const cap = row.settings.concurrency ?? Infinity
  const shares = Object.entries(row.processors)
  const pulled = row.counts.active - shares.reduce((sum, [, { leased }]) => sum + leased, 0)
  // A place that nothing runs in is free, even if its owner has died without giving it back.
  const runs = ({ has, leased }: ProcessorShare): number => Math.min(has, leased)
  if (!processor) return { has: 0, free: Math.min(wanted, cap - pulled - shares.reduce((sum, [, share]) => sum + runs(share), 0)) }
  const total = Math.min(row.concurrency ?? processor.want, cap - Math.max(0, pulled))
  const others = shares.filter(([id]) => id !== processor.id).map(([, share]) => ({ ...share, runs: runs(share) }))
  const entitled = fairShare(total, { want: processor.want, hungry: row.processors[processor.id]?.hungry === true }, others)
  const has = Math.max(processor.running, entitled)
  // What runs is never taken away, but who runs more than its part claims nothing until it does not.
  return { has, free: entitled <= 0 || has > entitled ? 0 : Math.min(wanted, wanted - processor.want + has) }
}

/** The first `max` runnable jobs over all lanes by (−priority, position); a job that stalled comes alone. */
async function take(work: Work, start: QueueRow, runs: Runs | undefined, max: number, whole: boolean, keep: (row: QueueRow) => void): Promise<Pick<Claim, 'jobs' | 'more'>> {
  let row = start
  const limits = new Map<string, number>()
  const lanes: string[] = []
  for (const lane of Object.keys(row.lanes)) {
    const needs = parseLane(lane)
    const { origin } = needs
    if (!canRun(runs, needs, work.meta.user)) continue
    const allowed = await allowedIn(work, needs)
    if (allowed <= 0) continue
    lanes.push(lane)
    if (origin !== undefined && allowed < Infinity) limits.set(origin, Math.min(allowed, limits.get(origin) ?? Infinity))
  }
  const taken: Job[] = []
  let [bytes, ended] = [0, 0]
  let open = lanes
  while (taken.length < max && bytes < BOX_BYTES && ended < MOST_ENDED) {
    const fronts = await frontsOf(work, row, open, max - taken.length)
    const best = fronts[0]
    if (!best) break
    const [job] = best.page.row.jobs
    if (!job) break
    const needs = parseLane(best.view.lane)
    const bounded = needs.origin
    const allowed = bounded === undefined ? Infinity : limits.get(bounded) ?? Infinity
    // A remainder of a page would be written again: who claims ahead of time takes whole pages.
    const most = whole ? PAGE_JOBS : max - taken.length
    const run = runLength(best.page.row.jobs, Math.min(most, allowed), taken.length, fronts[1]?.page.row)
    if (run === 0) break
    const { before = best.view, view, jobs }: { before?: LaneView; view: LaneView; jobs: readonly Job[] } = bounded !== undefined && allowed === 1 ? await takeTrial(work, best.view, bounded, taken.length === 0) : takeFirst(best.view, run)
    row = setLane(work, row, before, view, -jobs.length)
    const live = await claimed(work, row, jobs, (next) => { row = next })
    taken.push(...live)
    ended += jobs.length - live.length
    bytes += live.reduce((sum, one) => sum + jobBytes(one), 0)
    if (bounded !== undefined && allowed < Infinity) {
      limits.set(bounded, allowed - live.length)
      if (live.length > 0) { await gateEvent(work, bounded, { type: 'asked', count: live.length }); await credentialsEvent(work, credentialsKey(needs), { type: 'asked' }) }
      if (allowed - live.length <= 0) open = open.filter((lane) => parseLane(lane).origin !== bounded)
    }
    if (live.some(({ stalls }) => stalls > 0)) break
  }
  keep(row)
  const more = ended >= MOST_ENDED
  if (more) work.wakes.add(row.queue)
  return { jobs: await Promise.all(taken.map(async (job) => isApart(job) ? withKept(work, job) : job)), more }
}

/** How many of a lane may be claimed. A closed origin is passed over without another look. */
async function allowedIn(work: Work, lane: Lane): Promise<number> {
  if (lane.origin === undefined) return Infinity
  const open = allowance(await work.get('origins', lane.origin), work.now)
  return open <= 0 ? 0 : Math.min(open, credentialsAllow(await work.get('credentials', credentialsKey(lane))))
}

/** The lanes that have jobs, best first page first. */
async function frontsOf(work: Work, row: QueueRow, lanes: readonly string[], jobs: number): Promise<Array<{ readonly view: LaneView; readonly page: NonNullable<ReturnType<typeof head>> }>> {
  const views = await Promise.all(lanes.map(async (lane) => {
    const size = row.lanes[lane]
    if (!size || size.jobs <= 0) return undefined
    return work.loadFront(row.queue, lane, Math.ceil(Math.min(jobs, size.jobs) * size.pages / size.jobs) + 1)
  }))
  return views.flatMap((view) => {
    const page = view && head(view)
    return view && page ? [{ view, page }] : []
  }).sort((a, b) => a.page.row.rank - b.page.row.rank || a.page.row.first - b.page.row.first)
}

/** How many jobs from the start of `jobs` come before any of the next lane, up to `max`; one that stalled only if it is the first taken. */
function runLength(jobs: readonly Job[], max: number, taken: number, next: { readonly rank: number; readonly first: number } | undefined): number {
  let n = 0
  for (const job of jobs) {
    if (n >= max) break
    if (job.stalls > 0 && taken + n > 0) break
    if (n > 0 && next && (-job.priority > next.rank || (-job.priority === next.rank && job.position > next.first))) break
    n++
    if (job.stalls > 0) break
  }
  return n
}

/** Claims those that can run; those that came too late, or whose data was lost, end. */
async function claimed(work: Work, row: QueueRow, jobs: readonly Job[], keep: (row: QueueRow) => void): Promise<Job[]> {
  const live: Job[] = []
  let out = row
  const lost = new Set<Job>()
  const apart = jobs.filter(isApart)
  if (apart.length > 0) await Promise.all(apart.map(async (job) => { if (!await isWhole(work, job)) lost.add(job) }))
  for (const job of jobs) {
    const event: JobEvent = job.expiresAt !== undefined && job.expiresAt <= work.now ? { type: 'expire' } : lost.has(job) ? { type: 'lose' } : { type: 'claim' }
    const outcome = transition(job, event, work.now)
    if (outcome.kind === 'moved' && outcome.job.state === 'active') { live.push(outcome.job); work.emit('active', job) }
    else {
      // Upkeep need not look for it.
      forgetExpiry(work, job)
      out = await settleOutcome(work, out, outcome)
    }
  }
  keep(out)
  return live
}

function putBox(work: Work, { queue, owner, leaseMs, processor }: ClaimRequest, jobs: readonly Job[]): LeaseRow {
  const box = work.numbers(1)
  const left = jobs.map(({ seq }) => seq)
  const lease: LeaseRow = present({ box, queue, token: work.env.token(), owner, left, leaseMs, buckets: bucketsOf(left), processor: processor?.id })
  work.put('boxes', box, { jobs: jobs.map(lean) }, true)
  work.put('leases', box, lease, true)
  return lease
}
