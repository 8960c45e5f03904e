/** What a job is. A state says what the job waits for; `transition.ts` says how it moves. */

/** `waiting` for a free handler, `delayed` for the clock, `blocked` for another job, `active` for its lease, `dead` for a person; the rest for nothing. */
export type State = 'waiting' | 'delayed' | 'blocked' | 'active' | 'completed' | 'cancelled' | 'dead'

export const STATES: readonly State[] = ['waiting', 'delayed', 'blocked', 'active', 'completed', 'cancelled', 'dead']

/** Why a job is dead. */
export type DeadReason = 'failed' | 'unrecoverable' | 'expired' | 'stalled' | 'no-answer' | 'invalid' | 'parent'

/** What becomes of a child when a parent dies: it dies too (reason `parent`), is cancelled, or runs all the same. When one is cancelled a child is too, unless it is to `run`. */
export type OnParentDead = 'cascade' | 'cancel' | 'run'

export interface Backoff {
  readonly type: 'exponential' | 'linear' | 'fixed'
  /** First wait in ms. Default 1000. */
  readonly delayMs: number
  /** Upper bound in ms, applied before jitter. Default 3 600 000. */
  readonly maxDelayMs: number
  /** 0..1: each wait is multiplied by a uniform number in [1 − jitter, 1]. Default 0.2. */
  readonly jitter: number
}

/** An error as it is stored: text only, cut at 8 KiB. */
export interface JobError {
  readonly name: string
  readonly message: string
  readonly stack?: string
}

/** One run of a job that did not end well. Times are epoch ms. */
export interface Attempt {
  readonly startedAt: number
  readonly endedAt: number
  readonly error: JobError
  /** The realm (page, worker, process) that ran it. */
  readonly owner: string
}

export interface LogLine {
  readonly at: number
  readonly message: string
}

/** What an application may have a say in, of every request: see `http` of `openQueue`. */
export type HookName = 'beforeSend' | 'classify' | 'onUnauthorized'

export interface HttpRef { readonly at: ReadonlyArray<string | number>; readonly from: string }

/** What a request stores beside its body, which is the job's `data`. */
export interface HttpRequest {
  readonly url: string
  readonly method: string
  readonly headers: Readonly<Record<string, string>>
  /** How `data` becomes the body; absent: no body. `form`: a list of [name, value] as FormData has it; `binary`: a Blob, or an ArrayBuffer or view if it was edited. */
  readonly body?: 'json' | 'text' | 'form' | 'binary'
  /** `false`: send no key; else the header's name and whether its value is a quoted string. */
  readonly idempotency: false | { readonly header: string; readonly quoted: boolean }
  /** Where in its JSON a parent's result goes: under these keys, of the parent named and what of its result, as in `create.body.id`. */
  readonly refs?: readonly HttpRef[]
  /** Its URL and headers hold placeholders, as in `{{create.body.id}}`. */
  readonly fill?: true
  /** Answers outside 2xx that complete the job. */
  readonly okStatuses: readonly number[]
  /** The hooks it was pushed under: it is sent only where they are. */
  readonly hooks?: readonly HookName[]
}

/** A stored job. Only fields that differ from their default are present. Times are epoch ms. */
export interface Job<Data = unknown, Name extends string = string> {
  /** UUIDv7; its low 40 bits are `seq`. */
  readonly id: string
  readonly seq: number
  readonly queue: string
  readonly name: Name
  readonly data: Data
  readonly state: State
  /** Bytes of `data` as measured at push. */
  readonly size?: number
  /** `data` is kept apart, since it is too large to be rewritten with the job. */
  readonly large?: true
  /** Place in its priority, given at push. */
  readonly position: number
  readonly priority: number
  readonly createdAt: number
  /** When a `delayed` job is due. */
  readonly runAt?: number
  /** When its wait began, if it is to last so long and not until a time that was named: a clock that is set back begins it anew. */
  readonly since?: number
  /** Failed attempts so far. */
  readonly failures: number
  /** Times its lease was lost. */
  readonly stalls: number
  readonly maxAttempts: number
  readonly timeoutMs: number
  readonly backoff?: Partial<Backoff>
  /** Not started by then: dead, reason `expired`. */
  readonly expiresAt?: number
  /** Jobs of one group run one at a time, in order of position. */
  readonly group?: string
  /** Whether its death holds up its group; default: that of a request does. */
  readonly onGroupDead?: 'hold' | 'continue'
  /** The ids of its parents, by name. */
  readonly dependsOn?: Readonly<Record<string, string>>
  /** What becomes of it when a parent dies; default: it dies too. */
  readonly onParentDead?: OnParentDead
  /** The numbers of those parents that it has nothing of yet. */
  readonly waitsFor?: readonly number[]
  /** How many generations were above it when it was pushed, of those that had not ended well. */
  readonly depth?: number
  /** Its parents' results, by name: only where it is run or looked at, since they are kept apart. */
  readonly parents?: Readonly<Record<string, unknown>>
  readonly tags?: readonly string[]
  readonly metadata?: unknown
  readonly http?: HttpRequest
  /** An earlier attempt may have reached its server, whose answer was not heard. */
  readonly unanswered?: true
  /** The box in which its last attempt was, if that was answered by 401: so is another one, after a refresh, its own failure. */
  readonly refused?: number
  /** Who was the user when it was pushed: it runs only while that is so. */
  readonly user?: string
  /** Times data was edited after a push; part of the idempotency key. */
  readonly revision?: number
  readonly keepResult?: boolean
  readonly removeOnComplete?: boolean
  readonly removeOnFail?: boolean
  /** The last 20 attempts that failed or were lost. */
  readonly attempts?: readonly Attempt[]
  readonly startedAt?: number
  readonly endedAt?: number
  readonly result?: unknown
  /** Why it is dead or cancelled. */
  readonly reason?: string
  readonly fingerprint?: string
  /** A running job that was asked to stop. */
  readonly cancelRequested?: { readonly reason: string; readonly remove: boolean }
  /** Some of its steps are stored. */
  readonly stepped?: true
  /** 0..100, as last reported. */
  readonly progress?: number
  readonly progressMessage?: string
  readonly logs?: readonly LogLine[]
}

/** No handler has it, and one may get it. */
export const isUnstarted = (state: State): boolean => state === 'waiting' || state === 'delayed' || state === 'blocked'
export const isFinal = (state: State): boolean => state === 'completed' || state === 'cancelled' || state === 'dead'
