/** Ending: leased jobs leave their box, by their own end or their owner's. */
import type { GateEvent } from '../../core/gate.ts'
import type { OriginNews } from '../../core/http-answer.ts'
import { isFinal, type Job, type State } from '../../core/job.ts'
import { originOf } from '../../core/lane.ts'
import { present } from '../../core/present.ts'
import { invalidState, transition, type JobEvent, type Outcome } from '../../core/transition.ts'
import { boxOf, enter, eventOf, forget, forgetSteps, noteExpiry, putBack, store, withLease, withReport } from '../rooms.ts'
import { lean } from '../packing.ts'
import type { LeaseRow, QueueRow, Report } from '../schema.ts'
import type { Work } from '../work.ts'
import { credentialsEvent, dropRefresher, keyOf, refused } from './credentials.ts'
import { gateEvent } from './gates.ts'
import { leaveGroup } from './groups.ts'
import { networkEvent } from './network.ts'

export const MAX_STALLS = 5

export interface Ending {
  readonly box: number
  readonly token: string
  readonly seq: number
  /** The job as claimed; absent: it is read from its box. */
  readonly job?: Job
  readonly event: Extract<JobEvent, { type: 'complete' | 'fail' | 'snooze' | 'release' | 'cancel' }>
  readonly report?: Report
  /** What the request learned about its origin. */
  readonly origin?: OriginNews
}
export type Ended = { readonly ok: true; readonly job: Job } | { readonly ok: false }

/** What a request that ended says of its origin. */
const gateEventOf = (work: Work, origin: Ending['origin']): GateEvent =>
  origin?.closed ? { type: 'trouble', ...origin.closed, random: work.env.random() } : { type: origin ? 'answered' : 'ended' }

async function tellOrigin(work: Work, job: Job, { origin: news, box }: Pick<Ending, 'origin' | 'box'>): Promise<void> {
  await gateEvent(work, originOf(job.http?.url ?? ''), gateEventOf(work, news))
  if (!news?.unauthorized) await credentialsEvent(work, keyOf(job), { type: news && !news.closed ? 'answered' : 'ended', box })
}

/** What an ending means where its origin was asked: a first 401 is excused. */
async function eventAt(work: Work, job: Job, { event, origin, box }: Ending): Promise<Ending['event']> {
  if (origin?.unauthorized && await refused(work, job, box)) return { type: 'release', refused: box }
  return origin && event.type === 'release' ? { ...event, refused: false } : event
}

/** Ends attempts. Each must prove its lease; one that cannot changes nothing, and the others are done. */
export async function settle(work: Work, endings: readonly Ending[]): Promise<Ended[]> {
  const results: Ended[] = []
  const leases = new Map<number, { lease: LeaseRow; left: Set<number>; tally: Tally }>()
  const tallies = new Map<string, Tally>()
  for (const ending of endings) {
    let held = leases.get(ending.box)
    if (!held) {
      const lease = await work.get('leases', ending.box)
      if (lease) {
        let tally = tallies.get(lease.queue)
        if (!tally) tallies.set(lease.queue, tally = startTally(await work.queue(lease.queue)))
        leases.set(ending.box, held = { lease, left: new Set(lease.left), tally })
      }
    }
    if (!held || held.lease.token !== ending.token || !held.left.has(ending.seq)) { results.push({ ok: false }); continue }
    const { lease, tally } = held
    const job = ending.job ?? (await boxOf(work, ending.box)).find(({ seq }) => seq === ending.seq)
    if (!job) throw new Error(`box ${ending.box} does not hold job ${ending.seq}`)
    held.left.delete(ending.seq)
    const claimed = job.state === 'active' ? job : { ...job, state: 'active' as const }
    const event = ending.origin ? await eventAt(work, job, ending) : ending.event
    const ended = endLeased(work, tally, lease, withReport(withLease(claimed, lease), ending.report), event)
    results.push({ ok: true, job: ended instanceof Promise ? await ended : ended })
    if (job.http) { await tellOrigin(work, job, ending); work.wakes.add(lease.queue) }
  }
  for (const { lease, left } of leases.values()) if (left.size !== lease.left.length) putLease(work, lease, left)
  for (const tally of tallies.values()) putTally(work, tally)
  return results
}

/** A queue's row while many of its leased jobs end: what each changes is summed, and written once. */
interface Tally { row: QueueRow; active: number; readonly ended: Partial<Record<State, number>>; readonly leased: Map<string, number> }

const startTally = (row: QueueRow): Tally => ({ row, active: 0, ended: {}, leased: new Map() })

function putTally(work: Work, { row, active, ended, leased }: Tally): void {
  if (active === 0) return
  const counts: Record<State, number> = { ...row.counts, active: row.counts.active + active }
  for (const [state, by] of Object.entries(ended) as Array<[State, number]>) counts[state] += by
  const processors = { ...row.processors }
  for (const [id, by] of leased) {
    const share = processors[id]
    if (share) processors[id] = { ...share, leased: share.leased + by }
  }
  work.putQueue({ ...row, counts, processors })
}

/** What a lease has learned of the jobs that are left. */
function among<T>(left: ReadonlySet<number>, record: Readonly<Record<number, T>> | undefined): Readonly<Record<number, T>> | undefined {
  const kept = Object.entries(record ?? {}).filter(([seq]) => left.has(Number(seq)))
  return kept.length > 0 ? Object.fromEntries(kept) : undefined
}

function putLease(work: Work, lease: LeaseRow, left: ReadonlySet<number>): void {
  if (left.size > 0) {
    const { beats, cancels, reports, steps, ...row } = lease
    work.put('leases', lease.box, present({ ...row, left: lease.left.filter((seq) => left.has(seq)), beats: among(left, beats), cancels: among(left, cancels), reports: among(left, reports), steps: steps?.filter((seq) => left.has(seq)) }))
    return
  }
  work.delete('leases', lease.box)
  work.delete('boxes', lease.box)
}

/** One leased job leaves its box: counters, room, events. A promise only where its place must be read. */
function endLeased(work: Work, tally: Tally, lease: LeaseRow, job: Job, event: JobEvent): Job | Promise<Job> {
  tally.active--
  if (lease.processor !== undefined) tally.leased.set(lease.processor, (tally.leased.get(lease.processor) ?? 0) - 1)
  // A handler that asks for its own end may have it at once.
  const outcome = event.type === 'cancel' ? transition({ ...job, cancelRequested: { reason: event.reason, remove: false } }, { type: 'release' }, work.now) : transition(job, event, work.now)
  if (outcome.kind !== 'moved' && outcome.kind !== 'gone') throw invalidState(job, event.type)
  const kept = lean(outcome.job)
  const stored = lease.steps?.includes(job.seq) ? { ...kept, stepped: true as const } : kept
  if (event.type === 'complete' && event.full !== undefined) work.full.set(job.seq, event.full)
  if (isFinal(stored.state)) forgetSteps(work, stored)
  announce(work, stored, event)
  // It may have come due while it was leased.
  if (!isFinal(stored.state)) noteExpiry(work, stored)
  if (tally.row.settings.concurrency != null || !lease.processor) work.wakes.add(job.queue)
  const gone = outcome.kind === 'gone'
  if (gone) { forget(work, stored); work.final(stored); if (stored.reason === 'removed') work.emit('removed', stored) }
  else if (stored.state !== 'waiting') {
    store(work, stored)
    tally.ended[stored.state] = (tally.ended[stored.state] ?? 0) + 1
  }
  if (isFinal(stored.state) && stored.group !== undefined) return leaveGroup(work, tally.row, stored, gone).then((row) => { tally.row = row; return outcome.job })
  if (gone || stored.state !== 'waiting') return outcome.job
  return (event.type === 'release' ? putBack : enter)(work, tally.row, stored).then((row) => { tally.row = row; return outcome.job })
}

/** Stores what a transition decided, for a job that is in no room now. */
export async function settleOutcome(work: Work, row: QueueRow, outcome: Outcome): Promise<QueueRow> {
  if (outcome.kind === 'gone') { forget(work, outcome.job); work.final(outcome.job); work.emit('removed', outcome.job); return leaveGroup(work, row, outcome.job, true) }
  if (outcome.kind !== 'moved') return row
  if (isFinal(outcome.job.state)) forgetSteps(work, outcome.job)
  work.emit(eventOf(outcome.job.state), outcome.job, { reason: outcome.job.reason })
  const entered = await enter(work, row, outcome.job)
  return isFinal(outcome.job.state) ? leaveGroup(work, entered, outcome.job) : entered
}

function announce(work: Work, job: Job, event: JobEvent): void {
  const { reason, runAt } = job
  const told = event.type === 'fail' ? event.error : event.type === 'complete' && job.state === 'completed' ? event.unstorable : undefined
  const error = told && { name: told.name, message: told.message }
  if (isFinal(job.state)) work.emit(eventOf(job.state), job, { reason, error })
  else if (event.type === 'fail') work.emit('retrying', job, { runAt, error })
  else work.emit(event.type === 'stall' ? 'stalled' : 'released', job, { runAt })
}

/** Takes back what an owner held: recovery is not failure. Without `seqs`: the whole box. */
export async function recover(work: Work, box: number, seqs?: readonly number[], event: 'stall' | 'release' = 'stall'): Promise<number> {
  const lease = await work.get('leases', box)
  if (!lease) return 0
  const lost = seqs ? lease.left.filter((seq) => seqs.includes(seq)) : lease.left
  const jobs = await boxOf(work, box)
  const left = new Set(lease.left)
  const tally = startTally(await work.queue(lease.queue))
  for (const seq of lost) {
    const job = jobs.find((one) => one.seq === seq)
    if (!job) continue
    left.delete(seq)
    if (job.http) await tellOrigin(work, job, { box })
    await endLeased(work, tally, lease, withLease({ ...job, state: 'active' }, lease), event === 'stall' ? { type: 'stall', owner: lease.owner, maxStalls: MAX_STALLS } : { type: 'release' })
  }
  putTally(work, tally)
  putLease(work, lease, left)
  work.summons.add(lease.owner)
  return lost.length
}

/** Takes back silent leases, unless they were heard of since they were looked at. */
export async function expireLease(work: Work, seen: LeaseRow, silent: readonly number[], ownerBeats: number): Promise<void> {
  const lease = await work.get('leases', seen.box)
  if (!lease) return
  if (lease.processor !== undefined && ((await work.get('owners', lease.owner))?.beats ?? 0) !== ownerBeats) return
  const lost = silent.filter((seq) => (lease.beats?.[seq] ?? 0) === (seen.beats?.[seq] ?? 0))
  if (lost.length > 0) await recover(work, lease.box, lost)
}

/** A dead owner's shares of concurrency are free again. */
export async function dropOwner(work: Work, owner: string): Promise<void> {
  for (const lease of await work.tx.allBy('leases', 'owner', owner)) await recover(work, lease.box)
  for (const queue of await work.tx.keys('queues')) {
    const row = await work.queue(queue)
    const kept = Object.entries(row.processors).filter(([, share]) => share.owner !== owner)
    if (kept.length === Object.keys(row.processors).length) continue
    work.putQueue({ ...row, processors: Object.fromEntries(kept) })
    work.wakes.add(queue)
  }
  await dropRefresher(work, owner)
  await networkEvent(work, { type: 'left', owner })
  work.delete('owners', owner)
}
