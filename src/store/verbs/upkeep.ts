/** What time does: promotes, expires, prunes. Each needs a transaction of its own. */
import { transition, type JobEvent } from '../../core/transition.ts'
import { count, enter, find, forget, leave, type Place } from '../rooms.ts'
import type { HistoryRow } from '../schema.ts'
import type { Work } from '../work.ts'
import { settleOutcome } from './end.ts'
import { gateEvent } from './gates.ts'
import { leaveGroup } from './groups.ts'
import { hasChildren } from './parents.ts'

const UPKEEP_BATCH = 500
/** Each is looked for, which takes longer. */
const EXPIRE_BATCH = 100

/** Moves delayed jobs whose time has come, and begins those waits anew that a clock set back would make too long; true when there may be more. */
export async function promoteDue(work: Work): Promise<boolean> {
  const due = await work.tx.allBy('delayed', 'runAt', IDBKeyRange.upperBound(work.now), UPKEEP_BATCH)
  const ahead = await work.tx.allBy('delayed', 'since', IDBKeyRange.lowerBound(work.now, true), UPKEEP_BATCH)
  for (const job of [...due, ...ahead].sort((a, b) => a.position - b.position)) {
    const outcome = transition(job, { type: 'due' }, work.now)
    if (outcome.kind !== 'moved') continue
    const row = await leave(work, await work.queue(job.queue), { room: 'delayed', job })
    work.putQueue(await enter(work, row, outcome.job))
  }
  for (const { origin } of await work.tx.all('origins')) await gateEvent(work, origin, { type: 'look' })
  return Math.max(due.length, ahead.length) === UPKEEP_BATCH
}

/** Ends jobs that were not started in time; true when there may be more. */
export async function expireDue(work: Work): Promise<boolean> {
  const due = await work.tx.all('expiries', IDBKeyRange.upperBound([work.now, Infinity]), EXPIRE_BATCH)
  for (const { at, seq, queue, lane } of due) {
    work.delete('expiries', [at, seq])
    const place = await find(work, seq, queue === undefined || lane === undefined ? undefined : { queue, lane })
    if (!place || place.room === 'leases' || place.job.expiresAt !== at) continue
    await endUnstarted(work, place, { type: 'expire' })
  }
  return due.length === EXPIRE_BATCH
}

async function endUnstarted(work: Work, place: Place, event: JobEvent): Promise<void> {
  const outcome = transition(place.job, event, work.now)
  if (outcome.kind === 'moved' || outcome.kind === 'gone') work.putQueue(await settleOutcome(work, await leave(work, await work.queue(place.job.queue), place), outcome))
}

/** Ends a job of which something that was kept apart is lost, unless it has started. */
export async function lose(work: Work, seq: number): Promise<void> {
  const place = await find(work, seq)
  if (place && place.room !== 'leases') await endUnstarted(work, place, { type: 'lose' })
}

export const RETENTION = {
  completed: { count: 1000, ageMs: 86_400_000 }, cancelled: { count: 1000, ageMs: 86_400_000 }, dead: { count: 10_000, ageMs: 90 * 86_400_000 },
} as const
const YOUNGEST_MS = 60_000

const HISTORY_ROWS = 50
const DEAD_ROWS = 100

/** How long ago each row ended, in ms. One that ended in the future did so before the clock was set back: as long ago as the next one, since they lie in the order of their ends. */
function agesOf(rows: readonly HistoryRow[], now: number): number[] {
  const ages: number[] = []
  for (const { endedAt } of [...rows].reverse()) ages.unshift(endedAt > now + YOUNGEST_MS ? Math.max(YOUNGEST_MS, ages[0] ?? 0) : now - endedAt)
  return ages
}

/** Forgets old completed and cancelled jobs of one queue, a few rows at a time; true when there may be more. */
export async function pruneEnded(work: Work, queue: string): Promise<boolean> {
  const before = await work.queue(queue)
  let row = before
  let more = false
  for (const state of ['completed', 'cancelled'] as const) {
    if (row.counts[state] === 0) continue
    const oldest = await work.tx.all('history', IDBKeyRange.bound([queue, state], [queue, state, []]), HISTORY_ROWS)
    const ages = agesOf(oldest, work.now)
    let drop = 0
    for (const [i, entry] of oldest.entries()) {
      const age = ages[i] ?? 0
      if (age < YOUNGEST_MS || (age < RETENTION[state].ageMs && row.counts[state] - entry.seqs.length < RETENTION[state].count)) break
      for (const seq of entry.large ?? []) { work.delete('payloads', seq); work.deleteRange('parents', IDBKeyRange.bound([seq], [seq, []])) }
      work.delete('archives', entry.order)
      row = count(row, state, -entry.seqs.length)
      drop++
    }
    const last = oldest[drop - 1]
    if (last) work.deleteRange('history', IDBKeyRange.bound([queue, state], [queue, state, last.order]))
    more ||= drop === HISTORY_ROWS
  }
  if (row !== before) work.putQueue(row)
  return more
}

/** Forgets old dead jobs of one queue: of too many those that were pushed first, else of some after `after` (a sequence number) those that are too old. Says after which to go on. */
export async function pruneDead(work: Work, queue: string, after: number): Promise<{ readonly after: number; readonly more: boolean }> {
  const before = await work.queue(queue)
  let row = before
  const excess = row.counts.dead - RETENTION.dead.count
  const [from, most, oldMs] = excess > 0 ? [-1, Math.min(excess, UPKEEP_BATCH), YOUNGEST_MS] : [after, DEAD_ROWS, RETENTION.dead.ageMs]
  const jobs = row.counts.dead > 0 ? await work.tx.allBy('dead', 'queue', IDBKeyRange.bound([queue, from], [queue, []], true), most) : []
  for (const job of jobs) {
    const { seq, endedAt = 0 } = job
    // It died before the clock was set back.
    if (endedAt > work.now) work.put('dead', seq, { ...job, endedAt: work.now })
    // Who can be tried again only together with it, or after it.
    if (work.now - endedAt < oldMs || await hasChildren(work, job)) continue
    row = await leaveGroup(work, await leave(work, row, { room: 'dead', job }), job, true)
    forget(work, job)
  }
  if (row !== before) work.putQueue(row)
  const dropped = before.counts.dead - row.counts.dead
  return { after: excess <= 0 && jobs.length === most ? jobs[most - 1]?.seq ?? -1 : -1, more: excess > 0 && dropped === most }
}

/** What is kept so that stored jobs can end is there: pushes may go on. */
export async function reserveKept(work: Work): Promise<void> { work.put('meta', 'main', { ...work.meta, reserve: 'kept' }) }
