/** A thrown value as text that can be stored. */
import { UNREADABLE } from '../core/envelope.ts'
import type { JobError } from '../core/job.ts'
import { cut, LIMITS } from '../core/limits.ts'
import type { Result } from './runner.ts'

export function describeError(error: unknown): JobError {
  try { return describe(error) } catch { return { name: 'Error', message: UNREADABLE } }
}

function describe(error: unknown): JobError {
  if (!isErrorLike(error)) return { name: 'Error', message: cut(textOf(error), LIMITS.errorText) }
  return { name: error.name, message: cut(error.message, LIMITS.errorText), ...(error.stack ? { stack: cut(error.stack, LIMITS.errorText) } : {}) }
}

/** The end of an attempt whose result cannot be stored: the work was done, so its end must not be lost. */
export function withoutResult(error: unknown): Extract<Result, { type: 'complete' }> {
  const unstorable = describeError(error)
  return { type: 'complete', result: { unstorable: unstorable.message }, unstorable }
}

/** An error that was copied from another realm may have lost its class. */
const isErrorLike = (value: unknown): value is Error => typeof value === 'object' && value !== null && 'name' in value && 'message' in value && typeof value.name === 'string' && typeof value.message === 'string'

function textOf(thrownValue: unknown): string {
  if (typeof thrownValue === 'string') return thrownValue
  try { return JSON.stringify(thrownValue) ?? String(thrownValue) } catch { return Object.prototype.toString.call(thrownValue) }
}

/** What `fetch` throws where nobody answers, in any browser's words. */
export const isNetworkError = ({ name, message }: JobError): boolean => name === 'NetworkError' || (name === 'TypeError' && /fetch|network/i.test(message))

/** Nobody has said no. */
export const mayPass = (error: JobError): boolean => isNetworkError(error) || ['TimeoutError', 'AbortError'].includes(error.name)
