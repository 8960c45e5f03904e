/** The gates of origins (`core/gate.ts` decides). */
import { turn, type GateEvent } from '../../core/gate.ts'
import type { Job } from '../../core/job.ts'
import { remove, type LaneView } from '../lane-view.ts'
import type { Work } from '../work.ts'

/** Tells an origin's gate what happened. */
export async function gateEvent(work: Work, origin: string, event: GateEvent): Promise<void> {
  const before = await work.get('origins', origin)
  const after = turn(before, origin, event, work.now)
  if (after === before) return
  work.put('origins', origin, after)
  if (after && after.retryAt > work.now && after.retryAt !== before?.retryAt) {
    work.due(after.retryAt)
    if (after.failures > 0) work.emit('origin-closed', undefined, { origin, reason: after.reason, until: after.retryAt })
  }
  if (before && before.failures > 0 && !after?.failures) work.emit('origin-open', undefined, { origin })
}

/** Each trial of a closed origin is another job's, so that one bad request cannot keep the gate shut. */
export async function takeTrial(work: Work, { queue, lane }: LaneView, origin: string, alone: boolean): Promise<{ readonly before: LaneView; readonly view: LaneView; readonly jobs: readonly Job[] }> {
  const before = await work.loadFront(queue, lane, TRIAL_PAGES, TRIAL_PAGES)
  // A job that stalled is claimed alone.
  const candidates = before.pages.slice(0, TRIAL_PAGES).flatMap(({ row }) => row.jobs).filter(({ stalls }) => alone || stalls === 0)
  const job = candidates[((await work.get('origins', origin))?.failures ?? 0) % candidates.length]
  return job ? { before, view: remove(before, job), jobs: [job] } : { before, view: before, jobs: [] }
}

const TRIAL_PAGES = 8

/** A sign that the network is back: closed gates are tried at once. */
export async function tryOrigins(work: Work): Promise<void> {
  for (const { origin } of await work.tx.all('origins')) await gateEvent(work, origin, { type: 'hint' })
}
