import { parentIds } from './family.ts'
import type { Backoff, HttpRequest, Job, OnParentDead } from './job.ts'
import { present } from './present.ts'

export interface PushOptions {
  /** Integer, higher first. Default 0. */
  readonly priority?: number
  /** Not before now + this many ms. Excludes `runAt`. */
  readonly delayMs?: number
  /** Not before this time (epoch ms). */
  readonly runAt?: number
  /** Failures until it is dead, ≥ 1. Default 3; requests 20. */
  readonly maxAttempts?: number
  /** Wait between attempts. Default exponential from 1 s, at most 1 h, jitter 0.2. */
  readonly backoff?: Partial<Backoff>
  /** An attempt's `ctx.signal` is aborted after this many ms, an upload's when nothing was sent for so long; its answer has as long. Default 300 000; requests 60 000. */
  readonly timeoutMs?: number
  /** Not started within this many ms: dead, reason `expired`. Default: never. */
  readonly ttlMs?: number
  /** Within its queue the jobs of a group run one at a time, in order; other groups run beside it. ≤ 1024 bytes. */
  readonly group?: string
  /** What becomes of its group when it dies: `hold` it until the job is repaired or removed (default for requests), or `continue` (default otherwise). */
  readonly onGroupDead?: 'hold' | 'continue'
  /** The ids of jobs that must have completed before it runs, with names for their results or without: then an id is its name. ≤ 100. One that has ended already counts as if it ended now. */
  readonly dependsOn?: readonly string[] | Readonly<Record<string, string>>
  /** What becomes of it when one of those dies: `cascade` (default): it dies too, reason `parent`; `cancel`: it is cancelled; `run`: it runs all the same. When one is cancelled or removed it is cancelled, unless it is to `run`. */
  readonly onParentDead?: OnParentDead
  /** ≤ 32 of ≤ 128 bytes. */
  readonly tags?: readonly string[]
  /** Cloneable, ≤ 64 KiB; readable even where data is encrypted. */
  readonly metadata?: unknown
  /** To the front of its priority. Default false. */
  readonly lifo?: boolean
  /** Keep a request's answer body in its result; jobs that depend on it get it in any case. */
  readonly keepResult?: boolean
  readonly removeOnComplete?: boolean
  readonly removeOnFail?: boolean
}

/** A checked push, as it crosses to the store. */
export interface NewJob {
  readonly name: string
  readonly data: unknown
  readonly options?: PushOptions | undefined
  readonly http?: HttpRequest
  /** Whose it is, if not the present user's; `null`: nobody's. */
  readonly user?: string | null
  /** Bytes of `data` without its binary parts, and of those. */
  readonly size: number
  readonly binary: number
}

const MAX_ATTEMPTS = { job: 3, http: 20 } as const
const TIMEOUT_MS = { job: 300_000, http: 60_000 } as const
const LARGE_BYTES = 16_384

/** Of a queue that has no defaults. */
export const NO_OPTIONS: PushOptions = {}

/** Whether data is kept apart from its job, so that it is not rewritten when the job moves. */
export const isLarge = (size: number, binary: number): boolean => binary > 0 || size > LARGE_BYTES

/** What options say about a job, as its fields. */
export const optionFields = ({ priority, maxAttempts, timeoutMs, backoff, group, onGroupDead, onParentDead, tags, metadata, keepResult, removeOnComplete, removeOnFail }: PushOptions): Partial<Job> => present({
  priority, maxAttempts, timeoutMs, backoff, group, onGroupDead, onParentDead, tags: tags?.length ? tags : undefined, metadata,
  keepResult: keepResult || undefined, removeOnComplete: removeOnComplete || undefined, removeOnFail: removeOnFail || undefined,
})

/** When options want a job to run, if not at once (epoch ms). */
export const runAtOf = (o: PushOptions, now: number): number | undefined => o.runAt ?? (o.delayMs === undefined ? undefined : now + o.delayMs)

/** The job a push makes, in the state in which it begins. Its own options come before the queue's defaults, and those before the built-in ones. */
export function createJob(queue: string, item: NewJob, defaults: PushOptions, seq: number, id: string, now: number): Job {
  const kind = item.http ? 'http' : 'job'
  const plain = {
    id, seq, queue, name: item.name, data: item.data, state: 'waiting' as const, position: seq, priority: 0, createdAt: now, failures: 0, stalls: 0,
    maxAttempts: MAX_ATTEMPTS[kind], timeoutMs: TIMEOUT_MS[kind], size: item.size,
  }
  const large = isLarge(item.size, item.binary)
  // Thousands may come at once that say no more than this.
  if (item.options === undefined && defaults === NO_OPTIONS && !large && !item.http) return plain
  const options = { ...defaults, ...item.options }
  const runAt = runAtOf(options, now)
  const later = runAt !== undefined && runAt > now
  return {
    ...plain, state: later ? 'delayed' : 'waiting', position: options.lifo ? -seq : seq,
    ...optionFields(options),
    ...present({
      large: large || undefined, runAt: later ? runAt : undefined, since: later && options.runAt === undefined ? now : undefined,
      expiresAt: options.ttlMs === undefined ? undefined : now + options.ttlMs, http: item.http, dependsOn: options.dependsOn && parentIds(options.dependsOn),
    }),
  }
}
