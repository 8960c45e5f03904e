/** Whose queue it is now: jobs pushed while somebody was the user run only while they are. */
import type { Work } from '../work.ts'
import { forgetDenied, renewCredentials } from './credentials.ts'

/** Needs a transaction of its own. */
export async function setUser(work: Work, user: string | undefined): Promise<void> {
  const { user: before, ...meta } = work.meta
  // Signed in again.
  if (before === user) { await forgetDenied(work); return }
  work.put('meta', 'main', user === undefined ? meta : { ...meta, user })
  await summonAll(work)
  await renewCredentials(work)
}

/** All look at what they run. Needs a transaction of its own. */
export async function summonAll(work: Work): Promise<void> {
  for (const { owner } of await work.tx.all('leases')) work.summons.add(owner)
}
