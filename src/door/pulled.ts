/** Jobs that are pulled and ended by hand: which leases this page holds. Loaded by the first pull. */
import { HoldfastError, invalid } from '../core/errors.ts'
import type { Job } from '../core/job.ts'
import type { BulkResult, FailResult, Queue } from '../queue.ts'
import type { Held } from '../store/operations.ts'
import type { Method } from './protocol.ts'
import { snapshot } from './snapshot.ts'

export type Ends = Pick<Queue, 'ack' | 'ackMany' | 'fail' | 'heartbeat' | 'progress' | 'release' | 'snooze'>
/** What a pull answers. */
export interface Claim { readonly box?: number; readonly token?: string; readonly jobs: readonly Job[] }
export interface Pulled extends Ends {
  /** Notes the leases of what was claimed. */
  taken(claim: Claim): Job[]
}

export function pulledJobs(request: (method: Method, args: readonly unknown[]) => Promise<unknown>): Pulled {
  const call = <T>(method: Method, ...args: readonly unknown[]): Promise<T> => request(method, args) as Promise<T>
  /** By job id. */
  const leases = new Map<string, Held>()
  const idOf = (job: Job | string, field = 'job'): string => {
    const id = typeof job === 'string' ? job : (job as Job | undefined)?.id
    if (typeof id !== 'string') throw invalid(field, 'must be a job or its id')
    return id
  }
  const leaseOf = (job: Job | string): Held => {
    const id = idOf(job)
    const held = leases.get(id)
    if (!held) throw new HoldfastError('STALE_LEASE', `No lease is held here on job ${id}`, { id })
    return held
  }
  /** Forgets a lease that is over, but not a newer one on the same job. */
  const forget = (id: string, held: Held): void => { if (leases.get(id) === held) leases.delete(id) }

  /** Ends a job by one call; its lease is over then, whatever came of it. */
  async function end<T>(job: Job | string, method: 'fail' | 'release' | 'snooze', ...args: readonly unknown[]): Promise<T> {
    const held = leaseOf(job)
    try {
      const result = await call<T>(method, held, ...args)
      forget(idOf(job), held)
      return result
    } catch (error) {
      if (error instanceof HoldfastError && error.code === 'STALE_LEASE') forget(idOf(job), held)
      throw error
    }
  }

  async function ackMany(list: ReadonlyArray<Job | string | { readonly job: Job | string; readonly result?: unknown }>): Promise<BulkResult> {
    if (!Array.isArray(list)) throw invalid('jobs', 'must be an array')
    const refused: Array<{ id: string; message: string }> = []
    const held = Array.from(list, (item, i) => {
      const { job, result } = typeof item === 'object' && item !== null && 'job' in item ? item : { job: item, result: undefined }
      const id = idOf(job, list.length > 1 ? `jobs[${i}]` : 'job')
      return { id, held: leases.get(id), result: snapshot(list.length > 1 ? `jobs[${i}].result` : 'result', result) }
    }).filter((one): one is typeof one & { held: Held } => {
      if (!one.held) refused.push({ id: one.id, message: 'No lease is held here' })
      return one.held !== undefined
    })
    const ended = held.length === 0 ? [] : await call<ReadonlyArray<{ readonly ok: boolean }>>('ackMany', held)
    held.forEach(({ id, held: lease }, i) => {
      forget(id, lease)
      if (!ended[i]?.ok) refused.push({ id, message: 'Its lease is over' })
    })
    return { done: list.length - refused.length, refused }
  }

  return {
    ackMany,
    taken({ box, token, jobs }) {
      if (box !== undefined && token !== undefined) for (const job of jobs) leases.set(job.id, { box, token, seq: job.seq })
      return [...jobs]
    },
    async ack(job, result) {
      leaseOf(job)
      const { refused } = await ackMany([{ job, result }])
      if (refused[0]) throw new HoldfastError('STALE_LEASE', refused[0].message, { id: refused[0].id })
    },
    async fail(job, error) { return end<FailResult>(job, 'fail', readable(error)) },
    async heartbeat(job) { await call('heartbeat', leaseOf(job)) },
    async progress(job, percent, message) { await call('report', leaseOf(job), snapshot('percent', percent), snapshot('message', message)) },
    async release(job) { await end(job, 'release') },
    async snooze(job, ms) { await end(job, 'snooze', snapshot('ms', ms)) },
  }
}

/** What is thrown may be anything; its attempt ends all the same. */
function readable(error: unknown): unknown {
  try {
    const { name, message, stack, ms } = error as Error & { ms?: number }
    return structuredClone(error instanceof Error ? { name, message, stack, ms } : error)
  } catch { return 'An unreadable error' }
}
