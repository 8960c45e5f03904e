/** The state machine: every state × event, as a table. Pure: what happens is decided here, who stores it is not. */
import { backoffDelay } from './backoff.ts'
import { fingerprint } from './fingerprint.ts'
import { HoldfastError } from './errors.ts'
import type { Attempt, Job, JobError, State } from './job.ts'
import { present } from './present.ts'
import { optionFields, runAtOf, type PushOptions } from './push.ts'

export type JobEvent =
  /** A realm takes it to run it. */
  | { readonly type: 'claim' }
  /** Its `runAt` has come. */
  | { readonly type: 'due' }
  /** A person wants it now. */
  | { readonly type: 'promote' }
  /** Another job comes first. */
  | { readonly type: 'block' }
  /** What blocked it is over. */
  | { readonly type: 'unblock' }
  /** A parent that it waits for has ended, and not well. */
  | { readonly type: 'orphan'; readonly by: 'death' | 'cancel' }
  /** `full`: what its children are given, where that is more than is kept; `unstorable`: why the result is but a marker. */
  | { readonly type: 'complete'; readonly result?: unknown; readonly full?: unknown; readonly unstorable?: JobError }
  /** `random` in [0, 1) is for the backoff's jitter; `afterMs` overrides the backoff; `final` names why no attempt may follow, `unanswered` that there was no answer to learn from. */
  | { readonly type: 'fail'; readonly error: JobError; readonly owner: string; readonly random: number; readonly afterMs?: number; readonly final?: 'unrecoverable' | 'invalid'; readonly unanswered?: true }
  | { readonly type: 'snooze'; readonly ms: number }
  /** Given back by whoever holds it, unstarted or excused; `unanswered`: it may have reached its server all the same; `refused`: the box in which that answered 401, or that it answered otherwise. */
  | { readonly type: 'release'; readonly unanswered?: true; readonly refused?: number | false }
  /** Its lease was lost: the owner died or fell silent. */
  | { readonly type: 'stall'; readonly owner: string; readonly maxStalls: number }
  | { readonly type: 'cancel'; readonly reason: string }
  /** Its `expiresAt` has come. */
  | { readonly type: 'expire' }
  /** What is kept apart of it can no longer be read. */
  | { readonly type: 'lose' }
  | { readonly type: 'retry'; readonly edit?: { readonly data: unknown }; readonly options?: PushOptions }
  | { readonly type: 'update'; readonly patch: { readonly data?: unknown; readonly priority?: number; readonly runAt?: number } }
  | { readonly type: 'remove' }

export type JobEventType = JobEvent['type']

/** `moved`: this is the job now. `gone`: it leaves the database. `ignored`: nothing changes, and that is fine. `refused`: an `INVALID_STATE`. */
export type Outcome =
  | { readonly kind: 'moved'; readonly job: Job }
  | { readonly kind: 'gone'; readonly job: Job }
  | { readonly kind: 'ignored' }
  | { readonly kind: 'refused' }

type EventOf<T extends JobEventType> = Extract<JobEvent, { type: T }>
type Cell<T extends JobEventType> = (job: Job, event: EventOf<T>, now: number) => Outcome
type Row = { readonly [T in JobEventType]: Cell<T> }

const IGNORED: Outcome = { kind: 'ignored' }
const REFUSED: Outcome = { kind: 'refused' }
const ignore = (): Outcome => IGNORED
const refuse = (): Outcome => REFUSED

const MAX_ATTEMPTS_KEPT = 20

const moved = (job: Job): Outcome => ({ kind: 'moved', job })

/** A copy in `state`, without the fields that belong to another state. */
function enter(job: Job, state: State, patch: Partial<Job> = {}): Job {
  const { runAt: _runAt, since: _since, startedAt: _startedAt, endedAt: _endedAt, cancelRequested: _cancel, ...rest } = job
  return { ...rest, ...patch, state }
}

const toWaiting = (job: Job): Outcome => moved(enter(job, 'waiting'))
/** `since`: when the wait began, if it is a span of time. */
const toDelayed = (job: Job, runAt: number, now: number, since?: number): Job => runAt > now ? enter(job, 'delayed', present({ runAt, since })) : enter(job, 'waiting')
const wait = (job: Job, ms: number, now: number): Job => toDelayed(job, now + ms, now, now)

function logAttempt(job: Job, owner: string, error: JobError, now: number): readonly Attempt[] {
  const attempt: Attempt = { startedAt: job.startedAt ?? now, endedAt: now, error, owner }
  return [...(job.attempts ?? []), attempt].slice(-MAX_ATTEMPTS_KEPT)
}

function die(job: Job, reason: string, error: JobError, now: number, patch: Partial<Job> = {}): Outcome {
  const dead = enter(job, 'dead', { ...patch, reason, endedAt: now, fingerprint: fingerprint(error) })
  return job.removeOnFail ? { kind: 'gone', job: dead } : moved(dead)
}

/** A stopped job ends here, however its handler ended: the decision to stop it came first. */
function cancelled(job: Job, reason: string, now: number, remove = false): Outcome {
  const ended = enter(job, 'cancelled', { reason, endedAt: now })
  return remove ? { kind: 'gone', job: ended } : moved(ended)
}

/** Runs `otherwise` unless a stop was requested while the job was active. */
const unlessCancelled = <T extends JobEventType>(otherwise: Cell<T>): Cell<T> => (job, event, now) =>
  job.cancelRequested ? cancelled(job, job.cancelRequested.reason, now, job.cancelRequested.remove) : otherwise(job, event, now)

const complete: Cell<'complete'> = (job, { result }, now) => {
  const done = enter(job, 'completed', present({ endedAt: now, startedAt: job.startedAt, result }))
  return job.removeOnComplete ? { kind: 'gone', job: done } : moved(done)
}

const fail: Cell<'fail'> = ({ refused: _refused, ...job }, { error, owner, random, afterMs, final, unanswered }, now) => {
  const failures = job.failures + 1
  const patch = { failures, attempts: logAttempt(job, owner, error, now), ...(unanswered && { unanswered }) }
  if (final) return die(job, final, error, now, patch)
  if (failures >= job.maxAttempts) return die(job, unanswered ? 'no-answer' : 'failed', error, now, patch)
  return moved(wait({ ...job, ...patch }, afterMs ?? backoffDelay(job.backoff, failures, random), now))
}

const stall: Cell<'stall'> = (job, { owner, maxStalls }, now) => {
  const error = { name: 'StalledError', message: `Its lease was lost while ${owner} ran it` }
  const patch = { stalls: job.stalls + 1, attempts: logAttempt(job, owner, error, now) }
  return patch.stalls > maxStalls ? die(job, 'stalled', error, now, patch) : moved(enter(job, 'waiting', patch))
}

const expire: Cell<'expire'> = (job, _event, now) => die(job, 'expired', { name: 'ExpiredError', message: 'It was not started in time' }, now)

const lose: Cell<'lose'> = (job, _event, now) => die(job, 'invalid', { name: 'DataLostError', message: 'Its stored data was lost: the browser cannot read it any more' }, now)

const orphan: Cell<'orphan'> = (job, { by }, now) =>
  by === 'cancel' ? cancelled(job, 'parent', now) : die(job, 'parent', { name: 'ParentError', message: 'A job that it depends on is dead' }, now)

const cancelNow: Cell<'cancel'> = (job, { reason }, now) => cancelled(job, reason, now)

/** A running job is asked to stop, and ends when its handler does. */
const requestCancel = (reason: string, remove: boolean) => (job: Job): Outcome =>
  job.cancelRequested && (job.cancelRequested.remove || !remove) ? IGNORED
    : moved({ ...job, cancelRequested: { reason: job.cancelRequested?.reason ?? reason, remove } })

const gone: Cell<'remove'> = (job) => ({ kind: 'gone', job })

/** With other data it is another request, under another key, of which no server has heard. */
const withData = ({ unanswered: _unanswered, ...job }: Job, data: unknown): Job => ({ ...job, data, revision: (job.revision ?? 0) + 1 })

const retry: Cell<'retry'> = (job, { edit, options = {} }, now) => {
  const { result: _result, refused: _refused, reason: _reason, fingerprint: _fingerprint, progress: _progress, progressMessage: _message, expiresAt: _expiresAt, ...rest } = job
  // What an option says is set anew, or no longer so.
  const kept = Object.fromEntries(Object.entries(rest).filter(([field]) => options[field as keyof PushOptions] === undefined)) as unknown as Job
  const placed = options.lifo ? { ...kept, position: -job.seq } : kept
  const fresh = edit ? withData(placed, edit.data) : placed
  return moved(toDelayed({ ...fresh, failures: 0, stalls: 0, ...optionFields(options), ...present({ expiresAt: options.ttlMs && now + options.ttlMs }) }, runAtOf(options, now) ?? now, now, options.delayMs === undefined ? undefined : now))
}

const update: Cell<'update'> = (job, { patch: { data, priority, runAt } }, now) => {
  const edited: Job = { ...(data === undefined ? job : withData(job, data)), ...present({ priority }) }
  if (job.state === 'blocked') return moved(runAt === undefined ? edited : { ...edited, runAt })
  const due = runAt ?? job.runAt
  return moved(due === undefined ? edited : toDelayed(edited, due, now, runAt === undefined ? job.since : undefined))
}

const unblock: Cell<'unblock'> = (job, _event, now) => moved(toDelayed(job, job.runAt ?? now, now, job.since))

const due: Cell<'due'> = (job, _event, now) => {
  const { runAt = now, since = now } = job
  // A wait that begins in the future was begun before the clock was set back.
  if (since > now) return moved(wait(job, runAt - since, now))
  return runAt > now ? IGNORED : toWaiting(job)
}

const block: Cell<'block'> = (job) => moved(enter(job, 'blocked', present({ runAt: job.runAt, since: job.since })))

const ended: Omit<Row, 'cancel'> = {
  claim: refuse, due: ignore, promote: refuse, block: refuse, unblock: ignore, orphan: ignore, complete: refuse, fail: refuse, snooze: refuse, release: refuse, stall: refuse,
  expire: ignore, lose: ignore, retry, update: refuse, remove: gone,
}
const unstarted = {
  orphan: ignore, complete: refuse, fail: refuse, snooze: refuse, release: refuse, stall: refuse, retry: refuse, cancel: cancelNow, expire, lose, update, remove: gone,
} as const

/** The table. A row names where the job is, a column what happens to it. */
export const TABLE: { readonly [S in State]: Row } = {
  waiting: {
    ...unstarted, due: ignore, promote: ignore, block, unblock: ignore,
    claim: (job, _event, now) => moved(enter(job, 'active', { startedAt: now })),
  },
  delayed: { ...unstarted, claim: refuse, due, promote: toWaiting, block, unblock: ignore },
  blocked: { ...unstarted, claim: refuse, due: ignore, promote: refuse, block: ignore, unblock, orphan },
  active: {
    claim: refuse, due: ignore, promote: refuse, block: refuse, unblock: ignore, orphan: ignore, expire: ignore, lose: ignore, retry: refuse, update: refuse,
    complete: unlessCancelled(complete),
    fail: unlessCancelled(fail),
    snooze: unlessCancelled((job, { ms }, now) => moved(wait(job, ms, now))),
    release: unlessCancelled(({ refused: before, ...job }, { unanswered, refused = before }) => toWaiting({ ...job, ...present({ unanswered, refused: refused === false ? undefined : refused }) })),
    stall: unlessCancelled(stall),
    cancel: (job, { reason }) => requestCancel(reason, false)(job),
    remove: (job) => requestCancel('removed', true)(job),
  },
  completed: { ...ended, cancel: refuse },
  cancelled: { ...ended, cancel: ignore },
  dead: { ...ended, cancel: refuse },
}

/** What becomes of `job` when `event` happens at `now` (epoch ms). Total: refusals are outcomes too. */
export function transition(job: Job, event: JobEvent, now: number): Outcome {
  const cell = TABLE[job.state][event.type] as Cell<JobEventType>
  return cell(job, event, now)
}

/** The error for a refused cell. */
export const invalidState = (job: Job, event: JobEventType): HoldfastError =>
  new HoldfastError('INVALID_STATE', `Job ${job.id} is ${job.state}, so it cannot ${event}`, { id: job.id, state: job.state, event })
