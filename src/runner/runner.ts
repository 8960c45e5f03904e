/** Runs handlers, in whichever realm they live: slots, timeouts, abort, progress. What became of each attempt is reported in batches. */
import { HoldfastError } from '../core/errors.ts'
import type { OriginNews } from '../core/http-answer.ts'
import type { Job, JobError, LogLine } from '../core/job.ts'
import { LIMITS } from '../core/limits.ts'
import type { Clock } from '../platform/clock.ts'
import { keyOf } from './key.ts'
import { describeError } from './outcome.ts'

/** A claimed job and the proof of its claim. */
export interface Run { readonly box: number; readonly token: string; readonly job: Job }

/** How an attempt ended, before the engine adds what only it knows. */
export type Result =
  /** `unstorable`: why the result is but a marker. */
  | { readonly type: 'complete'; readonly result?: unknown; readonly full?: unknown; readonly unstorable?: JobError }
  | { readonly type: 'fail'; readonly error: JobError; readonly afterMs?: number; readonly final?: 'unrecoverable' | 'invalid'; readonly unanswered?: true }
  | { readonly type: 'snooze'; readonly ms: number }
  | { readonly type: 'release'; readonly unanswered?: true }
  | { readonly type: 'cancel'; readonly reason: string }

export interface AttemptReport { readonly progress?: number; readonly message?: string; readonly logs?: readonly LogLine[] }

export interface RunEnding {
  readonly key: string
  readonly event: Result
  /** How long the handler ran, in ms; 0 for a job that was given back unstarted. */
  readonly ms: number
  readonly report?: AttemptReport
  readonly origin?: OriginNews
}

export interface RunnerHost {
  readonly clock: Clock
  task(call: () => void): void
  ended(endings: readonly RunEnding[]): void
  report(key: string, report: AttemptReport): void
  heartbeat(key: string): Promise<void>
  /** The finished steps of a job. */
  steps(key: string): Promise<Readonly<Record<string, unknown>>>
  storeStep(key: string, name: string, value: unknown): Promise<void>
}

export interface Runner {
  /** More work, and how many may run at once. */
  run(slots: number, runs: readonly Run[]): void
  /** Aborts one attempt's signal; it ends when its handler does. */
  abort(key: string, reason: HoldfastError): void
  /** Gives back what has not started. */
  giveBack(): void
  /** What it holds, running or not. */
  keys(): string[]
  /** Resolves when nothing runs. */
  idle(): Promise<void>
}

/** What decides an attempt: a user's handler behind `handlerAttempt`, or a request. */
export type Execute = (attempt: Attempt) => Promise<Partial<RunEnding> & { readonly event: Result }> | { readonly event: Result }

const FLUSH_AT = 128
const BUSY_MS = 8
const REPORT_MS = 250

export class Attempt {
  readonly key: string
  readonly startedAt: number
  /** In awake ms; each sign of progress puts it off, where `moved` says so. */
  deadline: number
  #moving = false
  #controller: AbortController | undefined
  #aborted: HoldfastError | undefined
  report: AttemptReport | undefined
  constructor(readonly run: Run, readonly host: RunnerHost, private readonly changed: () => void) {
    this.key = keyOf(run.token, run.job.seq)
    this.startedAt = host.clock.awake()
    this.deadline = this.startedAt + run.job.timeoutMs
  }

  /** Something was done: its timeout begins anew. `part`: how much of it in all, 0..1. */
  moved(part?: number): void {
    this.#moving = true
    this.deadline = this.host.clock.awake() + this.run.job.timeoutMs
    if (part !== undefined) this.add({ progress: Math.round(part * 1000) / 10 })
  }

  timeOut(): void {
    const { timeoutMs } = this.run.job
    this.abort(new HoldfastError('TIMEOUT', this.#moving ? `Nothing was sent for ${timeoutMs} ms, nor answered in full` : `The attempt took more than ${timeoutMs} ms`))
  }

  /** Made when first asked for: most handlers never look. */
  get signal(): AbortSignal {
    if (!this.#controller) {
      this.#controller = new AbortController()
      if (this.#aborted) this.#controller.abort(this.#aborted)
    }
    return this.#controller.signal
  }

  get aborted(): HoldfastError | undefined { return this.#aborted }

  abort(reason: HoldfastError): void {
    this.#aborted ??= reason
    this.#controller?.abort(reason)
  }

  add(report: AttemptReport): void {
    const logs = report.logs ? [...(this.report?.logs ?? []), ...report.logs].slice(-LIMITS.logLines) : this.report?.logs
    this.report = { ...this.report, ...report, ...(logs ? { logs } : {}) }
    this.changed()
  }
}

export function createRunner(host: RunnerHost, execute: Execute): Runner {
  let slots = 0
  let pending: Run[] = []
  const running = new Map<string, Attempt>()
  let endings: RunEnding[] = []
  let flushing = false
  let pumping = false
  let taskStart = host.clock.awake()
  let armed = Infinity
  let reporting = false
  let idlers: Array<() => void> = []

  function end(key: string, ending: Omit<RunEnding, 'key'>): void {
    endings.push({ key, ...ending })
    if (endings.length >= FLUSH_AT) flush()
    else if (!flushing) { flushing = true; host.task(() => { flushing = false; flush() }) }
  }

  function flush(): void {
    const batch = endings
    endings = []
    if (batch.length > 0) host.ended(batch)
    if (running.size === 0 && pending.length === 0) { for (const idle of idlers) idle(); idlers = [] }
  }

  function pump(): void {
    if (pumping) return
    pumping = true
    while (running.size < slots) {
      // Handlers that never wait would keep the realm from everything else.
      if (host.clock.awake() - taskStart > BUSY_MS) { host.task(() => { taskStart = host.clock.awake(); pumping = false; pump() }); return }
      const run = pending.shift()
      if (!run) break
      start(run)
    }
    pumping = false
  }

  function start(run: Run): void {
    const attempt = new Attempt(run, host, reportSoon)
    if (run.job.expiresAt !== undefined && run.job.expiresAt <= host.clock.now()) { end(attempt.key, { event: { type: 'release' }, ms: 0 }); return }
    running.set(attempt.key, attempt)
    arm(attempt.deadline)
    const finish = (outcome: Partial<RunEnding> & { readonly event: Result }): void => {
      running.delete(attempt.key)
      end(attempt.key, { ...outcome, ms: host.clock.awake() - attempt.startedAt, ...(attempt.report ? { report: attempt.report } : {}) })
      pump()
    }
    const crashed = (error: unknown): void => { finish({ event: { type: 'fail', error: describeError(error) } }) }
    try {
      const outcome = execute(attempt)
      if (outcome instanceof Promise) outcome.then(finish, crashed)
      else finish(outcome)
    } catch (error) { crashed(error) }
  }

  /** One timer for all deadlines: the earliest. */
  function arm(deadline: number): void {
    if (deadline >= armed) return
    armed = deadline
    host.clock.after(deadline - host.clock.awake(), () => {
      armed = Infinity
      const now = host.clock.awake()
      for (const attempt of running.values()) {
        if (attempt.deadline <= now) attempt.timeOut()
        else arm(attempt.deadline)
      }
    })
  }

  function reportSoon(): void {
    if (reporting) return
    reporting = true
    host.clock.after(REPORT_MS, () => {
      reporting = false
      for (const attempt of running.values()) {
        if (!attempt.report) continue
        host.report(attempt.key, attempt.report)
        attempt.report = undefined
      }
    })
  }

  return {
    run(count, runs) {
      slots = count
      const known = new Set([...running.keys(), ...pending.map(({ token, job }) => keyOf(token, job.seq))])
      pending.push(...runs.filter(({ token, job }) => !known.has(keyOf(token, job.seq))))
      // A new delivery comes in a task of its own.
      if (!pumping) taskStart = host.clock.awake()
      pump()
    },
    abort(key, reason) {
      running.get(key)?.abort(reason)
      const at = pending.findIndex(({ token, job }) => keyOf(token, job.seq) === key)
      if (at < 0) return
      // To tell of an end may give back the others.
      pending.splice(at, 1)
      end(key, { event: { type: 'release' }, ms: 0 })
    },
    giveBack() {
      const unstarted = pending
      pending = []
      for (const { token, job } of unstarted) end(keyOf(token, job.seq), { event: { type: 'release' }, ms: 0 })
    },
    keys: () => [...running.keys(), ...pending.map(({ token, job }) => keyOf(token, job.seq))],
    idle: () => running.size === 0 && pending.length === 0 && endings.length === 0 ? Promise.resolve() : new Promise((resolve) => { idlers.push(resolve) }),
  }
}
