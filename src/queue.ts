/** The public handle: types only, nothing here runs. */
import type { EventType } from './core/event.ts'
import type { Attempt, Backoff, Job, State } from './core/job.ts'
import type { PushOptions } from './core/push.ts'

/** Queue name → job name → data. `openQueue<{emails: {welcome: {to: string}}}>()` makes wrong names and data compile errors. */
export type { EventType }
export type QueueMap = Record<string, Record<string, unknown>>
export type QueueName<M extends QueueMap> = keyof M & string
export type JobName<M extends QueueMap, Q extends QueueName<M>> = keyof M[Q] & string
/** The job of a queue: a union over its names, so that `job.name` narrows `job.data`. */
export type JobOf<M extends QueueMap, Q extends QueueName<M> = QueueName<M>> =
  string extends QueueName<M> ? Job : { [N in JobName<M, Q>]: Job<M[Q][N], N> }[JobName<M, Q>]

export interface FetchInit {
  readonly method?: string
  readonly headers?: Readonly<Record<string, string>> | Headers | ReadonlyArray<readonly [string, string]>
  /** Whatever `fetch` takes; a stream is read to its end before anything is stored. */
  readonly body?: BodyInit | null
  /** Sent as the JSON body, with its content type; a `ref` in it becomes what it stands for when that is sent. Excludes `body`. */
  readonly json?: unknown
}

export interface FetchOptions extends PushOptions {
  /** Default `http`, and `http.upload` for more than 64 KiB of binary data. */
  readonly queue?: string
  /** Default `fetch`. */
  readonly name?: string
  /** `false`, or the header to use instead of a quoted `Idempotency-Key`. */
  readonly idempotency?: false | { readonly header?: string; readonly quoted?: boolean }
  /** Further statuses that complete the job. Default: 404 and 410 for DELETE. */
  readonly okStatuses?: readonly number[]
  /** URL, given as text, and headers are templates: `{{create.body.id}}` becomes that part of the result of the job that `dependsOn` names `create`, escaped for where it stands. Not in the origin. Default false. */
  readonly fill?: boolean
  /** Store `Authorization`, `Cookie` and `Proxy-*` headers, which are otherwise refused. */
  readonly allowStoredCredentials?: boolean
}

/** What a completed request leaves: JSON parsed; bodies over 64 KiB are cut to text. */
export interface HttpResult {
  readonly status: number
  readonly headers: Readonly<Record<string, string>>
  readonly body?: unknown
  /** The body is not whole: it had more than 64 KiB, or broke off. */
  readonly truncated?: true
}

export interface Context {
  /** Aborted on timeout, cancel, lease loss and shutdown; its `reason` says which. */
  readonly signal: AbortSignal
  /** 1 for the first, failures so far + 1. */
  readonly attempt: number
  /** 0..100; coalesced to 4 writes a second. */
  progress(percent: number, message?: string): void
  /** ≤ 1 KiB a line, the last 100 kept. */
  log(message: string): void
  /** Automatic; call it only to learn at once whether the lease still holds. */
  heartbeat(): Promise<void>
  /** Runs `fn` once over all attempts: a finished step's value is stored, and returned without running it again. */
  step<T>(name: string, fn: () => T | Promise<T>): Promise<T>
  readonly queue: string
  /** The results of the jobs it depends on, by name; `undefined` of one that it runs without. */
  readonly parents: Readonly<Record<string, unknown>>
}

export type Handler<J = Job> = (job: J, ctx: Context) => unknown
export type Handlers<M extends QueueMap, Q extends QueueName<M>> = string extends QueueName<M>
  ? Record<string, Handler>
  : { readonly [N in JobName<M, Q>]?: Handler<Job<M[Q][N], N>> }

export interface ProcessOptions {
  /** How many of this queue's jobs run at once in all tabs together; the latest call wins. Default 1. */
  readonly concurrency?: number
}

export interface Processor {
  /** Stop claiming; what runs goes on. */
  pause(): Promise<void>
  resume(): Promise<void>
  /** Resolves when nothing runs here and nothing is left that could run now. */
  idle(): Promise<void>
  /** Stop claiming, give back what has not started, wait for what runs. */
  stop(): Promise<void>
}

export interface QueueSettings {
  /** Default options for pushes into this queue. */
  readonly defaults?: Omit<PushOptions, 'delayMs' | 'runAt' | 'lifo' | 'dependsOn'>
  /** Jobs of this queue that may be leased at once, over all tabs, `pull` included. `null`: no cap. */
  readonly concurrency?: number | null
  /** Do not claim while offline. */
  readonly needsNetwork?: boolean
  /** `fair`: a group's next job goes to the end of its priority when its turn comes, so that groups take turns. Default `fifo`: it runs in its place. */
  readonly order?: 'fifo' | 'fair'
}

export interface Filter {
  readonly queue?: string
  readonly state?: State | readonly State[]
  readonly name?: string
  readonly group?: string
  readonly tag?: string
  /** Who was the user when it was pushed. */
  readonly user?: string
  readonly fingerprint?: string
  readonly ids?: readonly string[]
}

export interface ListFilter extends Filter {
  /** Text in name, id, tags, error or data; case-insensitive. */
  readonly search?: string
  readonly cursor?: string
  /** 1..1000. Default 100. */
  readonly limit?: number
}

export type Counts = Readonly<Record<State, number>>
export interface QueueStats {
  readonly queue: string
  readonly counts: Counts
  readonly paused: boolean
  /** When a timed pause ends (epoch ms). */
  readonly pausedUntil?: number
  /** Origins that requests of this queue wait for. */
  readonly closedOrigins: Readonly<Record<string, ClosedOrigin>>
}
export interface ClosedOrigin {
  /** What was wrong with it last; `unauthorized`: it refused the credentials. */
  readonly reason: string
  /** When it is next asked, or the credentials refreshed (epoch ms); absent: once somebody signs in or the queue is resumed. */
  readonly until?: number
}
export interface Stats {
  readonly counts: Counts
  /** Neither the browser nor the probe says that there is no network. */
  readonly online: boolean
  /** What the probe said against it. */
  readonly offlineReason?: string
  readonly queues: readonly QueueStats[]
}

/** `job` events carry id, queue, name, group and tags; the others what they are about. Every tab hears them. */
export interface QueueEvent {
  readonly type: EventType
  readonly at: number
  readonly id?: string
  readonly queue?: string
  readonly name?: string
  readonly group?: string
  readonly tags?: readonly string[]
  readonly runAt?: number
  readonly progress?: number
  readonly message?: string
  /** Of a failed attempt; of a `completed` job why its result could not be stored. */
  readonly error?: { readonly name: string; readonly message: string }
  readonly reason?: string
  readonly origin?: string
  readonly until?: number
  /** For one event that stands for several like it, e.g. an all-or-nothing pushMany. Default 1. */
  readonly count?: number
}

export interface StorageHealth {
  /** `degraded`: the database cannot be used now, and `reason` says why. */
  readonly state: 'ok' | 'degraded'
  readonly reason?: string
  /** Bytes of the whole origin, as the browser estimates them; absent where it does not. */
  readonly usage?: number
  readonly quota?: number
  /** Four fifths of the quota are used. */
  readonly low: boolean
  /** Exempt from eviction; absent where the browser does not say. */
  readonly persisted?: boolean
  readonly durability: 'strict' | 'relaxed'
  /** Changes when the database is made anew. */
  readonly generation: string
}

export interface VerifyReport {
  readonly ok: boolean
  /** How many jobs there are. */
  readonly jobs: number
  /** How many faults were found; `faults` describes the first hundred. */
  readonly found: number
  readonly faults: readonly string[]
  /** How many of them were repaired. */
  readonly repaired: number
}

export interface SalvageReport {
  readonly jobs: readonly Job[]
  /** What could not be read, and why. */
  readonly unreadable: readonly string[]
}

export type FailResult = { readonly willRetry: boolean; readonly runAt?: number }
export type BulkResult = { readonly done: number; readonly refused: ReadonlyArray<{ readonly id: string; readonly message: string }> }
export interface PushItem<Name extends string = string, Data = unknown> { readonly name: Name; readonly data: Data; readonly options?: PushOptions }
export type PushItemOf<M extends QueueMap, Q extends QueueName<M>> =
  string extends QueueName<M> ? PushItem : { [N in JobName<M, Q>]: PushItem<N, M[Q][N]> }[JobName<M, Q>]

export interface Queue<M extends QueueMap = QueueMap> {
  readonly name: string
  /** Resolves with the id once the job is committed. Rejects with VALIDATION, QUOTA or STORAGE: nothing is stored then, unless `details.unknown` says that it cannot be known. */
  push<Q extends QueueName<M>, N extends JobName<M, Q>>(queue: Q, name: N, data: M[Q][N], options?: PushOptions): Promise<string>
  /** All or nothing, in one transaction; ids in order. */
  pushMany<Q extends QueueName<M>>(queue: Q, items: ReadonlyArray<PushItemOf<M, Q>>): Promise<string[]>
  /** Claims up to `count` jobs (1..1000, default 1) for this page to run by itself, waiting up to `waitMs` (default 0) for the first; each needs `ack` or `fail` within `leaseMs` (1000.., default 30 000), or a heartbeat. */
  pull<Q extends QueueName<M>>(queue: Q, count?: number, options?: { readonly leaseMs?: number; readonly waitMs?: number }): Promise<Array<JobOf<M, Q>>>
  /** Rejects with STALE_LEASE when the lease is over: nothing is changed then. */
  ack(job: Job | string, result?: unknown): Promise<void>
  /** One transaction; those whose lease is over are named, the others done. A result that cannot be stored refuses the call. */
  ackMany(jobs: ReadonlyArray<Job | string | { readonly job: Job | string; readonly result?: unknown }>): Promise<BulkResult>
  /** A failed attempt; `runAt` (epoch ms) is when the next one is due. */
  fail(job: Job | string, error: unknown): Promise<FailResult>
  /** Renews the lease for another `leaseMs`. */
  heartbeat(job: Job | string): Promise<void>
  /** 0..100, and a message of ≤ 1 KiB; renews the lease. */
  progress(job: Job | string, percent: number, message?: string): Promise<void>
  /** Gives a pulled job back; counts nothing. */
  release(job: Job | string): Promise<void>
  /** Gives a pulled job back for `ms`; not a failure. */
  snooze(job: Job | string, ms: number): Promise<void>
  /** Runs jobs in this page from now on. With handlers by name, only jobs of these names are claimed. */
  process<Q extends QueueName<M>>(queue: Q, handler: Handler<JobOf<M, Q>> | Handlers<M, Q>, options?: ProcessOptions): Promise<Processor>
  /** An HTTP request as a job; relative URLs are resolved against the page. Of a Request its URL, method, headers and body count. */
  fetch(input: string | URL | Request, init?: FetchInit, options?: FetchOptions): Promise<string>
  /** The job's result, also after a reload or from another tab. Rejects with INVALID_STATE when it is dead or cancelled, NOT_FOUND when it is gone, TIMEOUT after `timeoutMs` (default: never), or with the signal's reason. */
  waitFor(id: string, options?: { readonly signal?: AbortSignal; readonly timeoutMs?: number }): Promise<unknown>
  cancel(id: string, options?: { readonly reason?: string; readonly ifNotStarted?: boolean }): Promise<{ readonly was: State }>
  /** A delayed job runs now, in its place. `INVALID_STATE` for an active or ended one. */
  promote(id: string): Promise<void>
  /** Changes a job that has not started; `runAt` in epoch ms, one in the past means now. */
  update(id: string, patch: { readonly data?: unknown; readonly priority?: number; readonly runAt?: number }): Promise<void>
  /** A dead, cancelled or completed job runs again, with fresh attempts and optionally edited data; jobs that its death or cancel took along wait for it again. `INVALID_STATE` for one that depends on a job that is dead, cancelled or gone: retry that. */
  retry(id: string, edit?: { readonly data?: unknown; readonly options?: Omit<PushOptions, 'dependsOn'> }): Promise<void>
  /** The job is gone; a running one is cancelled, and gone when its handler has ended. Jobs that wait for it are cancelled, but those with `onParentDead: 'run'` run. */
  remove(id: string): Promise<void>
  /** Each by itself, some hundreds a transaction; an empty filter means every job. `WORKER_DIED` when the worker ends in its middle: part of it may be done, and some of those may have ended again. */
  retryAll(filter: Filter): Promise<BulkResult>
  /** The same. When the worker ends in its middle it is begun again, and `done` counts what was left then. */
  removeAll(filter: Filter): Promise<BulkResult>
  get(id: string): Promise<Job | undefined>
  list(filter?: ListFilter): Promise<{ readonly jobs: Job[]; readonly cursor?: string }>
  /** O(1) counters. Without a queue: all of them. */
  stats(queue?: QueueName<M>): Promise<Stats>
  queues(): Promise<string[]>
  configure(queue: QueueName<M>, settings: QueueSettings): Promise<void>
  /** Stops claims in every tab, not pushes; stored. `until`: epoch ms, default: until `resume`. */
  pause(queue: QueueName<M>, options?: { readonly until?: number }): Promise<void>
  /** Also lets requests go that wait since an origin answered 401. */
  resume(queue: QueueName<M>): Promise<void>
  /**
   * From now on jobs are pushed as this user's, in every tab, and only theirs and nobody's run; `null`: nobody is signed in. Stored. ≤ 1024 bytes. Resolves when
   * nothing runs for anybody else any more, at the latest after 5 s (a frozen tab does not answer): change cookies and tokens then.
   */
  setUser(id: string | null): Promise<void>
  /** Removes a user's jobs and their results; what runs is stopped, and gone when its handler has ended. */
  forgetUser(id: string): Promise<BulkResult>
  on<T extends EventType | '*'>(event: T, listener: (event: QueueEvent) => void): () => void
  events(options?: { readonly queue?: string; readonly types?: readonly EventType[]; readonly signal?: AbortSignal }): AsyncIterable<QueueEvent>
  /** How the storage is. `persist`: asks the browser first to exempt this origin from eviction (only a page can). */
  storage(options?: { readonly persist?: boolean }): Promise<StorageHealth>
  /** Recounts and cross-checks where jobs are and what counts them. With `repair`, makes what does not fit together fit, in one transaction. */
  verify(options?: { readonly repair?: boolean }): Promise<VerifyReport>
  /** Every job that can still be read, from a database that may be damaged. */
  salvage(): Promise<SalvageReport>
  /** Deletes the database, with all jobs, and begins anew. */
  reset(): Promise<void>
  /** Stops claiming, gives back what has not started, waits up to `drainMs` (default 0) for what runs, tells the rest to stop and waits at most 2 s for that. A handler of the page that goes on keeps its job and the worker until it has ended. */
  close(options?: { readonly drainMs?: number }): Promise<void>
}

/** A request that is about to be sent, as plain data. */
export interface OutgoingRequest {
  readonly url: string
  readonly method: string
  readonly headers: Record<string, string>
  /** Absent for forms, which the browser writes. */
  readonly body?: string | Blob | ArrayBuffer
}

/** An answer, as plain data: JSON parsed, other text as a string. */
export interface Answer {
  readonly status: number
  readonly headers: Readonly<Record<string, string>>
  readonly body?: unknown
  /** The body is not whole: it had more than 64 KiB, or broke off. */
  readonly truncated?: true
}

/** `done`: the job is completed; `retry`: a failed attempt; `origin`: the origin is in trouble, its requests wait and none loses an attempt; `dead`: no later attempt can succeed. */
export type Classification = 'done' | 'retry' | 'origin' | 'dead'

/**
 * What the application has a say in. Each is called where the queue was opened, has 30 s, and may be async; one that throws fails the attempt. Requests that were
 * pushed where a hook is given are sent only where it is given too.
 */
export interface HttpHooks {
  /** Adds what must not be stored, such as `Authorization`: changes the request, or returns what is to be changed; its origin stays. */
  readonly beforeSend?: (request: OutgoingRequest, job: Job) => void | Partial<OutgoingRequest> | Promise<void | Partial<OutgoingRequest>>
  /** May overrule what an answer means; `afterMs`: when to try again, in ms from now, at most a day. Nothing returned: as the table in docs/requests.md says. */
  readonly classify?: (answer: Answer, job: Job) => undefined | Classification | { readonly kind: Classification; readonly afterMs?: number } | Promise<undefined | Classification | { readonly kind: Classification; readonly afterMs?: number }>
  /** After 401: gets new credentials, once for all requests to this origin in all tabs; they wait meanwhile, and lose no attempt. If it rejects they wait until `setUser` or `resume`. */
  readonly onUnauthorized?: (asked: { readonly origin: string }) => unknown
}

export interface NetworkOptions {
  /**
   * Says whether there is a network, for captive portals and a `navigator.onLine` that is wrong: a URL, relative to the page, whose answer 2xx, not redirected and no HTML, says yes;
   * or a function, called in the page, that resolves with true or false within 10 s. Asked when in doubt, by one tab; nothing that needs the network is begun meanwhile, nor while it says no.
   */
  readonly probe?: string | (() => boolean | Promise<boolean>)
}

export interface OpenOptions {
  readonly http?: HttpHooks
  readonly network?: NetworkOptions
  /** A Worker that calls `serve()`, a factory for one, or `false` to run the engine in this realm. Default: the built-in worker. */
  readonly worker?: Worker | (() => Worker) | false
  /** Whether commits wait for the device (`strict`, default) or only for the browser (`relaxed`). */
  readonly durability?: 'strict' | 'relaxed'
  /** `false`: this page pushes, looks and waits, but runs nothing: it sends no requests, and `process` and `pull` are refused. Default true. */
  readonly claims?: boolean
}

export type { Attempt, Backoff, Job, PushOptions, State }
