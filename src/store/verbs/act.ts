/** What a person does to one job, wherever it is. Each looks up by index, so it needs a transaction of its own. */
import { checkBody } from '../../core/body.ts'
import { isHoldfastError } from '../../core/envelope.ts'
import { isFinal, type Job } from '../../core/job.ts'
import { laneOf } from '../../core/lane.ts'
import type { Size } from '../../core/limits.ts'
import { isLarge } from '../../core/push.ts'
import { invalidState, transition, type JobEvent } from '../../core/transition.ts'
import type { BulkResult } from '../../queue.ts'
import { lean } from '../packing.ts'
import { enter, eventOf, find, forget, forgetExpiry, forgetSteps, hasEnded, leave, noteExpiry, notFound } from '../rooms.ts'
import { forgetMove, groupOf, joinGroup, leaveGroup } from './groups.ts'
import { blocked, isAwaited, meet, parentsLeft } from './parents.ts'
import type { Work } from '../work.ts'

export interface ActOptions {
  readonly ifNotStarted?: boolean
  /** The job as it was last seen. */
  readonly seen?: Job
  /** The size of edited data. */
  readonly edited?: Size
}

/** Lets `event` happen to job `seq`, wherever it is. Throws when there is no such job or its state refuses. */
export async function act(work: Work, id: string, seq: number, event: JobEvent, options: ActOptions = {}): Promise<Job> {
  const { seen } = options
  const place = await find(work, seq, seen && { queue: seen.queue, lane: laneOf(seen), job: seen })
  if (!place || place.job.id !== id) throw notFound(id, seq < work.meta.next)
  const { job } = place
  const active = place.room === 'leases' ? { ...job, state: 'active' as const } : job
  if (options.ifNotStarted && place.room === 'leases') throw invalidState(active, event.type)
  // One that had ended, and runs again by now, is not what was meant.
  if (seen && isFinal(seen.state) && seen.state !== active.state) {
    if (event.type === 'retry' && !isFinal(active.state)) return active
    throw invalidState(active, event.type)
  }
  const outcome = transition(active, event, work.now)
  if (outcome.kind === 'refused') throw invalidState(active, event.type)
  if (outcome.kind === 'ignored') return active
  if (options.edited && outcome.job.http) checkBody('data', outcome.job.http.body, outcome.job.data)
  if (place.room === 'leases') {
    const { cancelRequested } = outcome.job
    const lease = await work.get('leases', place.lease.box)
    if (lease && cancelRequested) work.put('leases', lease.box, { ...lease, cancels: { ...lease.cancels, [seq]: cancelRequested } })
    work.summons.add(place.lease.owner)
    return active
  }
  const parents = event.type === 'retry' ? await parentsLeft(work, outcome.job) : []
  let row = await leave(work, await work.queue(job.queue), place)
  if (outcome.kind === 'moved' && isFinal(outcome.job.state)) { forgetSteps(work, outcome.job); forgetExpiry(work, job) }
  const changed = options.edited ? withEdited(work, outcome.job, options.edited) : lean(outcome.job)
  // Put into another group, it holds up the one that it was in no longer.
  if (event.type === 'retry' && groupOf(changed) !== groupOf(job)) row = await leaveGroup(work, row, job, true)
  const next = event.type === 'retry' ? blocked(work, await joinGroup(work, changed)) : changed
  if (event.type === 'retry') noteExpiry(work, next)
  if (next.position !== job.position) forgetMove(work, job)
  if (outcome.kind === 'gone') { forget(work, job); work.emit('removed', job); if (isFinal(job.state) === false) work.final({ ...job, state: 'cancelled', reason: 'removed' }) }
  else row = await enter(work, row, next)
  if (outcome.kind === 'gone' || isFinal(next.state)) row = await leaveGroup(work, row, next, outcome.kind === 'gone')
  if (outcome.kind === 'moved') work.emit(event.type === 'retry' ? 'retrying' : eventOf(next.state), next, { runAt: next.runAt })
  work.putQueue(row)
  if (event.type === 'retry') {
    await meet(work, seq, parents)
    await revive(work, seq)
  }
  return active
}

/** Those that the end of a job took along are tried again with it; not one that has lost another parent too. */
async function revive(work: Work, parent: number): Promise<void> {
  if (!isAwaited(work, parent)) return
  for (const [child] of await work.tx.keysBy('parents', 'parent', parent)) {
    const place = await find(work, child)
    const job = place && await hasEnded(work, place)
    if (job?.reason !== 'parent' || !job.waitsFor?.includes(parent)) continue
    // It is refused before anything is changed.
    try { await act(work, job.id, child, { type: 'retry' }) } catch (error) { if (!isHoldfastError(error)) throw error }
  }
}

/** Stores edited data: apart when it is large, or was. */
function withEdited(work: Work, job: Job, { bytes, binary }: Size): Job {
  if (!job.large && !isLarge(bytes, binary)) return { ...job, size: bytes }
  work.put('payloads', job.seq, { seq: job.seq, data: job.data })
  return { ...job, size: bytes, large: true, data: undefined }
}

/** Others wait no longer than this. */
const BATCH_MS = 100

/** The same to many jobs, each of them once and by itself: those that refuse are named, the others done. `met`: how many of the list it came to. */
export async function actMany(work: Work, jobs: readonly Job[], event: JobEvent): Promise<BulkResult & { readonly met: number }> {
  const until = performance.now() + BATCH_MS
  const refused: Array<{ id: string; message: string }> = []
  const seqs = new Set<number>()
  let met = 0
  for (const job of jobs) {
    if (met > 0 && performance.now() > until) break
    met++
    const { id, seq } = job
    if (seqs.has(seq)) continue
    seqs.add(seq)
    work.begin()
    try { await act(work, id, seq, event, { seen: job }) } catch (error) {
      if (!isHoldfastError(error)) throw error
      work.rollback()
      refused.push({ id, message: error.message })
    }
  }
  return { done: seqs.size - refused.length, refused, met }
}
