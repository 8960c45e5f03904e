/** The credentials of origins (`core/credentials.ts` decides). */
import { credentialsKey, mayRefresh, originOfKey, refreshAt, turnCredentials, type CredentialsEvent } from '../../core/credentials.ts'
import type { Job } from '../../core/job.ts'
import { originOf } from '../../core/lane.ts'
import { wakeAll } from '../rooms.ts'
import type { Work } from '../work.ts'

/** Those that a request is sent with. */
export const keyOf = ({ http }: Job): string => credentialsKey({ origin: originOf(http?.url ?? ''), hooks: http?.hooks ?? [] })

/** Tells what happened to credentials. */
export async function credentialsEvent(work: Work, key: string, event: CredentialsEvent): Promise<void> {
  const before = await work.get('credentials', key)
  const after = turnCredentials(before, key, event, work.now)
  if (after === before) return
  work.put('credentials', key, after)
  if (after) work.due(refreshAt(after, work.now))
  if (after?.state === 'denied') work.emit('unauthorized', undefined, { origin: originOfKey(key) })
}

/** After 401: whether the attempt is excused. It is unless it tried fresh credentials, or they were refreshed after the job's last attempt, which ended so too. */
export async function refused(work: Work, job: Job, box: number): Promise<boolean> {
  const key = keyOf(job)
  const before = await work.get('credentials', key)
  const since = before?.since ?? 0
  const again = job.refused !== undefined && since > job.refused
  // For whom credentials do not work that work for others, new ones are of no use at once; the time after is another matter.
  if (!again || before?.state !== 'good') await credentialsEvent(work, key, { type: 'refused', box, refreshable: job.http?.hooks?.includes('onUnauthorized') === true })
  return !again && !(before?.state === 'fresh' && box >= since)
}

/** What an owner is to refresh. */
export interface Refresh { readonly key: string; readonly ticket: number }

/** The credentials that this owner is to refresh now. Needs a transaction of its own. */
export async function takeRefreshes(work: Work, owner: string): Promise<Refresh[]> {
  const due = (await work.tx.all('credentials')).filter((one) => mayRefresh(one, work.now)).map(({ origin }) => ({ key: origin, ticket: work.numbers(1) }))
  for (const { key, ticket } of due) await credentialsEvent(work, key, { type: 'refresh', owner, ticket })
  return due
}

/** What came of it: new ones, none, or none yet. Needs a transaction of its own. */
export async function refreshed(work: Work, { key, ticket }: Refresh, outcome: 'refreshed' | 'denied' | 'delayed'): Promise<void> {
  await credentialsEvent(work, key, outcome === 'refreshed' ? { type: outcome, ticket, number: work.numbers(1) } : { type: outcome, ticket })
  await wakeAll(work)
}

/** Whoever was refused may try again. Needs a transaction of its own. */
export async function forgetDenied(work: Work): Promise<void> {
  for (const { origin, state } of await work.tx.all('credentials')) if (state === 'denied') work.delete('credentials', origin)
  await wakeAll(work)
}

/** Those of somebody else are sent from now on. Needs a transaction of its own. */
export async function renewCredentials(work: Work): Promise<void> {
  for (const key of await work.tx.keys('credentials')) await credentialsEvent(work, key, { type: 'renewed', number: work.numbers(1) })
  await wakeAll(work)
}

/** Others take over what a dead owner was to refresh. */
export async function dropRefresher(work: Work, owner: string): Promise<void> {
  for (const { origin } of await work.tx.all('credentials')) await credentialsEvent(work, origin, { type: 'left', owner })
}
