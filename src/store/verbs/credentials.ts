/** The credentials of origins (`core/credentials.ts` decides). */
import { mayRefresh, turnCredentials, type CredentialsEvent } from '../../core/credentials.ts'
import type { Job } from '../../core/job.ts'
import { originOf } from '../../core/lane.ts'
import type { Work } from '../work.ts'

/** Tells what happened to an origin's credentials. */
export async function credentialsEvent(work: Work, origin: string, event: CredentialsEvent): Promise<void> {
  const before = await work.get('credentials', origin)
  const after = turnCredentials(before, origin, event, work.now)
  if (after === before) return
  work.put('credentials', origin, after)
  if (after?.state === 'denied') work.emit('unauthorized', undefined, { origin })
}

/** After 401: whether the attempt is excused. It is unless it was made with fresh credentials, or the job's last one had ended so too. */
export async function refused(work: Work, job: Job, box: number): Promise<boolean> {
  const origin = originOf(job.http?.url ?? '')
  const before = await work.get('credentials', origin)
  // For whom credentials were refreshed that work for others, new ones are of no use at once; the time after is another matter.
  const alone = job.refused === true && before?.state === 'good'
  if (!alone) await credentialsEvent(work, origin, { type: 'refused', box, refreshable: job.http?.hooks?.includes('onUnauthorized') === true })
  const straightAfter = before?.state === 'fresh' && box >= before.since
  return !straightAfter && !alone
}

/** The origins whose credentials this owner is to refresh now. Needs a transaction of its own. */
export async function takeRefreshes(work: Work, owner: string): Promise<string[]> {
  const due = (await work.tx.all('credentials')).filter((one) => mayRefresh(one, work.now)).map(({ origin }) => origin)
  for (const origin of due) await credentialsEvent(work, origin, { type: 'refresh', owner })
  return due
}

/** What came of it: new ones, none, or none yet. Needs a transaction of its own. */
export async function refreshed(work: Work, origin: string, outcome: 'refreshed' | 'denied' | 'delayed'): Promise<void> {
  await credentialsEvent(work, origin, outcome === 'refreshed' ? { type: outcome, number: work.numbers(1) } : { type: outcome })
  await wakeAll(work)
}

/** Whoever was refused may try again. Needs a transaction of its own. */
export async function forgetDenied(work: Work): Promise<void> {
  for (const { origin, state } of await work.tx.all('credentials')) if (state === 'denied') work.delete('credentials', origin)
  await wakeAll(work)
}

/** Nobody's credentials are known any more. Needs a transaction of its own. */
export async function forgetCredentials(work: Work): Promise<void> {
  for (const origin of await work.tx.keys('credentials')) work.delete('credentials', origin)
  await wakeAll(work)
}

/** Others take over what a dead owner was to refresh. */
export async function dropRefresher(work: Work, owner: string): Promise<void> {
  for (const { origin } of await work.tx.all('credentials')) await credentialsEvent(work, origin, { type: 'left', owner })
}

export async function wakeAll(work: Work): Promise<void> {
  for (const queue of await work.tx.keys('queues')) work.wakes.add(queue)
}
