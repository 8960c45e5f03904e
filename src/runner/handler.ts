/** A user's handler as an attempt: what it is given, and what its end means. */
import { copyOf } from '../core/uncloneable.ts'
import { HoldfastError } from '../core/errors.ts'
import { checkSize, cut, LIMITS } from '../core/limits.ts'
import { checkPercent, checkStep } from '../core/rules.ts'
import type { Context, Handler } from '../queue.ts'
import { describeError, withoutResult } from './outcome.ts'
import type { Attempt, Execute, Result } from './runner.ts'

export function handlerAttempt(handlerOf: (name: string) => Handler<never> | undefined): Execute {
  return (attempt) => {
    const { job } = attempt.run
    const handler = handlerOf(job.name) as Handler | undefined
    if (!handler) return { event: { type: 'release' } }
    let value: unknown
    try { value = handler(job, new HandlerContext(attempt)) } catch (error) { return { event: thrown(error, attempt.aborted) } }
    if (typeof (value as PromiseLike<unknown> | undefined)?.then !== 'function') return { event: completed(value) }
    return Promise.resolve(value).then((result) => ({ event: completed(result) }), (error: unknown) => ({ event: thrown(error, attempt.aborted) }))
  }
}

class HandlerContext implements Context {
  readonly #attempt: Attempt
  #steps: Promise<Record<string, unknown>> | undefined
  readonly #running = new Map<string, Promise<unknown>>()
  constructor(attempt: Attempt) { this.#attempt = attempt }
  get signal(): AbortSignal { return this.#attempt.signal }
  get attempt(): number { return this.#attempt.run.job.failures + 1 }
  get queue(): string { return this.#attempt.run.job.queue }
  get parents(): Context['parents'] { return this.#attempt.run.job.parents ?? {} }
  // Getters, so that a handler may take these out of its context, and one that does not pays nothing.
  get progress(): Context['progress'] { return (percent, message) => { this.#progress(percent, message) } }
  get log(): Context['log'] { return (message) => { this.#log(message) } }
  get heartbeat(): Context['heartbeat'] { return () => this.#attempt.host.heartbeat(this.#attempt.key) }
  get step(): Context['step'] { return (name, fn) => this.#step(name, fn) }
  #progress(percent: number, message?: string): void {
    checkPercent('progress', percent)
    this.#attempt.add({ progress: percent, ...(message === undefined ? {} : { message: cut(String(message), LIMITS.logLine) }) })
  }
  #log(message: string): void {
    this.#attempt.add({ logs: [{ at: this.#attempt.host.clock.now(), message: cut(String(message), LIMITS.logLine) }] })
  }
  async #step<T>(name: string, fn: () => T | Promise<T>): Promise<T> {
    checkStep('step', name)
    const { host, key } = this.#attempt
    this.#steps ??= host.steps(key)
    const done = await this.#steps
    if (Object.hasOwn(done, name)) return done[name] as T
    // Called again before it has ended, it is still one step.
    const running = this.#running.get(name) ?? (async () => {
      const value = await fn()
      const made = copyOf('step', value, structuredClone)
      const stored = 'copy' in made ? made.copy : { unstorable: made.wrong }
      checkSize('step', stored, LIMITS.result)
      await host.storeStep(key, name, stored)
      done[name] = stored
      return value
    })().finally(() => { this.#running.delete(name) })
    this.#running.set(name, running)
    return running as Promise<T>
  }
}

function completed(value: unknown): Result {
  if (value === undefined) return { type: 'complete' }
  const made = copyOf('result', value, structuredClone)
  return 'copy' in made ? { type: 'complete', result: made.copy } : withoutResult(new HoldfastError('VALIDATION', made.wrong))
}

const LONGEST_MS = 100 * 365 * 86_400_000

/** What a thrown value means. By name, since an error may come from another copy of this library, or from the page. */
export function meaningOf(error: unknown): Result {
  const failure = describeError(error)
  const { ms, reason = failure.message } = (typeof error === 'object' && error !== null ? error : {}) as { ms?: unknown; reason?: unknown }
  const wait = typeof ms === 'number' && ms <= LONGEST_MS ? Math.max(0, ms) : undefined
  switch (failure.name) {
    case 'Unrecoverable': return { type: 'fail', error: failure, final: 'unrecoverable' }
    // A wait that is no number of ms is a mistake of the handler's: a failed attempt like any other.
    case 'RetryAfter': return { type: 'fail', error: failure, ...(wait !== undefined && { afterMs: wait }) }
    case 'Snooze': return wait === undefined ? { type: 'fail', error: failure } : { type: 'snooze', ms: wait }
    case 'Cancel': return { type: 'cancel', reason: cut(typeof reason === 'string' ? reason : failure.message, LIMITS.logLine) }
    default: return { type: 'fail', error: failure }
  }
}

/** What a handler throws once it was told to stop is mostly "I was told to stop": the reason is worth more. */
function thrown(error: unknown, aborted: HoldfastError | undefined): Result {
  if (!aborted) return meaningOf(error)
  return aborted.code === 'TIMEOUT' ? { type: 'fail', error: describeError(aborted) } : { type: 'release' }
}
