/** Who waits for the ends of jobs, in this realm. Commits and other tabs say when to look; where they cannot, looking now and then tells. */
import { HoldfastError } from '../core/errors.ts'
import { isFinal, type Job } from '../core/job.ts'
import type { Clock } from '../platform/clock.ts'
import type { Connection } from '../store/connection.ts'
import { notFound } from '../store/operations.ts'
import { getJob, wasGiven } from '../store/reads.ts'

const POLL_MS = 1000

export interface Waiters {
  readonly any: boolean
  /** Resolves with the job once it is final. */
  wait(id: string, signal: AbortSignal): Promise<Job>
  /** It is final. */
  ended(job: Job): void
  /** Something happened to it, or may have happened to any. */
  look(id?: string): void
  /** Nobody is to wait any more. */
  close(): void
}

/** `first` is called when somebody waits where nobody did. */
export function createWaiters(connection: () => Connection, clock: Clock, first: () => void): Waiters {
  const waiters = new Map<string, Set<(job?: Job) => void>>()
  const closing = new AbortController()

  function wait(id: string, given: AbortSignal): Promise<Job> {
    const signal = AbortSignal.any([given, closing.signal])
    return new Promise((resolve, reject) => {
      signal.throwIfAborted()
      const set = waiters.get(id) ?? new Set()
      const done = (finish: () => void): void => {
        set.delete(settle)
        if (set.size === 0 && waiters.get(id) === set) waiters.delete(id)
        stopPolling()
        signal.removeEventListener('abort', aborted)
        finish()
      }
      const settle = (job?: Job): void => {
        if (job) { done(() => { resolve(job) }); return }
        getJob(connection(), id).then(async (found) => {
          if (!found) {
            const given = await wasGiven(connection(), id)
            done(() => { reject(notFound(id, given)) })
          } else if (isFinal(found.state)) done(() => { resolve(found) })
        }).catch(() => {})
      }
      const aborted = (): void => { done(() => { reject(signal.reason as Error) }) }
      let stopPolling = (): void => {}
      const poll = (): void => { stopPolling = clock.after(POLL_MS, () => { settle(); if (set.has(settle)) poll() }) }
      signal.addEventListener('abort', aborted)
      if (waiters.size === 0) first()
      waiters.set(id, set)
      set.add(settle)
      poll()
      settle()
    })
  }

  return {
    wait,
    get any() { return waiters.size > 0 },
    ended(job) { for (const settle of waiters.get(job.id) ?? []) settle(job) },
    look(id) { for (const set of id === undefined ? waiters.values() : [waiters.get(id) ?? []]) for (const settle of set) settle() },
    close() { closing.abort(new HoldfastError('CLOSED', 'The queue was closed')) },
  }
}
