/** What a look at the whole database adds up to: where each job is, what is wrong, and how to mend it. */
import { isFinal, isUnstarted, type Job, type State } from '../core/job.ts'
import { originOf } from '../core/lane.ts'
import type { HistoryRow, LeaseRow, PageKey } from './schema.ts'
import { groupOf, isNoted } from './verbs/groups.ts'
import { emptyCounts, type Work } from './work.ts'

const MOST_FAULTS = 100

type Fix = (work: Work) => void | Promise<void>

export interface LaneTally { jobs: number; pages: number; readonly ranks: Set<number>; broken: boolean }

export class Audit {
  readonly faults: string[] = []
  count = 0
  /** Where each job was found first. */
  readonly places = new Map<number, string>()
  readonly fixes: Fix[] = []
  /** Those that move jobs, which is safe only where all else fits. */
  readonly moves: Fix[] = []
  readonly lanes = new Map<string, Map<string, LaneTally>>()
  readonly counts = new Map<string, Record<State, number>>()
  /** Jobs whose data is kept apart; of those, who has not had it yet. */
  readonly large = new Set<number>()
  readonly unread = new Set<number>()
  /** Who has ended. */
  readonly final = new Set<number>()
  /** Those that have parents. */
  readonly children = new Map<number, Job>()
  readonly blocked: Job[] = []
  readonly leases = new Map<number, LeaseRow>()
  /** The jobs of boxes without a lease. */
  readonly orphans = new Map<number, readonly Job[]>()
  readonly history = new Map<number, HistoryRow>()
  /** Queues that hold requests, and how many requests to each origin are leased. */
  readonly http = new Set<string>()
  readonly asked = new Map<string, number>()
  /** Blocked jobs by queue and group, and who of a group is about to run. */
  readonly groups = new Map<string, Job[]>()
  readonly turns = new Map<Job[], number>()
  /** The groups of those that died. */
  readonly died = new Map<number, string>()
  /** Positions that jobs were given with their turn. */
  readonly noted = new Map<number, number>()
  /** How many jobs each processor has leased. */
  readonly leased = new Map<string, number>()
  last: { readonly page: PageKey; readonly end: number } | undefined
  hasMeta = false
  /** The highest number given to a job, position, box or archive. */
  highest = 0

  wrong(what: string, fix?: Fix): void {
    this.count++
    if (this.faults.length < MOST_FAULTS) this.faults.push(what)
    if (fix) this.fixes.push(fix)
  }

  misplaced(what: string, fix: Fix): void {
    this.wrong(what)
    this.moves.push(fix)
  }

  /** Notes where a job is; false when it is elsewhere too. */
  place(job: Job, room: string, state: State): boolean {
    const other = this.places.get(job.seq)
    this.highest = Math.max(this.highest, job.seq, job.position)
    if (other !== undefined) return false
    this.places.set(job.seq, room)
    if (job.large) this.large.add(job.seq)
    if (job.large && isUnstarted(state)) this.unread.add(job.seq)
    if (isFinal(state)) this.final.add(job.seq)
    if (job.dependsOn) this.children.set(job.seq, { ...job, state })
    if (state === 'blocked') this.blocked.push(job)
    if (job.http) this.http.add(job.queue)
    if (job.http && state === 'active') this.asked.set(originOf(job.http.url), (this.asked.get(originOf(job.http.url)) ?? 0) + 1)
    if (job.group !== undefined && (state === 'waiting' || state === 'delayed' || state === 'active')) this.turns.set(this.group(job.queue, groupOf(job)), job.seq)
    if (job.group !== undefined && state === 'dead') this.died.set(job.seq, JSON.stringify([job.queue, groupOf(job)]))
    if (isNoted({ ...job, state })) this.noted.set(job.seq, job.position)
    this.tally(job.queue)[state]++
    return true
  }

  tally(queue: string): Record<State, number> {
    let counts = this.counts.get(queue)
    if (!counts) this.counts.set(queue, counts = { ...emptyCounts })
    return counts
  }

  group(queue: string, group: string): Job[] {
    const id = JSON.stringify([queue, group])
    const members = this.groups.get(id) ?? []
    this.groups.set(id, members)
    return members
  }

  lane(queue: string, lane: string): LaneTally {
    const lanes = this.lanes.get(queue) ?? new Map<string, LaneTally>()
    this.lanes.set(queue, lanes)
    const tally = lanes.get(lane) ?? { jobs: 0, pages: 0, ranks: new Set<number>(), broken: false }
    lanes.set(lane, tally)
    return tally
  }
}
