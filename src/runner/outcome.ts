/** What a thrown value means for its job. */
import { Cancel, RetryAfter, Snooze, Unrecoverable, type HoldfastError } from '../core/errors.ts'
import type { JobError } from '../core/job.ts'
import { cut, LIMITS } from '../core/limits.ts'
import type { Result } from './runner.ts'

export function describeError(error: unknown): JobError {
  if (!(error instanceof Error)) return { name: 'Error', message: cut(textOf(error), LIMITS.errorText) }
  return { name: error.name, message: cut(error.message, LIMITS.errorText), ...(error.stack ? { stack: cut(error.stack, LIMITS.errorText) } : {}) }
}

function textOf(thrownValue: unknown): string {
  if (typeof thrownValue === 'string') return thrownValue
  try { return JSON.stringify(thrownValue) ?? String(thrownValue) } catch { return Object.prototype.toString.call(thrownValue) }
}

/** By name, since an error may come from another copy of this library. */
export function thrown(error: unknown, aborted: HoldfastError | undefined): Result {
  // What a handler throws once it was told to stop is mostly "I was told to stop": the reason is worth more.
  const failure = describeError(aborted?.code === 'TIMEOUT' ? aborted : error)
  if (aborted && aborted.code !== 'TIMEOUT') return { type: 'release' }
  if (error instanceof Unrecoverable || failure.name === 'Unrecoverable') return { type: 'fail', error: failure, final: 'unrecoverable' }
  if (error instanceof RetryAfter) return { type: 'fail', error: failure, afterMs: Math.max(0, error.ms) }
  if (error instanceof Snooze) return { type: 'snooze', ms: Math.max(0, error.ms) }
  if (error instanceof Cancel) return { type: 'cancel', reason: error.reason }
  return { type: 'fail', error: failure }
}
