/** One `process` call: how many jobs to have at hand, and which it holds. The engine claims for it; its port runs them. */
import type { Job } from '../core/job.ts'
import type { HoldfastError } from '../core/errors.ts'
import type { Runs } from '../core/lane.ts'
import { keyOf } from '../runner/key.ts'
import type { Run, RunEnding } from '../runner/runner.ts'

/** Where the handlers are: a runner in this realm, or the page's behind messages. */
export interface Port {
  run(slots: number, runs: readonly Run[]): void
  abort(key: string, reason: HoldfastError): void
  giveBack(): void
  /** These endings are committed, or refused for good. */
  settled(keys: readonly string[]): void
}

export interface ProcessorOptions {
  /** Unique in this realm. */
  readonly id: string
  readonly queue: string
  /** Whose lock says that the handlers still live. */
  readonly owner: string
  readonly runs: Runs
  readonly concurrency: number
  readonly paused?: boolean
  readonly port: Port
}

export const HUNGRY_MS = 100
const AHEAD_MS = 100
const MOST_AHEAD = 1024
const SOME = 4

export class ProcessorState {
  readonly held = new Map<string, Run>()
  /** How many jobs of each of its leases, by token, have no stored end yet. */
  readonly known = new Map<string, number>()
  /** Attempts that have ended, and whose ends are not stored yet. */
  unsettled = 0
  /** How many may run at once, as the last claim said. */
  has = 0
  claiming = false
  /** Whether its queue waits for the network. */
  gated = false
  /** Nothing was left at the last claim; a wake clears it. */
  dry = false
  wakes = 0
  /** It found no place to run what there is, and will look again after so long. */
  looking = false
  patience = HUNGRY_MS
  paused: boolean
  stopped = false
  #averageMs: number | undefined
  /** Its name in the database. A page that lost its lock goes on as another owner: what it had leased before is counted apart, and recovered apart. */
  readonly share: string
  constructor(readonly options: ProcessorOptions) {
    this.paused = options.paused === true
    this.share = `${options.owner} ${options.id}`
  }

  /** There may be more to claim. */
  wake(): void {
    this.dry = false
    this.wakes++
  }

  /** Work to have at hand beyond what runs: at most ~100 ms of it. */
  get ahead(): number {
    // Requests are not claimed ahead: a gate may close before they start.
    if (this.options.runs.kind === 'requests' || this.#averageMs === undefined) return 0
    return Math.min(MOST_AHEAD, Math.floor(AHEAD_MS / Math.max(this.#averageMs, 0.01) * Math.max(1, this.has)))
  }

  /** How many jobs to ask for now; 0 while there are enough. */
  get wanted(): number {
    if (this.stopped || this.paused || this.claiming || this.dry) return 0
    const target = this.options.concurrency + this.ahead
    const low = Math.max(this.has, 1) + this.ahead / 2
    return this.held.size < Math.min(low, target) ? target - this.held.size : 0
  }

  /** It holds far more than it will do soon. */
  get overloaded(): boolean { return this.held.size > 2 * (this.options.concurrency + this.ahead) + SOME }

  get running(): number { return Math.min(this.has, this.held.size) }

  hold(box: number, token: string, jobs: readonly Job[]): Run[] {
    const runs = jobs.map((job): Run => ({ box, token, job }))
    for (const run of runs) this.held.set(keyOf(token, run.job.seq), run)
    if (runs.length > 0) this.known.set(token, runs.length)
    return runs
  }

  /** These ends are stored. */
  settled(endings: ReadonlyArray<{ readonly token: string }>): void {
    for (const { token } of endings) {
      const left = (this.known.get(token) ?? 0) - 1
      if (left > 0) this.known.set(token, left)
      else this.known.delete(token)
    }
  }

  learn(endings: readonly RunEnding[]): void {
    for (const { ms, event } of endings) {
      if (event.type === 'release') continue
      // Slower ones count at once: too much at hand keeps others waiting, too little costs only time.
      const weight = ms > (this.#averageMs ?? 0) ? 0.5 : 0.1
      this.#averageMs = this.#averageMs === undefined ? ms : this.#averageMs * (1 - weight) + ms * weight
    }
  }
}
