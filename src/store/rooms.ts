/** Where jobs live, and how one moves: `transition` has decided, this only carries. Every move keeps the queue's counters. */
import { HoldfastError } from '../core/errors.ts'
import { laneOf } from '../core/lane.ts'
import type { Job, State } from '../core/job.ts'
import { present } from '../core/present.ts'
import type { EventType } from '../queue.ts'
import { append, head, insert, pageBefore, rankOf, remove, withLoaded, type LaneView } from './lane-view.ts'
import { bucketOf, type HistoryRow, type LeaseRow, type PageRow, type ProcessorShare, type QueueRow } from './schema.ts'
import { isApart } from './packing.ts'
import type { Tx } from './tx.ts'
import type { Work } from './work.ts'

export function count(row: QueueRow, state: State, by: number): QueueRow {
  return { ...row, counts: { ...row.counts, [state]: row.counts[state] + by } }
}

/** Replaces a lane's view and counts what changed in it. */
export function setLane(work: Work, row: QueueRow, before: LaneView, after: LaneView, jobs: number, rank?: number): QueueRow {
  work.setView(after)
  const { [after.lane]: _old, ...others } = row.lanes
  // A lane may have the name of something that every object has.
  const old = (Object.hasOwn(row.lanes, after.lane) ? row.lanes[after.lane] : undefined) ?? { jobs: 0, pages: 0, ranks: [] }
  const ranks = rank === undefined || old.ranks.includes(rank) ? old.ranks : [...old.ranks, rank]
  // Before the first page there is nothing, so its ranks need not be looked through.
  const front = head(after)?.row.rank ?? -Infinity
  const lane = { jobs: old.jobs + jobs, pages: old.pages + after.pages.length - before.pages.length, ranks: ranks.filter((one) => one >= front) }
  return count({ ...row, lanes: lane.jobs > 0 ? { ...others, [after.lane]: lane } : others }, 'waiting', jobs)
}

/** New waiting jobs of one queue, at the end (or front) of their lanes. */
export function appendNew(work: Work, row: QueueRow, jobs: readonly Job[]): QueueRow {
  const runs = new Map<string, Job[]>()
  for (const job of jobs) {
    const id = `${job.priority}|${job.position < 0 ? 'front' : 'end'}|${laneOf(job)}`
    const run = runs.get(id)
    if (run) run.push(job)
    else runs.set(id, [job])
  }
  let out = row
  for (const run of runs.values()) {
    const [first] = run
    if (!first) continue
    const view = work.view(row.queue, laneOf(first))
    const inOrder = first.position < 0 ? [...run].reverse() : run
    out = setLane(work, out, view, append(view, rankOf(first), inOrder), run.length, rankOf(first))
  }
  return out
}

/** Stores a job that does not wait for a handler where its state belongs; the caller counts it. */
export function store(work: Work, job: Job): void {
  switch (job.state) {
    case 'delayed': work.put('delayed', job.seq, job); work.due(job.runAt ?? 0); break
    case 'blocked': work.put('blocked', job.seq, job); break
    case 'dead': work.put('dead', job.seq, job); work.final(job); break
    case 'completed': case 'cancelled': work.ended(job); work.final(job); break
    case 'waiting': case 'active': throw new Error(`no room for ${job.state}`)
  }
}

/** What was claimed ahead of time is to be given back, by those of whom `who` is true. */
export function summonAhead(work: Work, row: Pick<QueueRow, 'processors'>, who: (share: ProcessorShare) => boolean = () => true): void {
  for (const share of Object.values(row.processors)) if (share.leased > share.has && who(share)) work.summons.add(share.owner)
}

/** Every queue may have more to claim. Needs a transaction of its own. */
export async function wakeAll(work: Work): Promise<void> {
  for (const queue of await work.tx.keys('queues')) work.wakes.add(queue)
}

/** Puts a job where its state belongs, and counts it. */
export async function enter(work: Work, row: QueueRow, job: Job): Promise<QueueRow> {
  if (job.state === 'waiting') summonAhead(work, row, ({ priority }) => job.priority > priority)
  return putBack(work, row, job)
}

/** The same to one that comes from those that were claimed ahead: if it called the others back, they would call it. */
export async function putBack(work: Work, row: QueueRow, job: Job): Promise<QueueRow> {
  if (job.state !== 'waiting') { store(work, job); return count(row, job.state, 1) }
  const view = await work.loadAround(job.queue, laneOf(job), job)
  work.wakes.add(job.queue)
  return setLane(work, row, view, insert(view, job), 1, rankOf(job))
}

/** Where a job was found. */
export type Place =
  | { readonly room: 'waiting'; readonly job: Job; readonly page?: PageRow }
  | { readonly room: 'delayed' | 'blocked' | 'dead'; readonly job: Job }
  | { readonly room: 'leases'; readonly job: Job; readonly lease: LeaseRow }
  | { readonly room: 'history'; readonly job: Job; readonly row: HistoryRow }

const holds = ({ jobs }: { readonly jobs: readonly Job[] } | undefined = { jobs: [] }, seq: number): Job | undefined => jobs.find((job) => job.seq === seq)

/** The jobs of a lease box. */
export const boxOf = async (work: Work, box: number): Promise<readonly Job[]> => (await work.get('boxes', box))?.jobs ?? []

/** Where a job was last seen. Its lane stays the same, its place in that may not. */
export interface Seen { readonly queue: string; readonly lane: string; readonly job?: Pick<Job, 'state' | 'priority' | 'position'> }

/** Finds a job by its number, by keys and index buckets: never by scanning. */
export async function locate(tx: Tx, seq: number, seen?: Seen): Promise<Place | undefined> {
  const state = seen?.job?.state
  if (state === 'delayed' || state === 'dead' || state === 'blocked') {
    const job = await tx.get(state, seq)
    if (job) return { room: state, job }
  }
  const bucket = bucketOf(seq)
  const [delayed, dead, blocked, leases, history] = await Promise.all([
    tx.get('delayed', seq), tx.get('dead', seq), tx.get('blocked', seq),
    tx.allBy('leases', 'buckets', bucket), tx.allBy('history', 'buckets', bucket),
  ])
  if (delayed) return { room: 'delayed', job: delayed }
  if (dead) return { room: 'dead', job: dead }
  if (blocked) return { room: 'blocked', job: blocked }
  const lease = leases.find(({ left }) => left.includes(seq))
  const leased = lease && holds(await tx.get('boxes', lease.box), seq)
  if (lease && leased) return { room: 'leases', job: withLease(leased, lease), lease }
  const row = history.find(({ seqs }) => seqs.includes(seq))
  const ended = row && holds(await tx.get('archives', row.order), seq)
  if (row && ended) return { room: 'history', job: ended, row }
  return locateWaiting(tx, seq, seen)
}

export const notFound = (id: string, pruned: boolean): HoldfastError =>
  new HoldfastError('NOT_FOUND', pruned ? `Job ${id} ended and was removed or pruned` : `There is no job ${id}`, { id, pruned })

/** A job that was found among those that have ended, unless it was tried again by this transaction. */
export async function hasEnded(work: Work, place: Place): Promise<Job | undefined> {
  if (place.room === 'dead') return work.get('dead', place.job.seq)
  return place.room === 'history' ? holds(await work.get('archives', place.row.order), place.job.seq) : undefined
}

/** The same for one of many that are acted on in one transaction: an earlier one's end may have passed it its group's turn, or its parent was tried again, and it with that. */
export async function find(work: Work, seq: number, seen?: Seen): Promise<Place | undefined> {
  // Neighbours are acted on together, so its page may have been read.
  const known = seen && holds(work.view(seen.queue, seen.lane).pages.find(({ row }) => holds(row, seq))?.row, seq)
  const here = known ?? (seen?.job?.state === 'waiting' ? await waitingAt(work, seq, seen.queue, seen.lane, seen.job) : undefined)
  if (here) return { room: 'waiting', job: here }
  const place = await locate(work.tx, seq, seen)
  if (place?.room === 'dead' || place?.room === 'history') {
    if (await hasEnded(work, place)) return place
    const job = await work.get('blocked', seq)
    return job && { room: 'blocked', job }
  }
  if (place?.room !== 'blocked') return place
  for (const room of ['blocked', 'delayed'] as const) {
    const job = await work.get(room, seq)
    if (job) return { room, job }
  }
  const { job } = place
  const position = (await work.get('groups', moveKey(seq)))?.seq ?? job.position
  const waiting = await waitingAt(work, seq, job.queue, laneOf(job), { ...job, position })
  return waiting && { room: 'waiting', job: waiting }
}

/** A job that waits in this place, as this transaction has left that. */
async function waitingAt(work: Work, seq: number, queue: string, lane: string, place: Pick<Job, 'priority' | 'position'>): Promise<Job | undefined> {
  return holds(pageBefore(await work.loadAround(queue, lane, place), rankOf(place), place.position)?.page.row, seq)
}

/** Whether a job stands where no push had put it: neither at its number nor at its negative. */
export const hasMoved = ({ seq, position }: Job): boolean => Math.abs(position) !== seq
/** Where it is noted where such a job went: no queue has an empty name. */
export const moveKey = (seq: number): [queue: '', group: '', seq: number] => ['', '', seq]

/** A waiting job's position is its number, or its negative for one that was put to the front, or is noted: of each lane and rank one page can hold it. */
async function locateWaiting(tx: Tx, seq: number, seen?: Seen): Promise<Place | undefined> {
  const pageAt = async (queue: string, lane: string, rank: number, position: number): Promise<PageRow | undefined> => {
    const { value } = await tx.backwards('waiting', IDBKeyRange.bound([queue, lane, rank, -Infinity], [queue, lane, rank, position])).next()
    return value?.row
  }
  const [rows, move] = await Promise.all([tx.all('queues', seen?.queue), tx.get('groups', moveKey(seq))])
  const positions = [seq, -seq, ...(move ? [move.seq] : [])]
  const lanes = rows.flatMap(({ queue, lanes: all }) => Object.entries(all).filter(([lane]) => !seen || lane === seen.lane).map(([lane, { ranks }]) => ({ queue, lane, ranks })))
  const pages = await Promise.all(lanes.flatMap(({ queue, lane, ranks }) => ranks.flatMap((rank) => positions.map((position) => pageAt(queue, lane, rank, position)))))
  for (const page of pages) {
    const job = holds(page, seq)
    if (page && job) return { room: 'waiting', job, page }
  }
  return undefined
}

/** A claimed job with what its lease has learned since. */
export function withLease(job: Job, lease: LeaseRow): Job {
  const cancelRequested = lease.cancels?.[job.seq]
  const reported = withReport(job, lease.reports?.[job.seq])
  return cancelRequested ? { ...reported, cancelRequested } : reported
}

export function withReport(job: Job, report: { readonly progress?: number; readonly message?: string; readonly logs?: Job['logs'] } | undefined): Job {
  if (!report) return job
  const logs = report.logs?.length ? [...(job.logs ?? []), ...report.logs].slice(-100) : undefined
  return { ...job, ...present({ progress: report.progress, progressMessage: report.message, logs }) }
}

/** Of a rank whose last page is gone nothing is kept. */
async function withoutRank(work: Work, row: QueueRow, { queue, lane, pages, gone }: LaneView, rank: number): Promise<QueueRow> {
  const size = row.lanes[lane]
  if (!size || pages.some((page) => page.row.rank === rank)) return row
  const deleted = gone.filter((key) => key[2] === rank)
  const keys = await work.tx.keys('waiting', IDBKeyRange.bound([queue, lane, rank], [queue, lane, rank, []]), deleted.length + 1)
  if (keys.length > deleted.length) return row
  return { ...row, lanes: { ...row.lanes, [lane]: { ...size, ranks: size.ranks.filter((one) => one !== rank) } } }
}

/** Takes a job that is not leased out of its place. */
export async function leave(work: Work, row: QueueRow, place: Place): Promise<QueueRow> {
  const { job } = place
  switch (place.room) {
    case 'waiting': {
      const lane = laneOf(job)
      const bare = work.view(job.queue, lane)
      const view = place.page ? withLoaded(bare, [place.page], bare.loadedTo) : bare
      const left = remove(view, job)
      const next = setLane(work, row, view, left, -1)
      return left.pages.length < view.pages.length ? withoutRank(work, next, left, rankOf(job)) : next
    }
    case 'delayed': work.delete('delayed', job.seq); break
    case 'blocked': work.delete('blocked', job.seq); break
    case 'dead': work.delete('dead', job.seq); break
    case 'history': {
      const { queue, state, order } = place.row
      const row = await work.get('history', [queue, state, order]) ?? place.row
      const jobs = (await work.get('archives', order))?.jobs.filter(({ seq }) => seq !== job.seq) ?? []
      const { large: _large, ...others } = row
      const large = jobs.filter(isApart).map(({ seq }) => seq)
      work.put('history', [queue, state, order], jobs.length > 0 ? { ...others, seqs: jobs.map(({ seq }) => seq), ...(large.length > 0 && { large }) } : undefined)
      work.put('archives', order, jobs.length > 0 ? { jobs } : undefined)
      break
    }
    case 'leases': throw new Error('no room for active')
  }
  return count(row, job.state, -1)
}

/** A job that is over needs no record of what it had done; a dead one may be tried again. */
export function forgetSteps(work: Work, job: Job): void {
  if (job.stepped && job.state !== 'dead') work.deleteRange('steps', IDBKeyRange.bound([job.seq], [job.seq, []]))
}

/** Notes until when a job must have started; a note that is there already stays. */
export function noteExpiry(work: Work, job: Job): void {
  const { expiresAt, seq, queue } = job
  if (expiresAt === undefined) return
  work.put('expiries', [expiresAt, seq], { at: expiresAt, seq, queue, lane: laneOf(job) })
  work.due(expiresAt)
}

export function forgetExpiry(work: Work, { expiresAt, seq }: Job): void {
  if (expiresAt !== undefined) work.delete('expiries', [expiresAt, seq])
}

/** What is kept beside a job goes with it. */
export function forget(work: Work, job: Job): void {
  if (job.large) work.delete('payloads', job.seq)
  forgetExpiry(work, job)
  for (const name of Object.keys(job.dependsOn ?? {})) work.delete('parents', [job.seq, name])
  if (job.stepped) work.deleteRange('steps', IDBKeyRange.bound([job.seq], [job.seq, []]))
}

const EVENTS: Readonly<Record<State, EventType>> = {
  waiting: 'released', delayed: 'released', blocked: 'released', active: 'active', completed: 'completed', cancelled: 'cancelled', dead: 'dead',
}
export const eventOf = (state: State): EventType => EVENTS[state]
