/** Who waits for the ends of jobs, in this realm. Commits and other tabs say when to look; where they cannot, looking now and then tells. */
import { HoldfastError } from '../core/errors.ts'
import { isFinal, type Job } from '../core/job.ts'
import type { Clock } from '../platform/clock.ts'
import type { Connection } from '../store/connection.ts'
import { notFound } from '../store/operations.ts'
import { getJobs, wasGiven } from '../store/reads.ts'

const POLL_MS = 1000
/** Of the time no more than a tenth goes by with looking, however many wait. */
const REST = 9

export interface Waiters {
  readonly any: boolean
  /** Resolves with the job once it is final. The signal is this call's own: it is listened to for as long as it lives. */
  wait(id: string, signal: AbortSignal): Promise<Job>
  /** It is final. */
  ended(job: Job): void
  /** Something happened to it, or may have happened to any. */
  look(id?: string): void
  /** Nobody is to wait any more. */
  close(): void
}

interface Waiter { resolve(job: Job): void; reject(error: Error): void }

/** `first` is called when somebody waits where nobody did. */
export function createWaiters(connection: () => Connection, clock: Clock, first: () => void): Waiters {
  const waiters = new Map<string, Set<Waiter>>()
  let closed: HoldfastError | undefined
  /** To be looked at, a few together: each look holds up whoever writes. */
  const due = new Set<string>()
  let looking = false
  let stopPolling: (() => void) | undefined

  function wait(id: string, signal: AbortSignal): Promise<Job> {
    return new Promise<Job>((resolve, reject) => {
      if (closed) throw closed
      signal.throwIfAborted()
      if (waiters.size === 0) first()
      const set = waiters.get(id) ?? new Set()
      waiters.set(id, set)
      const waiter = { resolve, reject }
      set.add(waiter)
      signal.addEventListener('abort', () => {
        set.delete(waiter)
        if (set.size === 0 && waiters.get(id) === set) waiters.delete(id)
        reject(signal.reason as Error)
      })
      look(id)
    })
  }

  function settle(id: string, tell: (waiter: Waiter) => void): void {
    const set = waiters.get(id)
    waiters.delete(id)
    for (const waiter of set ?? []) tell(waiter)
  }

  function look(id?: string): void {
    for (const one of id === undefined ? waiters.keys() : [id]) if (waiters.has(one)) due.add(one)
    if (!looking && due.size > 0) void lookAtAll()
  }

  async function lookAtAll(): Promise<void> {
    looking = true
    const began = clock.awake()
    // What cannot be read now is looked at later.
    while (due.size > 0 && !closed) await lookAtSome().catch(() => {})
    looking = false
    stopPolling?.()
    stopPolling = waiters.size > 0 && !closed ? clock.after(Math.max(POLL_MS, REST * (clock.awake() - began)), () => { look() }) : undefined
  }

  async function lookAtSome(): Promise<void> {
    // Whatever happens to them from here on has them looked at again.
    const ids = [...due]
    due.clear()
    const jobs = await getJobs(connection(), ids)
    for (const id of ids.slice(jobs.length)) due.add(id)
    for (const [id, job] of jobs) {
      if (job && isFinal(job.state)) settle(id, ({ resolve }) => { resolve(job) })
      else if (!job) {
        const error = notFound(id, await wasGiven(connection(), id))
        settle(id, ({ reject }) => { reject(error) })
      }
    }
  }

  return {
    wait, look,
    get any() { return waiters.size > 0 },
    ended(job) { settle(job.id, ({ resolve }) => { resolve(job) }) },
    close() {
      stopPolling?.()
      const reason = new HoldfastError('CLOSED', 'The queue was closed')
      closed = reason
      for (const id of waiters.keys()) settle(id, ({ reject }) => { reject(reason) })
    },
  }
}
