/** What a queue is, without storage, transactions or time: a list of jobs. Delays are an hour or nothing, so nothing becomes due by itself. */
import type { OnParentDead, State } from '../../../src/core/job.ts'

export const HOUR = 3_600_000

export interface PushSpec {
  readonly name: string
  readonly data: unknown
  readonly options: {
    readonly priority?: number; readonly lifo?: boolean; readonly delayMs?: number; readonly ttlMs?: number; readonly maxAttempts?: number
    readonly backoff: { readonly type: 'fixed'; readonly delayMs: number }; readonly removeOnComplete?: boolean; readonly removeOnFail?: boolean
    readonly group?: string; readonly onGroupDead?: 'hold' | 'continue'; readonly onParentDead?: OnParentDead
  }
}

/** A claim: which handle holds it. Each claim is another object, as each lease has another token. */
export interface ModelLease { who: number }

export interface ModelJob {
  readonly id: string
  readonly name: string
  /** The number of its push. */
  readonly n: number
  position: number
  data: unknown
  state: State
  priority: number
  maxAttempts: number
  failures: number
  revision: number
  readonly retryMs: number
  /** Whose it is. */
  readonly user: string | undefined
  readonly group: string | undefined
  readonly holds: boolean
  /** A blocked job that is to wait for the clock when it has its turn. */
  later: boolean
  readonly onParentDead: OnParentDead
  /** What it has of its parents, by the place they were given in, and those of whom it has nothing. */
  readonly parents: Array<{ readonly job: ModelJob; result: unknown }>
  readonly waits: Set<ModelJob>
  /** A parent's end took it along. */
  orphan: boolean
  readonly removeOnComplete: boolean
  readonly removeOnFail: boolean
  lease?: ModelLease | undefined
  stop?: { readonly reason: string; readonly remove: boolean } | undefined
  result?: unknown
}

export type Refusal = 'STALE_LEASE' | 'INVALID_STATE' | 'NOT_FOUND'
export class Refused extends Error {
  constructor(readonly code: Refusal) { super(code) }
}

const FINAL: readonly State[] = ['completed', 'cancelled', 'dead']

const hasIt = ({ onParentDead }: ModelJob, state: State): boolean => state === 'completed' || onParentDead === 'run'

export class Model {
  jobs: ModelJob[] = []
  readonly gone: string[] = []
  paused = false
  cap = Infinity
  fair = false
  user: string | undefined
  /** Who has the turn of each group; each user has groups of their own. */
  readonly turns = new Map<string, ModelJob>()
  #ended: Array<{ readonly job: ModelJob; readonly state: State }> = []
  #pushed = 0

  push(id: string, { name, data, options: { priority = 0, lifo, delayMs = 0, maxAttempts = 3, backoff, removeOnComplete = false, removeOnFail = false, group, onGroupDead, onParentDead = 'cascade' } }: PushSpec, dependsOn: readonly string[] = []): void {
    const parents = [...new Set(dependsOn)].map((parent) => this.#find(parent))
    if (parents.some((parent) => parent.user !== undefined && parent.user !== this.user)) throw new Refused('NOT_FOUND')
    const n = ++this.#pushed
    const job: ModelJob = {
      id, name, data, n, position: lifo ? -n : n, state: 'waiting', priority, maxAttempts, failures: 0, revision: 0, retryMs: backoff.delayMs, removeOnComplete, removeOnFail,
      user: this.user, group: group === undefined ? undefined : `${group} of ${this.user}`, holds: onGroupDead === 'hold', later: false, onParentDead, parents: dependsOn.map((parent) => ({ job: this.#find(parent), result: undefined })), waits: new Set(parents), orphan: false,
    }
    this.jobs.push(job)
    this.#join(job, delayMs > 0)
    for (const parent of parents) if (FINAL.includes(parent.state)) this.#told(job, parent, parent.state)
  }

  get waiting(): ModelJob[] { return this.in('waiting').sort((a, b) => b.priority - a.priority || a.position - b.position) }
  in(...states: readonly State[]): ModelJob[] { return this.jobs.filter(({ state }) => states.includes(state)) }

  pull(who: number, count: number): ModelJob[] {
    const taken = this.paused ? [] : this.waiting.filter(({ user }) => user === undefined || user === this.user).slice(0, Math.max(0, Math.min(count, this.cap - this.in('active').length)))
    for (const job of taken) { job.state = 'active'; job.lease = { who } }
    return taken
  }

  // ---- endings: `lease` is the proof ----

  ack(id: string, lease: ModelLease | undefined, result: unknown): void {
    const job = this.#leased(id, lease)
    if (this.#stopped(job)) return
    job.result = result
    this.#end(job, 'completed', job.removeOnComplete)
  }
  fail(id: string, lease: ModelLease | undefined): boolean {
    const job = this.#leased(id, lease)
    if (this.#stopped(job)) return false
    job.failures++
    if (job.failures >= job.maxAttempts) { this.#end(job, 'dead', job.removeOnFail); return false }
    this.#wait(job, job.retryMs)
    return true
  }
  giveBack(id: string, lease: ModelLease | undefined, ms: number): void {
    const job = this.#leased(id, lease)
    if (!this.#stopped(job)) this.#wait(job, ms)
  }

  // ---- what a person does ----

  cancel(id: string, ifNotStarted: boolean): State {
    const job = this.#find(id)
    const was = job.state
    if (was === 'completed' || was === 'dead' || (was === 'active' && ifNotStarted)) throw new Refused('INVALID_STATE')
    if (was === 'active') job.stop ??= { reason: 'cancelled', remove: false }
    else if (was !== 'cancelled') this.#end(job, 'cancelled', false)
    return was
  }
  remove(id: string): void {
    const job = this.#find(id)
    if (job.state === 'active') job.stop = { reason: 'removed', remove: true }
    else this.#end(job, job.state, true)
  }
  promote(id: string): void {
    const job = this.#find(id, 'waiting', 'delayed')
    job.state = 'waiting'
  }
  update(id: string, { data, priority, later }: { readonly data?: unknown; readonly priority?: number; readonly later?: boolean }): void {
    const job = this.#find(id, 'waiting', 'delayed', 'blocked')
    if (data !== undefined) { job.data = data; job.revision++ }
    if (priority !== undefined) job.priority = priority
    if (later === undefined) return
    if (job.state === 'blocked') job.later = later
    else job.state = later ? 'delayed' : 'waiting'
  }
  retry(id: string, { data, priority, later }: { readonly data?: unknown; readonly priority?: number; readonly later?: boolean }): void {
    const job = this.#find(id, ...FINAL)
    const left = [...job.waits].map((parent) => ({ parent, state: this.jobs.includes(parent) ? parent.state : 'cancelled' as const }))
    if (left.some(({ state }) => FINAL.includes(state) && !hasIt(job, state))) throw new Refused('INVALID_STATE')
    if (data !== undefined) { job.data = data; job.revision++ }
    if (priority !== undefined) job.priority = priority
    job.failures = 0
    job.result = undefined
    job.orphan = false
    this.#join(job, later === true)
    for (const { parent, state } of left) if (FINAL.includes(state)) this.#told(job, parent, state)
    for (const child of this.jobs.filter((one) => one.orphan && one.waits.has(job))) {
      try { this.retry(child.id, {}) } catch (error) { if (!(error instanceof Refused)) throw error }
    }
  }

  /** Children are told of what ended in a call, and theirs of what that ended. */
  settle(): void {
    while (this.#ended.length > 0) for (const { job, state } of this.#ended.splice(0)) for (const child of this.jobs) this.#told(child, job, state)
  }

  // ---- how ----

  #told(child: ModelJob, parent: ModelJob, state: State): void {
    if (child.state !== 'blocked' || !child.waits.has(parent)) return
    if (!hasIt(child, state)) {
      const dies = state === 'dead' && child.onParentDead === 'cascade'
      child.orphan = true
      this.#end(child, dies ? 'dead' : 'cancelled', dies && child.removeOnFail)
      return
    }
    child.waits.delete(parent)
    for (const one of child.parents) if (one.job === parent && state === 'completed') one.result = parent.result
    this.#free(child)
  }
  /** A job that waits neither for parents nor for its turn is free. */
  #free(job: ModelJob): void {
    if (job.waits.size > 0 || (job.group !== undefined && this.turns.get(job.group) !== job)) return
    job.state = job.later ? 'delayed' : 'waiting'
    if (this.fair && job.group !== undefined) job.position = ++this.#pushed
  }

  #find(id: string, ...states: readonly State[]): ModelJob {
    const job = this.jobs.find((one) => one.id === id)
    if (!job) throw new Refused('NOT_FOUND')
    if (states.length > 0 && !states.includes(job.state)) throw new Refused('INVALID_STATE')
    return job
  }
  #leased(id: string, lease: ModelLease | undefined): ModelJob {
    const job = this.jobs.find((one) => one.id === id)
    if (!job?.lease || job.lease !== lease) throw new Refused('STALE_LEASE')
    job.lease = undefined
    return job
  }
  #stopped(job: ModelJob): boolean {
    if (!job.stop) return false
    this.#end(job, 'cancelled', job.stop.remove)
    return true
  }
  /** A job that has its group's turn, or none, waits for itself; others for their turn. */
  #join(job: ModelJob, later: boolean): void {
    const { group } = job
    if ((Math.abs(job.position) !== job.n && this.turns.get(group ?? '') !== job) || (group !== undefined && job.parents.length > 0 && job.position < 0)) job.position = job.n
    const holder = this.turns.get(group ?? '')
    const yields = holder !== undefined && holder !== job && holder.state === 'blocked' && job.position < holder.position
    if (group !== undefined && (!holder || yields)) this.turns.set(group, job)
    job.later = later
    job.state = job.waits.size > 0 || (group !== undefined && this.turns.get(group) !== job) ? 'blocked' : later ? 'delayed' : 'waiting'
  }
  #leave(job: ModelJob, gone: boolean): void {
    const { group } = job
    if (group === undefined || this.turns.get(group) !== job || (job.state === 'dead' && job.holds && !gone)) return
    this.turns.delete(group)
    const [next] = this.in('blocked').filter((one) => one.group === group && one !== job).sort((a, b) => a.position - b.position)
    if (!next) return
    this.turns.set(group, next)
    this.#free(next)
  }
  #end(job: ModelJob, state: State, gone: boolean): void {
    if (!FINAL.includes(job.state)) this.#ended.push({ job, state: FINAL.includes(state) ? state : 'cancelled' })
    job.state = state
    job.stop = undefined
    this.#leave(job, gone)
    if (gone) { this.jobs = this.jobs.filter((one) => one !== job); this.gone.push(job.id) }
  }
  #wait(job: ModelJob, ms: number): void { job.state = ms > 0 ? 'delayed' : 'waiting' }
}
