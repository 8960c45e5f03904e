/** What crosses between a page and its worker. Types only. */
import type { ErrorEnvelope } from '../core/errors.ts'
import type { IdRun } from '../core/id.ts'
import type { HookName } from '../core/job.ts'
import type { PushOptions } from '../core/push.ts'
import type { FetchOptions, ProcessOptions, QueueEvent } from '../queue.ts'
import type { RequestInput } from './request.ts'
import type { AttemptReport, Run, RunEnding } from '../runner/runner.ts'

/** The calls a page may make; anything else is refused. */
export type Method =
  | 'push' | 'pushMany' | 'pull' | 'ackMany' | 'fail' | 'heartbeat' | 'report' | 'release' | 'snooze' | 'waitFor' | 'cancel' | 'promote' | 'update' | 'retry' | 'remove'
  | 'retryAll' | 'removeAll' | 'get' | 'list' | 'stats' | 'queues' | 'configure' | 'pause' | 'resume' | 'setUser' | 'forgetUser'
  | 'process' | 'pauseProcessor' | 'stopProcessor' | 'idle' | 'steps' | 'storeStep' | 'storage' | 'listen' | 'user' | 'drain' | 'close'

export interface CallMessage { readonly t: 'call'; readonly id: number; readonly method: Method; readonly args: readonly unknown[] }
export type ToHost =
  | CallMessage
  /** The caller no longer waits. */
  | { readonly t: 'forget'; readonly id: number }
  | { readonly t: 'ended'; readonly processor: string; readonly endings: readonly RunEnding[] }
  | { readonly t: 'report'; readonly processor: string; readonly key: string; readonly report: AttemptReport }
  | { readonly t: 'online'; readonly online: boolean }
  | { readonly t: 'listen'; readonly on: boolean }
  | { readonly t: 'hooked'; readonly id: number; readonly reply: Reply }
  /** The page is being hidden for good or frozen, or is back. */
  | { readonly t: 'suspend'; readonly on: boolean }

/** A push as it crosses, as itself or as JSON. */
export interface PushInput { readonly name: string; readonly data: unknown; readonly options?: PushOptions | undefined; readonly http?: undefined }
/** A request as it crosses, by the same call; its options say what a push says beside them. */
export interface FetchInput {
  readonly data: unknown
  readonly options: FetchOptions | undefined
  readonly http: RequestInput
  /** Who was the user when it was made, where its body had to be read first; `null`: nobody. */
  readonly user?: string | null
}

export type Reply = { readonly value: unknown } | { readonly error: ErrorEnvelope }

export type ToPage = ToCaller | ToProcessor

export type ToCaller =
  | { readonly t: 'reply'; readonly id: number; readonly reply: Reply }
  /** The answers to pushes that were stored together: the n-th call's job is the n-th of the run. */
  | { readonly t: 'pushed'; readonly ids: readonly number[]; readonly run: IdRun }
  | { readonly t: 'events'; readonly events: readonly QueueEvent[] }
  /** A question to the application; answered by `hooked`. */
  | { readonly t: 'hook'; readonly id: number; readonly hook: HookName | 'probe'; readonly args: readonly unknown[] }
  /** The database's generation, to be remembered elsewhere. */
  | { readonly t: 'generation'; readonly generation: string }

export type ToProcessor =
  | { readonly t: 'run'; readonly processor: string; readonly slots: number; readonly runs: readonly Run[] }
  | { readonly t: 'abort'; readonly processor: string; readonly key: string; readonly reason: ErrorEnvelope }
  | { readonly t: 'giveBack'; readonly processor: string }
  | { readonly t: 'settled'; readonly processor: string; readonly keys: readonly string[] }

/** The messages of one microtask. The answers to the calls `heard` have come. */
export interface ToHostBatch { readonly heard: readonly number[]; readonly messages: readonly ToHost[] }

export interface Hello {
  /** The database's name. */
  readonly name: string
  /** The page as an owner of leases; it holds the lock of this name. */
  readonly client: string
  /** As they were given, functions as 0: they are called by `hook`. */
  readonly options: { readonly durability: 'strict' | 'relaxed'; readonly claims?: boolean; readonly http?: Readonly<Partial<Record<HookName, 0>>>; readonly network?: { readonly probe?: string | 0 } }
  /** What relative URLs are relative to. */
  readonly page: string
  readonly online: boolean
  /** The page is put aside or frozen. */
  readonly suspended: boolean
  /** The database's generation when this origin last used it. */
  readonly generation: string | undefined
  /** The page's processors: the worker adopts what they run before it does anything else. */
  readonly processors: readonly ProcessorWish[]
  /** Calls that a former worker may have applied. */
  readonly unsettled: readonly Unsettled[]
}

/** A call without an answer, and as whom the page last made it; without `by` it has not left the page. */
export interface Unsettled { readonly id: number; readonly method: Method; readonly by?: string | undefined }

/** What a page wants of a processor. */
export interface ProcessorWish { readonly id: string; readonly queue: string; readonly names: readonly string[] | undefined; readonly options: ProcessOptions; readonly paused: boolean }

export interface Welcome {
  /** The lock this worker holds for as long as it lives; '' where locks do not exist. */
  readonly alive: string
  /** Answers to `unsettled` calls that were applied. */
  readonly replies: ReadonlyArray<readonly [id: number, reply: Reply]>
}

/** What a page may call by Comlink. All else goes over the port: `ToHostBatch` one way, `ToPage[]` the other, since a call of Comlink's is two messages. */
export interface HostApi {
  connect(hello: Hello, port: MessagePort): Promise<Welcome | { readonly error: ErrorEnvelope }>
  /** Answers as long as the worker does. */
  ping(): void
}
