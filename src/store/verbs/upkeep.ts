/** What time does: promotes, expires, prunes. Each needs a transaction of its own. */
import { transition, type JobEvent } from '../../core/transition.ts'
import { count, enter, find, forget, leave, type Place } from '../rooms.ts'
import type { Work } from '../work.ts'
import { settleOutcome } from './end.ts'
import { gateEvent } from './gates.ts'
import { leaveGroup } from './groups.ts'
import { hasChildren } from './parents.ts'

const UPKEEP_BATCH = 500
/** Each is looked for, which takes longer. */
const EXPIRE_BATCH = 250

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

/** Forgets old ended jobs of one queue, a few rows at a time; true when there may be more. */
export async function prune(work: Work, queue: string): Promise<boolean> {
  const before = await work.queue(queue)
  let row = before
  let more = false
  for (const state of ['completed', 'cancelled'] as const) {
    if (row.counts[state] === 0) continue
    const oldest = await work.tx.all('history', IDBKeyRange.bound([queue, state], [queue, state, []]), 50)
    let drop = 0
    for (const entry of oldest) {
      const age = work.now - entry.endedAt
      if (age < YOUNGEST_MS || (age < RETENTION[state].ageMs && row.counts[state] - entry.seqs.length < RETENTION[state].count)) break
      for (const seq of entry.large ?? []) { work.delete('payloads', seq); work.deleteRange('parents', IDBKeyRange.bound([seq], [seq, []])) }
      work.delete('archives', entry.order)
      row = count(row, state, -entry.seqs.length)
      drop++
    }
    const last = oldest[drop - 1]
    if (last) work.deleteRange('history', IDBKeyRange.bound([queue, state], [queue, state, last.order]))
    more ||= drop === 50
  }
  const excess = row.counts.dead - RETENTION.dead.count
  const dead = row.counts.dead > 0 ? await work.tx.allBy('dead', 'queue', IDBKeyRange.bound([queue], [queue, []]), Math.min(Math.max(excess, 50), UPKEEP_BATCH)) : []
  const old = dead.filter(({ endedAt = 0 }, i) => work.now - endedAt >= (i < excess ? YOUNGEST_MS : RETENTION.dead.ageMs))
  for (const job of old) {
    // Who can be tried again only together with it, or after it.
    if (await hasChildren(work, job)) continue
    row = await leaveGroup(work, await leave(work, row, { room: 'dead', job }), job, true)
    forget(work, job)
  }
  if (row !== before) work.putQueue(row)
  return more || old.length === UPKEEP_BATCH
}

/** What is kept so that stored jobs can end is there: pushes may go on. */
export async function reserveKept(work: Work): Promise<void> { work.put('meta', 'main', { ...work.meta, reserve: 'kept' }) }
