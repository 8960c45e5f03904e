/** What crosses between the main process, the engine page and the processes of Node handlers. Types only. */
import type { ErrorEnvelope } from '../core/errors.ts'
import type { Job, QueueEvent } from '../queue.ts'

/** The handle's methods that cross as they are. */
export type RemoteMethod =
  | 'push' | 'pushMany' | 'fetch' | 'pull' | 'ack' | 'ackMany' | 'fail' | 'heartbeat' | 'progress' | 'release' | 'snooze' | 'waitFor' | 'cancel' | 'promote' | 'update' | 'retry' | 'remove'
  | 'retryAll' | 'removeAll' | 'get' | 'list' | 'stats' | 'queues' | 'configure' | 'pause' | 'resume' | 'setUser' | 'forgetUser' | 'storage' | 'verify' | 'salvage' | 'reset'

export type Reply = { readonly value: unknown } | { readonly error: ErrorEnvelope }

/** Main to the engine page. */
export type ToEngine =
  | { readonly t: 'call'; readonly id: number; readonly method: RemoteMethod; readonly args: readonly unknown[] }
  /** The caller no longer waits. */
  | { readonly t: 'forget'; readonly id: number }
  | { readonly t: 'listen'; readonly on: boolean }
  | { readonly t: 'network'; readonly online: boolean }
  /** The device woke up: the network may be back. */
  | { readonly t: 'woke' }
  /** A process with handlers is there; its port comes with this. */
  | { readonly t: 'handlers'; readonly id: number; readonly queue: string; readonly concurrency: number }
  /** That process has ended; `meant`: main ended it, so its attempts have not failed. */
  | { readonly t: 'gone'; readonly id: number; readonly meant: boolean; readonly why: string }
  | { readonly t: 'close'; readonly drainMs: number }

/** The engine page to main. */
export type ToMain =
  | { readonly t: 'reply'; readonly id: number; readonly reply: Reply }
  | { readonly t: 'events'; readonly events: readonly QueueEvent[] }
  /** An attempt in this process does not heed its signal. */
  | { readonly t: 'stuck'; readonly id: number }
  /** Nothing runs any more, and what was given back is stored. */
  | { readonly t: 'closed' }

/** A thrown value: an error's fields, or what else it was. */
export type Thrown = { readonly name: string; readonly message: string; readonly stack?: string; readonly ms?: number; readonly reason?: string }
export type Outcome = { readonly value: unknown } | { readonly thrown: Thrown }

/** The engine page to a process of handlers. `key` is an attempt, `ask` a question of it. */
export type ToNode =
  | { readonly t: 'run'; readonly key: number; readonly job: Job; readonly attempt: number; readonly queue: string }
  | { readonly t: 'abort'; readonly key: number; readonly reason: Thrown & { readonly code?: string } }
  /** This step has not been done: do it. */
  | { readonly t: 'do'; readonly key: number; readonly ask: number }
  | { readonly t: 'answer'; readonly key: number; readonly ask: number; readonly outcome: Outcome }

/** A process of handlers to the engine page. */
export type FromNode =
  /** `names` absent: one handler for all jobs. */
  | { readonly t: 'ready'; readonly names?: readonly string[] }
  | { readonly t: 'progress'; readonly key: number; readonly percent: number; readonly message?: string }
  | { readonly t: 'log'; readonly key: number; readonly message: string }
  | { readonly t: 'heartbeat'; readonly key: number; readonly ask: number }
  | { readonly t: 'step'; readonly key: number; readonly ask: number; readonly name: string }
  | { readonly t: 'did'; readonly key: number; readonly ask: number; readonly outcome: Outcome }
  | { readonly t: 'ended'; readonly key: number; readonly outcome: Outcome }

/** The names that both ends of the preload know. */
export const CONNECT = 'holdfast:connect'
export const PORT = 'holdfast:port'
export const ENGINE_ARGUMENT = '--holdfast-engine'
/** Where the engine page's worker finds main, at its own origin. */
export const VIA_WORKER = '/.holdfast/worker.js'
export const VIA_SEND = '/.holdfast/send'
/** Sent with what main is to send: what a page loads, as a document or a script, cannot carry it. */
export const VIA_ASK = 'holdfast-via'
/** Status, type and headers of what came back. */
export const VIA_ANSWER = 'holdfast-answer'
/** How the engine page finds its keyhole. */
export const BRIDGE = 'holdfastEngine'
export interface Bridge { connect(name: string): void }
