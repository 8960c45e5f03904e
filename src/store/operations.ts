/** The verbs: what the queue does, a transaction's part each. They read and write through `Work` and decide through `transition`. */
import { makeId, type IdRun } from '../core/id.ts'
import { isHoldfastError } from '../core/envelope.ts'
import { HoldfastError } from '../core/errors.ts'
import type { Job, State } from '../core/job.ts'
import { isFinal } from '../core/job.ts'
import { parseLane } from '../core/lane.ts'
import { present } from '../core/present.ts'
import { createJob, isLarge, type NewJob } from '../core/push.ts'
import { fairShare } from '../core/share.ts'
import type { Size } from '../core/limits.ts'
import { invalidState, transition, type JobEvent, type Outcome } from '../core/transition.ts'
import type { BulkResult, QueueSettings } from '../queue.ts'
import { head, PAGE_JOBS, remove, takeFirst, jobBytes, type LaneView } from './lane-view.ts'
import { appendNew, count, enter, eventOf, forget, forgetSteps, leave, locate, setLane, store, withLease, withReport } from './rooms.ts'
import { bucketsOf, type LeaseRow, type ProcessorShare, type QueueRow, type Report, type Room } from './schema.ts'
import type { Work } from './work.ts'

export const MAX_STALLS = 5
const BOX_BYTES = 4_194_304

// ---- push ----

/** All that claims and endings touch. */
export const RUN_ROOMS = ['queues', 'waiting', 'leases', 'boxes', 'history', 'archives', 'delayed', 'dead', 'payloads', 'steps', 'origins'] as const satisfies readonly Room[]

export const PUSH_ROOMS = ['queues', 'waiting', 'delayed', 'expiries', 'payloads', 'uniques'] as const satisfies readonly Room[]

export async function push(work: Work, queue: string, items: readonly NewJob[]): Promise<IdRun> {
  const stored = await work.queue(queue)
  const row = !stored.http && items.some(({ http }) => http) ? { ...stored, http: true as const } : stored
  const first = work.numbers(items.length)
  const ms = work.idTime()
  // A draw has 32 bits.
  const random = Math.floor(work.env.random() * 2 ** 17) * 2 ** 17 + Math.floor(work.env.random() * 2 ** 17)
  const waiting: Job[] = []
  let delayed = 0
  let best = -Infinity
  items.forEach((item, i) => {
    const job = createJob(queue, item, row.settings.defaults ?? {}, first + i, makeId(ms, random, first + i), work.now)
    if (job.large) work.put('payloads', job.seq, { seq: job.seq, data: job.data }, true)
    const kept = job.large ? { ...job, data: undefined } : job
    if (job.expiresAt !== undefined) work.put('expiries', [job.expiresAt, job.seq], { at: job.expiresAt, seq: job.seq }, true)
    work.due(Math.min(job.expiresAt ?? Infinity, job.runAt ?? Infinity))
    if (job.state === 'delayed') { work.put('delayed', job.seq, kept, true); delayed++ }
    else { waiting.push(kept); best = Math.max(best, kept.priority) }
    work.emit('pushed', job, { runAt: job.runAt })
  })
  summonAhead(work, row, ({ priority }) => best > priority)
  work.putQueue(appendNew(work, delayed > 0 ? count(row, 'delayed', delayed) : row, waiting))
  work.wakes.add(queue)
  return { ms, random, first, count: items.length }
}

// ---- claim ----

/** What a processor can run: requests, or jobs it has handlers for. */
export type Runs = { readonly kind: 'requests' } | { readonly kind: 'handlers'; readonly names?: readonly string[] }

const canRun = (runs: Runs | undefined, name: string, origin: string | undefined): boolean =>
  !runs || (runs.kind === 'requests' ? origin !== undefined : origin === undefined && (!runs.names || runs.names.includes(name)))

export interface ClaimRequest {
  readonly queue: string
  readonly owner: string
  readonly leaseMs: number
  /** Whether the network may be used now. */
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
  /** Whether the queue is not claimed from while offline. */
  readonly gated: boolean
}

/** Claims the first jobs that this realm can run, into one box under one fresh token. */
export async function claim(work: Work, request: ClaimRequest): Promise<Claim> {
  const before = await work.queue(request.queue)
  let row = before
  if (row.paused && row.pausedUntil !== undefined && row.pausedUntil <= work.now) row = resumed(work, row)
  const { has, free } = shareOf(row, request)
  const gated = (row.settings.needsNetwork ?? row.http) === true
  const blocked = row.paused || (gated && !request.online)
  const jobs = blocked || free <= 0 ? [] : await take(work, row, request.processor?.runs, free, request.processor !== undefined && free >= PAGE_JOBS, (next) => { row = next })
  const lease = jobs.length > 0 ? putBox(work, request, jobs) : undefined
  if (lease) row = count(row, 'active', jobs.length)
  if (request.processor) row = withShare(work, row, request.owner, request.processor, has, jobs)
  if (row !== before) work.putQueue(row)
  return { has, gated, hungry: request.processor !== undefined && row.processors[request.processor.id]?.hungry === true, jobs, ...(lease && { box: lease.box, token: lease.token }) }
}

/** What was claimed ahead of time is to be given back, by those of whom `who` is true. */
function summonAhead(work: Work, row: Pick<QueueRow, 'processors'>, who: (share: ProcessorShare) => boolean = () => true): void {
  for (const share of Object.values(row.processors)) if (share.leased > share.has && who(share)) work.summons.add(share.owner)
}

/** Notes what a processor may run and holds; one that holds nothing lets others have its share. */
function withShare(work: Work, row: QueueRow, owner: string, { id, want, runs }: NonNullable<ClaimRequest['processor']>, has: number, jobs: readonly Job[]): QueueRow {
  const claimed = jobs.length
  const old = row.processors[id]
  const leased = (old?.leased ?? 0) + claimed
  const names = runs.kind === 'handlers' ? runs.names : undefined
  const isRival = (other: ProcessorShare): boolean => !names || !other.names || other.names.some((name) => names.includes(name))
  // Who has just given up its place lets the hungry one come before it.
  const starved = has <= 0 && (old?.has ?? 0) <= 0 && Object.keys(row.lanes).some((lane) => { const { name, origin } = parseLane(lane); return canRun(runs, name, origin) })
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
  const total = Math.min(row.concurrency ?? Infinity, cap - Math.max(0, pulled))
  const others = shares.filter(([id]) => id !== processor.id).map(([, share]) => ({ ...share, runs: runs(share) }))
  const entitled = fairShare(total, { want: processor.want, hungry: row.processors[processor.id]?.hungry === true }, others)
  const has = Math.max(processor.running, entitled)
  // What runs is never taken away, but who runs more than its part claims nothing until it does not.
  return { has, free: entitled <= 0 || has > entitled ? 0 : Math.min(wanted, wanted - processor.want + has) }
}

/** The first `max` runnable jobs over all lanes by (−priority, position); a job that stalled comes alone. */
async function take(work: Work, start: QueueRow, runs: Runs | undefined, max: number, whole: boolean, keep: (row: QueueRow) => void): Promise<Job[]> {
  let row = start
  const limits = new Map<string, number>()
  const lanes: string[] = []
  for (const lane of Object.keys(row.lanes)) {
    const { name, origin } = parseLane(lane)
    if (!canRun(runs, name, origin)) continue
    const allowed = origin === undefined ? Infinity : await allowance(work, origin)
    if (allowed <= 0) continue
    lanes.push(lane)
    if (origin !== undefined && allowed < Infinity) limits.set(origin, allowed)
  }
  const taken: Job[] = []
  let bytes = 0
  let open = lanes
  while (taken.length < max && bytes < BOX_BYTES) {
    const fronts = await frontsOf(work, row, open, max - taken.length)
    const best = fronts[0]
    if (!best) break
    const [job] = best.page.row.jobs
    if (!job) break
    const bounded = parseLane(best.view.lane).origin
    const allowed = bounded === undefined ? Infinity : limits.get(bounded) ?? Infinity
    // A remainder of a page would be written again: who claims ahead of time takes whole pages.
    const most = whole ? PAGE_JOBS : max - taken.length
    const run = runLength(best.page.row.jobs, Math.min(most, allowed), taken.length, fronts[1]?.page.row)
    if (run === 0) break
    const { before = best.view, view, jobs }: { before?: LaneView; view: LaneView; jobs: readonly Job[] } = bounded !== undefined && allowed === 1 ? await takeTrial(work, best.view, bounded) : takeFirst(best.view, run)
    row = setLane(work, row, before, view, -jobs.length)
    const live = await withoutExpired(work, row, jobs, (next) => { row = next })
    taken.push(...live)
    bytes += live.reduce((sum, one) => sum + jobBytes(one), 0)
    if (bounded !== undefined && allowed < Infinity) {
      limits.set(bounded, allowed - live.length)
      if (live.length > 0) await noteTrial(work, bounded)
      if (allowed - live.length <= 0) open = open.filter((lane) => parseLane(lane).origin !== bounded)
    }
    if (live.some(({ stalls }) => stalls > 0)) break
  }
  keep(row)
  return Promise.all(taken.map(async (job) => job.large ? { ...job, data: (await work.get('payloads', job.seq))?.data } : job))
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

async function withoutExpired(work: Work, row: QueueRow, jobs: readonly Job[], keep: (row: QueueRow) => void): Promise<Job[]> {
  const live: Job[] = []
  let out = row
  for (const job of jobs) {
    const event: JobEvent = job.expiresAt !== undefined && job.expiresAt <= work.now ? { type: 'expire' } : { type: 'claim' }
    const outcome = transition(job, event, work.now)
    if (outcome.kind === 'moved' && outcome.job.state === 'active') { live.push(outcome.job); work.emit('active', job) }
    else out = await settleOutcome(work, out, outcome)
  }
  keep(out)
  return live
}

const boxOf = async (work: Work, box: number): Promise<readonly Job[]> => (await work.get('boxes', box))?.jobs ?? []

function putBox(work: Work, { queue, owner, leaseMs, processor }: ClaimRequest, jobs: readonly Job[]): LeaseRow {
  const box = work.numbers(1)
  const left = jobs.map(({ seq }) => seq)
  const lease: LeaseRow = present({ box, queue, token: work.env.token(), owner, left, leaseMs, buckets: bucketsOf(left), processor: processor?.id })
  work.put('boxes', box, { jobs: jobs.map((job) => job.large ? { ...job, data: undefined } : job) }, true)
  work.put('leases', box, lease, true)
  return lease
}

// ---- origins ----

/** How many requests an origin may be asked now: 0 while its gate is closed, few while it comes back. */
async function allowance(work: Work, origin: string): Promise<number> {
  const gate = await work.get('origins', origin)
  return !gate ? Infinity : gate.retryAt > work.now ? 0 : gate.allow
}

/** Each trial of a closed origin is another job's, so that one bad request cannot keep the gate shut. */
async function takeTrial(work: Work, { queue, lane }: LaneView, origin: string): Promise<{ readonly before: LaneView; readonly view: LaneView; readonly jobs: readonly Job[] }> {
  const before = await work.loadFront(queue, lane, TRIAL_PAGES, TRIAL_PAGES)
  const candidates = before.pages.slice(0, TRIAL_PAGES).flatMap(({ row }) => row.jobs)
  const job = candidates[((await work.get('origins', origin))?.failures ?? 0) % candidates.length]
  return job ? { before, view: remove(before, job), jobs: [job] } : { before, view: before, jobs: [] }
}

const TRIAL_PAGES = 8

const TRIAL_MS = 70_000

/** Until the trial has been answered nobody else asks; should its tab die, the next trial comes by itself. */
async function noteTrial(work: Work, origin: string): Promise<void> {
  const gate = await work.get('origins', origin)
  if (gate) work.put('origins', origin, { ...gate, retryAt: work.now + TRIAL_MS })
}

/** An origin did not answer, or asked for patience: its gate closes, 1 s doubling to 5 min with jitter unless it said for how long. */
export async function closeOrigin(work: Work, origin: string, reason: string, afterMs?: number): Promise<void> {
  const gate = await work.get('origins', origin)
  const failures = (gate?.failures ?? 0) + 1
  const wait = afterMs ?? Math.min(1000 * 2 ** (failures - 1), 300_000) * (1 - 0.2 * work.env.random())
  const retryAt = Math.round(work.now + wait)
  work.put('origins', origin, { origin, failures, retryAt, allow: 1, succeededAt: gate?.succeededAt ?? 0, reason })
  work.due(retryAt)
  work.emit('origin-closed', undefined, { origin, reason, until: retryAt })
}

const OPEN_AT = 64

/** An origin answered: it is asked for twice as many, until its gate is open. */
export async function openOrigin(work: Work, origin: string): Promise<void> {
  const gate = await work.get('origins', origin)
  if (!gate) return
  const allow = gate.allow * 2
  if (gate.failures > 0) work.emit('origin-open', undefined, { origin })
  work.put('origins', origin, allow >= OPEN_AT ? undefined : { ...gate, failures: 0, allow, retryAt: 0, succeededAt: work.now })
}

/** A sign that the network is back: closed gates are tried at once. */
export async function tryOrigins(work: Work): Promise<void> {
  for (const gate of await work.tx.all('origins'))
    if (gate.failures > 0 && gate.retryAt > work.now) work.put('origins', gate.origin, { ...gate, retryAt: 0 })
}

// ---- endings ----

export interface Ending {
  readonly box: number
  readonly token: string
  readonly seq: number
  /** The job as claimed; absent: it is read from its box. */
  readonly job?: Job
  readonly event: Extract<JobEvent, { type: 'complete' | 'fail' | 'snooze' | 'release' | 'cancel' }>
  readonly report?: Report
  /** What the request learned about its origin. */
  readonly origin?: { readonly origin: string; readonly closed?: { readonly reason: string; readonly afterMs?: number } }
}
export type Ended = { readonly ok: true; readonly job: Job } | { readonly ok: false }

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
    const ended = endLeased(work, tally, lease, withReport(withLease(claimed, lease), ending.report), ending.event)
    results.push({ ok: true, job: ended instanceof Promise ? await ended : ended })
    if (ending.origin) {
      await (ending.origin.closed ? closeOrigin(work, ending.origin.origin, ending.origin.closed.reason, ending.origin.closed.afterMs) : openOrigin(work, ending.origin.origin))
      work.wakes.add(lease.queue)
    }
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

function putLease(work: Work, lease: LeaseRow, left: ReadonlySet<number>): void {
  if (left.size > 0) { work.put('leases', lease.box, { ...lease, left: lease.left.filter((seq) => left.has(seq)) }); return }
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
  const lean = outcome.job.large ? { ...outcome.job, data: undefined } : outcome.job
  const stored = lease.steps?.includes(job.seq) ? { ...lean, stepped: true as const } : lean
  if (isFinal(stored.state)) forgetSteps(work, stored)
  announce(work, stored, event)
  if (tally.row.settings.concurrency != null || !lease.processor) work.wakes.add(job.queue)
  if (outcome.kind === 'gone') { forget(work, stored); work.final(stored); return outcome.job }
  if (stored.state !== 'waiting') {
    store(work, stored)
    tally.ended[stored.state] = (tally.ended[stored.state] ?? 0) + 1
    return outcome.job
  }
  return enter(work, tally.row, stored).then((row) => { tally.row = row; return outcome.job })
}

/** Stores what a transition decided, for a job that is in no room now. */
async function settleOutcome(work: Work, row: QueueRow, outcome: Outcome): Promise<QueueRow> {
  if (outcome.kind === 'gone') { forget(work, outcome.job); work.final(outcome.job); work.emit('removed', outcome.job); return row }
  if (outcome.kind !== 'moved') return row
  if (isFinal(outcome.job.state)) forgetSteps(work, outcome.job)
  work.emit(eventOf(outcome.job.state), outcome.job, { reason: outcome.job.reason })
  return enter(work, row, outcome.job)
}

function announce(work: Work, job: Job, event: JobEvent): void {
  const { reason, runAt } = job
  const error = event.type === 'fail' ? { name: event.error.name, message: event.error.message } : undefined
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
  const lost = lease.processor !== undefined ? silent : silent.filter((seq) => (lease.beats?.[seq] ?? 0) === (seen.beats?.[seq] ?? 0))
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
  work.delete('owners', owner)
  work.delete('receipts', owner)
  work.forgetReceipt(owner)
}

// ---- leases ----

export interface Held { readonly box: number; readonly token: string; readonly seq: number }

async function proven(work: Work, { box, token, seq }: Held): Promise<LeaseRow> {
  const lease = await work.get('leases', box)
  if (!lease || lease.token !== token || !lease.left.includes(seq)) throw staleLease(seq)
  return lease
}
export const staleLease = (seq: number): HoldfastError =>
  new HoldfastError('STALE_LEASE', 'This lease is over: the job was recovered, ended or given to another', { seq })

const renewed = (lease: LeaseRow, seq: number): LeaseRow => ({ ...lease, beats: { ...lease.beats, [seq]: (lease.beats?.[seq] ?? 0) + 1 } })

export async function heartbeat(work: Work, held: Held): Promise<void> {
  const lease = await proven(work, held)
  work.put('leases', held.box, renewed(lease, held.seq))
}

export async function report(work: Work, held: Held, { progress, message, logs }: Report): Promise<void> {
  const lease = await proven(work, held)
  const old = lease.reports?.[held.seq]
  const job = (await boxOf(work, held.box)).find(({ seq }) => seq === held.seq)
  if (job && progress !== undefined) work.emit('progress', job, { progress, message })
  const merged: Report = { ...old, ...present({ progress, message, logs: logs?.length ? [...(old?.logs ?? []), ...logs].slice(-100) : undefined }) }
  work.put('leases', held.box, { ...renewed(lease, held.seq), reports: { ...lease.reports, [held.seq]: merged } })
}

export async function storeStep(work: Work, held: Held, name: string, value: unknown): Promise<void> {
  const lease = await proven(work, held)
  work.put('steps', [held.seq, name], { seq: held.seq, name, value })
  if (!lease.steps?.includes(held.seq)) work.put('leases', held.box, { ...lease, steps: [...(lease.steps ?? []), held.seq] })
}

export async function beat(work: Work, owners: readonly string[]): Promise<void> {
  for (const owner of owners) {
    const row = await work.get('owners', owner)
    work.put('owners', owner, { owner, beats: (row?.beats ?? 0) + 1 })
  }
}

// ---- what a person does to one job (each in a transaction of its own: they look up by index) ----

export const notFound = (id: string, pruned: boolean): HoldfastError =>
  new HoldfastError('NOT_FOUND', pruned ? `Job ${id} ended and was removed or pruned` : `There is no job ${id}`, { id, pruned })

export interface ActOptions {
  readonly ifNotStarted?: boolean
  /** The size of edited data. */
  readonly edited?: Size
}

/** Lets `event` happen to job `seq`, wherever it is. Throws when there is no such job or its state refuses. */
export async function act(work: Work, id: string, seq: number, event: JobEvent, options: ActOptions = {}): Promise<Job> {
  const place = await locate(work.tx, seq)
  if (!place || place.job.id !== id) throw notFound(id, seq < work.meta.next)
  const { job } = place
  const active = place.room === 'leases' ? { ...job, state: 'active' as const } : job
  if (options.ifNotStarted && place.room === 'leases') throw invalidState(active, event.type)
  const outcome = transition(active, event, work.now)
  if (outcome.kind === 'refused') throw invalidState(active, event.type)
  if (outcome.kind === 'ignored') return active
  if (place.room === 'leases') {
    const { cancelRequested } = outcome.job
    const lease = await work.get('leases', place.lease.box)
    if (lease && cancelRequested) work.put('leases', lease.box, { ...lease, cancels: { ...lease.cancels, [seq]: cancelRequested } })
    work.summons.add(place.lease.owner)
    return active
  }
  let row = await leave(work, await work.queue(job.queue), place)
  if (outcome.kind === 'gone' || isFinal(outcome.job.state)) forgetSteps(work, job)
  const next = options.edited ? withEdited(work, outcome.job, options.edited) : outcome.job.large ? { ...outcome.job, data: undefined } : outcome.job
  if (event.type === 'retry' && next.expiresAt !== undefined) { work.put('expiries', [next.expiresAt, seq], { at: next.expiresAt, seq }); work.due(next.expiresAt) }
  if (outcome.kind === 'gone') { forget(work, job); work.emit('removed', job); if (isFinal(job.state) === false) work.final({ ...job, state: 'cancelled', reason: 'removed' }) }
  else row = await enter(work, row, next)
  if (outcome.kind === 'moved') work.emit(event.type === 'retry' ? 'retrying' : eventOf(next.state), next, { runAt: next.runAt })
  work.putQueue(row)
  return active
}

/** Stores edited data: apart when it is large, or was. */
function withEdited(work: Work, job: Job, { bytes, binary }: Size): Job {
  if (!job.large && !isLarge(bytes, binary > 0)) return { ...job, size: bytes }
  work.put('payloads', job.seq, { seq: job.seq, data: job.data })
  return { ...job, size: bytes, large: true, data: undefined }
}

/** The same to many jobs, each by itself: those that refuse are named, the others done. */
export async function actMany(work: Work, jobs: readonly Job[], event: JobEvent): Promise<BulkResult> {
  const refused: Array<{ id: string; message: string }> = []
  for (const { id, seq } of jobs) {
    work.begin()
    try { await act(work, id, seq, event) } catch (error) {
      if (!isHoldfastError(error)) throw error
      work.rollback()
      refused.push({ id, message: error.message })
    }
  }
  return { done: jobs.length - refused.length, refused }
}

// ---- queues ----

export async function configure(work: Work, queue: string, settings: QueueSettings): Promise<void> {
  const row = await work.queue(queue)
  const merged = { ...row.settings, ...settings }
  work.putQueue({ ...row, settings: present({ ...merged, concurrency: merged.concurrency ?? undefined }) })
  work.wakes.add(queue)
}

/** Notes the latest wish for concurrency; answers how many a processor of this name may run now. */
export async function register(work: Work, queue: string, processor: string, concurrency: number): Promise<number> {
  const row = await work.queue(queue)
  if (row.concurrency !== concurrency) work.putQueue({ ...row, concurrency })
  work.wakes.add(queue)
  return row.processors[processor]?.has ?? 0
}

/** A processor that stopped gives its share back. */
export async function unregister(work: Work, queue: string, processor: string): Promise<void> {
  const row = await work.queue(queue)
  const { [processor]: share, ...processors } = row.processors
  if (share) work.putQueue({ ...row, processors })
  work.wakes.add(queue)
}

export async function pause(work: Work, queue: string, until?: number): Promise<void> {
  const { pausedUntil: _until, ...row } = await work.queue(queue)
  summonAhead(work, row)
  work.putQueue(present({ ...row, paused: true, pausedUntil: until }))
  work.due(until ?? Infinity)
  work.emit('paused', undefined, { queue, until })
  work.wakes.add(queue)
}

export async function resume(work: Work, queue: string): Promise<void> {
  work.putQueue(resumed(work, await work.queue(queue)))
}

/** Ends a pause whose time is over. */
export async function endPause(work: Work, queue: string): Promise<void> {
  const row = await work.queue(queue)
  if (row.paused && row.pausedUntil !== undefined && row.pausedUntil <= work.now) work.putQueue(resumed(work, row))
}

function resumed(work: Work, { pausedUntil: _until, ...row }: QueueRow): QueueRow {
  if (row.paused) work.emit('resumed', undefined, { queue: row.queue })
  work.wakes.add(row.queue)
  return { ...row, paused: false }
}

// ---- upkeep (each in a transaction of its own) ----

const UPKEEP_BATCH = 500

/** Moves delayed jobs whose time has come; true when there may be more. */
export async function promoteDue(work: Work): Promise<boolean> {
  const due = await work.tx.allBy('delayed', 'runAt', IDBKeyRange.upperBound(work.now), UPKEEP_BATCH)
  for (const job of due.sort((a, b) => a.position - b.position)) {
    const outcome = transition(job, { type: 'due' }, work.now)
    if (outcome.kind !== 'moved') continue
    const row = await leave(work, await work.queue(job.queue), { room: 'delayed', job })
    work.putQueue(await enter(work, row, outcome.job))
  }
  return due.length === UPKEEP_BATCH
}

/** Ends jobs that were not started in time; true when there may be more. */
export async function expireDue(work: Work): Promise<boolean> {
  const due = await work.tx.all('expiries', IDBKeyRange.upperBound([work.now, Infinity]), 100)
  for (const { at, seq } of due) {
    work.delete('expiries', [at, seq])
    const place = await locate(work.tx, seq)
    if (!place || place.room === 'leases' || place.job.expiresAt !== at) continue
    const outcome = transition(place.job, { type: 'expire' }, work.now)
    if (outcome.kind === 'moved' || outcome.kind === 'gone') work.putQueue(await settleOutcome(work, await leave(work, await work.queue(place.job.queue), place), outcome))
  }
  return due.length === 100
}

export const RETENTION = {
  completed: { count: 1000, ageMs: 86_400_000 }, cancelled: { count: 1000, ageMs: 86_400_000 }, dead: { count: 10_000, ageMs: 90 * 86_400_000 },
} as const
const YOUNGEST_MS = 60_000

/** Forgets old ended jobs of one queue, a few rows at a time; true when there may be more. */
export async function prune(work: Work, queue: string): Promise<boolean> {
  let row = await work.queue(queue)
  let more = false
  for (const state of ['completed', 'cancelled'] as const) {
    if (row.counts[state] === 0) continue
    const oldest = await work.tx.all('history', IDBKeyRange.bound([queue, state], [queue, state, []]), 50)
    let drop = 0
    for (const entry of oldest) {
      const age = work.now - entry.endedAt
      if (age < YOUNGEST_MS || (age < RETENTION[state].ageMs && row.counts[state] - entry.seqs.length < RETENTION[state].count)) break
      for (const seq of entry.large ?? []) work.delete('payloads', seq)
      work.delete('archives', entry.order)
      row = count(row, state, -entry.seqs.length)
      drop++
    }
    const last = oldest[drop - 1]
    if (last) work.deleteRange('history', IDBKeyRange.bound([queue, state], [queue, state, last.order]))
    more ||= drop === 50
  }
  const excess = row.counts.dead - RETENTION.dead.count
  const dead = excess > 0 ? await work.tx.allBy('dead', 'queue', IDBKeyRange.bound([queue], [queue, []]), Math.min(excess, UPKEEP_BATCH)) : []
  for (const job of dead) if (work.now - (job.endedAt ?? 0) >= YOUNGEST_MS) { row = await leave(work, row, { room: 'dead', job }); forget(work, job) }
  work.putQueue(row)
  return more || dead.length === UPKEEP_BATCH
}
