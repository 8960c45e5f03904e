/** Looks at every commit, and at every attempt: what must hold whatever happens. */
import { isFinal, type Job, type State } from '../../src/core/job.ts'
import { laneOf, parseLane } from '../../src/core/lane.ts'
import { ownerLock } from '../../src/core/owner.ts'
import type { Network } from '../../src/core/network.ts'
import type { LeaseRow, QueueRow } from '../../src/store/schema.ts'
import { groupOf } from '../../src/store/verbs/groups.ts'
import { faults, type Stored } from '../unit/support/database.ts'
import type { Database } from './database.ts'
import type { Realm, World } from './world.ts'

/** A job as a commit left it. */
interface Seen { readonly job: Job; readonly lease?: LeaseRow }
/** A run of a handler or a request. */
export interface Run { readonly realm: Realm; readonly box: number; readonly seq: number; readonly queue: string; readonly group: string | undefined; readonly user: string | undefined; running: boolean }

/** What can be said of a lease that is no more. */
export interface Left { readonly how: State | 'stalled' | 'released' | 'gone'; readonly token: string }

const MAX_STALLS = 5
const YOUNGEST_MS = 60_000
const leaseId = (box: number, seq: number): string => `${box}:${seq}`

export class Monitor {
  readonly problems: string[] = []
  commits = 0
  /** Every job that was ever stored, by its id, as it was last seen. */
  readonly known = new Map<string, Job>()
  /** Ids by the token of their data. */
  readonly byToken = new Map<string, Set<string>>()
  /** What became of each lease of a job. */
  readonly left = new Map<string, Left>()
  readonly runs: Run[] = []
  /** Jobs that somebody asked to remove. */
  readonly removable = new Set<string>()
  /** Users of whom somebody asked to remove all. */
  readonly forgotten = new Set<string>()
  /** Somebody asked to remove all that has ended. */
  endedRemovable = false
  /** How often each job was asked to run again, and how often all of them. */
  readonly retried = new Map<string, number>()
  retriedAll = 0
  readonly completions = new Map<string, number>()
  /** Who had ended, though it may run again. */
  readonly over = new Set<string>()
  /** Most jobs at once, by queue. */
  readonly limits = new Map<string, number>()
  #network: Network | undefined
  #before = new Map<number, Seen>()
  /** Queues in which groups take turns. */
  #fair: ReadonlySet<string> = new Set()
  #heard = new Map<string, number>()
  #beats = new Map<string, number>()

  constructor(private readonly world: World, private readonly database: Database, private readonly name: string) {
    database.committed = (realm) => { this.#look(realm) }
  }

  wrong(what: string): void {
    this.world.log(`WRONG: ${what}`)
    this.problems.push(what)
  }

  get now(): ReadonlyMap<number, Seen> { return this.#before }

  /** Whether a job is held under this lease. */
  holds(box: number, seq: number): boolean { return this.#before.get(seq)?.lease?.box === box }

  #look(realm: Realm): void {
    this.commits++
    const rows = this.database.rows()
    for (const fault of faults(rows)) this.wrong(fault)
    const after = seenIn(rows)
    this.#hear(rows)
    this.#fair = new Set(rows.queues.flatMap(({ queue, settings }) => settings.order === 'fair' ? [queue] : []))
    const claimed: Seen[] = []
    const free: Job[] = []
    for (const [seq, now] of after) {
      const old = this.#before.get(seq)
      this.known.set(now.job.id, now.job)
      if (isFinal(now.job.state)) this.over.add(now.job.id)
      if (!old) this.#appeared(now)
      else if (old.job !== now.job || old.lease?.box !== now.lease?.box) this.#moved(realm, old, now)
      if (now.lease && old?.lease?.box !== now.lease.box) claimed.push(now)
      if (now.job.state !== 'blocked' && !isFinal(now.job.state) && (!old || old.job.state === 'blocked')) free.push(now.job)
    }
    for (const [seq, old] of this.#before) if (!after.has(seq)) this.#vanished(old)
    for (const job of free) this.#checkParents(job, after)
    const { user, network } = rows.meta[0] ?? {}
    for (const { job } of claimed) if (job.http && network && this.#network) this.wrong(`${nameOf(job)} was claimed while the network is in ${network.state}`)
    if (network?.state !== this.#network?.state) this.world.log(`${realm.name}: the network is ${network?.state ?? 'there'}`)
    this.#network = network
    for (const { job } of claimed) if (job.user !== undefined && job.user !== user) this.wrong(`${nameOf(job)} of ${job.user} was claimed while the user is ${user}`)
    if (claimed.length > 0) this.#checkOrder(claimed, after, rows.queues, user)
    for (const { queue, processors } of rows.queues) for (const [id, share] of Object.entries(processors)) {
      const leased = rows.leases.reduce((sum, lease) => sum + (lease.processor === id && lease.queue === queue ? lease.left.length : 0), 0)
      if (leased !== share.leased) this.wrong(`${queue} counts ${share.leased} leased by ${id}, but there are ${leased}`)
    }
    this.#before = after
  }

  /** Which owners and pulled jobs were heard of just now. */
  #hear({ owners, leases }: Stored): void {
    const note = (id: string, beats: number): void => {
      if (this.#beats.get(id) === beats) return
      this.#beats.set(id, beats)
      this.#heard.set(id, this.world.awake)
    }
    for (const { owner, beats } of owners) note(owner, beats)
    for (const { box, left, beats } of leases) for (const seq of left) note(leaseId(box, seq), beats?.[seq] ?? 0)
  }

  #appeared({ job }: Seen): void {
    const token = nameOf(job)
    const ids = this.byToken.get(token) ?? new Set()
    this.byToken.set(token, ids.add(job.id))
    if (ids.size > 1) this.wrong(`${token} is stored twice: ${[...ids].join(' ')}`)
    if (job.failures !== 0 || job.stalls !== 0) this.wrong(`${token} begins with ${job.failures} failures and ${job.stalls} stalls`)
  }

  #moved(realm: Realm, { job: old, lease }: Seen, { job: now, lease: next }: Seen): void {
    const token = nameOf(now)
    if (old.state !== now.state || lease?.box !== next?.box) this.world.log(`${realm.name}: ${token} ${old.state} → ${now.state}${next ? ` in ${next.box} of ${next.owner}` : ''}${now.reason ? ` (${now.reason})` : ''}`)
    if (lease && lease.box !== next?.box) this.#leftLease(old, lease, now)
    else if (!lease && isFinal(old.state) && !isFinal(now.state)) {
      if (this.#askedFor(now) === 0) this.wrong(`${token} was ${old.state}, is ${now.state}, and nobody asked for it`)
    } else if (old.failures !== now.failures || old.stalls !== now.stalls) this.wrong(`${token} went from ${old.failures}/${old.stalls} to ${now.failures}/${now.stalls} failures/stalls as it was ${old.state} and became ${now.state}`)
    if (now.state === 'blocked' && old.state !== 'blocked' && !isFinal(old.state)) this.wrong(`${token} was ${old.state}, and is blocked again`)
    this.#checkPlace(old, now)
    if (now.state === 'completed' && old.state !== 'completed') this.#completed(old, now)
    if (now.state === 'dead' && old.state !== 'dead') this.#died(now)
  }

  /** A job has a new place when its turn comes in a fair queue, the last; and who runs again after its end may be put anew. */
  #checkPlace(old: Job, now: Job): void {
    // Who had its turn and ended in one commit may have moved on the way.
    if (isFinal(old.state) || isFinal(now.state)) return
    const moves = old.state === 'blocked' && now.state !== 'blocked' && now.group !== undefined && this.#fair.has(now.queue)
    const last = Math.max(...[...this.#before.values()].map(({ job }) => Math.max(job.seq, job.position)))
    if (moves ? now.position <= last : now.position !== old.position) this.wrong(`${nameOf(now)} went from ${old.position} to ${now.position} as it was ${old.state} and became ${now.state}`)
  }

  /** Who is blocked no longer has what it needs of all its parents, or does without. */
  #checkParents(job: Job, after: ReadonlyMap<number, Seen>): void {
    for (const id of Object.values(job.dependsOn ?? {})) {
      const parent = this.known.get(id)
      const gone = parent && !after.has(parent.seq)
      const over = this.completions.has(id) || (gone && parent.removeOnComplete) || (job.onParentDead === 'run' && (gone || this.over.has(id)))
      if (!over) this.wrong(`${nameOf(job)} is ${job.state}, though ${parent ? nameOf(parent) : id} has not completed`)
    }
  }

  /** A lease of this job is over: by its end, or because its owner is gone. */
  #leftLease(old: Job, lease: LeaseRow, now: Job): void {
    const id = leaseId(lease.box, old.seq)
    const stalled = now.stalls !== old.stalls
    this.left.set(id, { token: lease.token, how: stalled ? 'stalled' : now.state === 'waiting' || now.state === 'active' || now.reason === 'expired' ? 'released' : now.state })
    if (stalled && now.stalls !== old.stalls + 1) this.wrong(`${nameOf(now)} went from ${old.stalls} to ${now.stalls} stalls`)
    const grown = now.failures - old.failures
    if (grown < 0 || grown > 1 || (stalled && grown > 0)) this.wrong(`${nameOf(now)} went from ${old.failures} to ${now.failures} failures${stalled ? ' by a stall' : ''}`)
    if (stalled || (now.state === 'cancelled' && lease.cancels?.[old.seq] === undefined)) this.#taken(lease, old, stalled)
    else if (this.runs.some((run) => run.running && run.realm.alive && run.box === lease.box && run.seq === old.seq) && now.state !== 'cancelled') this.wrong(`${nameOf(now)} has ended (${now.state}) while its handler runs`)
  }

  /** A lease is taken from an owner only if its lock is free, or it was silent for as long as the lease lasts. */
  #taken(lease: LeaseRow, job: Job, stalled: boolean): void {
    if (!stalled) return
    const held = !this.world.locksSupported || this.world.holder(ownerLock(this.name, lease.owner))?.name === lease.owner
    const claimedAt = this.#heard.get(leaseId(lease.box, job.seq)) ?? 0
    const heardAt = lease.processor === undefined ? claimedAt : Math.max(claimedAt, this.#heard.get(lease.owner) ?? 0)
    if (held && this.world.awake - heardAt < lease.leaseMs) this.wrong(`${nameOf(job)} was taken from ${lease.owner}, which lives, and was heard ${this.world.awake - heardAt} ms ago`)
  }

  /** Who is asked to run again takes those along that its end had taken along. */
  #askedFor({ id, dependsOn = {} }: Job): number {
    return this.retriedAll + (this.retried.get(id) ?? 0) + Object.values(dependsOn).reduce((sum, parent) => { const job = this.known.get(parent); return sum + (job ? this.#askedFor(job) : 0) }, 0)
  }

  #completed(old: Job, now: Job): void {
    const n = (this.completions.get(now.id) ?? 0) + 1
    this.completions.set(now.id, n)
    if (n > 1 + this.#askedFor(now)) this.wrong(`${nameOf(now)} completed ${n} times`)
    if (old.state !== 'active') this.wrong(`${nameOf(now)} completed, and was ${old.state}`)
  }

  #died(now: Job): void {
    const { reason, stalls, failures, maxAttempts, expiresAt = Infinity, endedAt = 0 } = now
    if (reason === 'stalled' && stalls <= MAX_STALLS) this.wrong(`${nameOf(now)} is dead by ${stalls} stalls`)
    if (reason === 'failed' && failures < maxAttempts) this.wrong(`${nameOf(now)} is dead by ${failures} of ${maxAttempts} failures`)
    // By the clock as it was when that was decided: it may have been set back before the commit.
    if (reason === 'expired' && expiresAt > endedAt) this.wrong(`${nameOf(now)} has expired before its time`)
  }

  #vanished({ job, lease }: Seen): void {
    const { removeOnComplete, removeOnFail, id } = job
    if (lease) this.left.set(leaseId(lease.box, job.seq), { token: lease.token, how: 'gone' })
    // What ended in the future did so before the clock was set back.
    const old = isFinal(job.state) && Math.abs(this.world.wall - (job.endedAt ?? 0)) >= YOUNGEST_MS
    if (!old && !removeOnComplete && !removeOnFail && !this.removable.has(id) && !this.forgotten.has(job.user ?? '') && !(this.endedRemovable && isFinal(job.state))) this.wrong(`${nameOf(job)} is gone, and was ${job.state}`)
  }

  /** A claim takes the first that it can run. */
  #checkOrder(claimed: readonly Seen[], after: ReadonlyMap<number, Seen>, queues: readonly QueueRow[], user: string | undefined): void {
    const worst = new Map<number, Job>()
    for (const { job, lease } of claimed) if (lease) worst.set(lease.box, later(worst.get(lease.box), job))
    for (const { lease } of claimed) {
      const last = lease && worst.get(lease.box)
      if (!last || last.http) continue
      worst.delete(lease.box)
      const names = lease.processor === undefined ? undefined : queues.find(({ queue }) => queue === lease.queue)?.processors[lease.processor]?.names
      for (const { job } of this.#before.values()) {
        const still = after.get(job.seq)?.job
        if (job.queue !== lease.queue || job.state !== 'waiting' || still?.state !== 'waiting' || still.priority !== job.priority || (job.user !== undefined && job.user !== user)) continue
        const { name, origin } = parseLane(laneOf(job))
        if (origin === undefined && (!names || names.includes(name)) && isBefore(job, last)) this.wrong(`${nameOf(last)} was claimed before ${nameOf(job)} (${job.priority}:${job.position} before ${last.priority}:${last.position})`)
      }
    }
  }

  // ---- attempts ----

  started(realm: Realm, box: number, job: Job): Run {
    const run: Run = { realm, box, seq: job.seq, queue: job.queue, group: job.group === undefined ? undefined : groupOf(job), user: job.user, running: true }
    this.world.log(`${realm.name}: ${nameOf(job)} starts, box ${box}`)
    const others = this.runs.filter((one) => one.running && one.realm.alive && one.seq === job.seq && one.box === box)
    if (others.length > 0) this.wrong(`${nameOf(job)} runs twice under one lease`)
    this.runs.push(run)
    const live = this.runs.filter((one) => one.running && one.realm.alive && one.queue === job.queue && this.holds(one.box, one.seq) && !this.#robbed(one))
    const limit = this.limits.get(job.queue) ?? Infinity
    const turn = live.filter((one) => one !== run && one.group !== undefined && one.group === run.group)
    // Who was frozen, and does not know yet that its lease is gone, harms nobody but itself.
    if (turn.length > 0 && this.holds(run.box, run.seq)) this.wrong(`${nameOf(job)} starts while ${turn.map((one) => one.seq).join(', ')} of its group runs`)
    if (live.length > limit) this.wrong(`${job.queue} runs ${live.length} at once, and may ${limit}: ${live.map((one) => `${one.seq} in ${one.realm.name}`).join(', ')}`)
    return run
  }

  /** What runs under a lease for somebody who is not the user. */
  runningForOthers(user: string | undefined): Run[] {
    return this.runs.filter((run) => run.running && run.realm.alive && !run.realm.frozen && run.user !== undefined && run.user !== user && this.holds(run.box, run.seq))
  }

  /** Its owner's lock was stolen: its leases are about to be taken back, and its place is already free. */
  #robbed({ seq }: Run): boolean {
    const owner = this.now.get(seq)?.lease?.owner
    return owner !== undefined && this.world.locksSupported && this.world.holder(ownerLock(this.name, owner))?.name !== owner
  }

  ended(run: Run): void { run.running = false }
}

const nameOf = (job: Job): string => `${(job.metadata as { token?: string } | undefined)?.token ?? job.seq}`
const isBefore = (a: Job, b: Job): boolean => a.priority - b.priority > 0 || (a.priority === b.priority && a.position < b.position)
const later = (a: Job | undefined, b: Job): Job => a && isBefore(b, a) ? a : b

/** Every job by its number. */
function seenIn({ waiting, leases, boxes, delayed, blocked, dead, archives }: Stored): Map<number, Seen> {
  const seen = new Map<number, Seen>()
  for (const { jobs } of waiting) for (const job of jobs) seen.set(job.seq, { job })
  for (const list of [delayed, blocked, dead]) for (const job of list) seen.set(job.seq, { job })
  for (const { jobs } of archives) for (const job of jobs) seen.set(job.seq, { job })
  const held = new Map(boxes.map(({ key, jobs }) => [key, jobs]))
  for (const lease of leases) for (const seq of lease.left) {
    const job = held.get(lease.box)?.find((one) => one.seq === seq)
    if (job) seen.set(seq, { job: { ...job, state: 'active' }, lease })
  }
  return seen
}
