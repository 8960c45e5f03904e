/** Whether the network is there (`core/network.ts` decides). */
import { askAt, turnNetwork, type NetworkEvent } from '../../core/network.ts'
import { summonAhead, wakeAll } from '../rooms.ts'
import type { QueueRow } from '../schema.ts'
import type { Work } from '../work.ts'
import { tryOrigins } from './gates.ts'

/** Whether a queue is not claimed from while there is no network. */
export const needsNetwork = ({ settings, http }: QueueRow): boolean => (settings.needsNetwork ?? http) === true

/** Notes what was learned of the network; whether that changed anything. Needs a transaction of its own. */
export async function networkEvent(work: Work, event: NetworkEvent): Promise<boolean> {
  const { network: before, ...meta } = work.meta
  const after = turnNetwork(before, event, work.now)
  if (after === before) return false
  work.put('meta', 'main', after ? { ...meta, network: after } : meta)
  if (after) work.due(askAt(after, undefined, work.now))
  else await wakeAll(work)
  if (after?.state === 'down' && before?.state !== 'down') {
    work.emit('offline', undefined, { reason: after.reason })
    // What was claimed ahead of time has not started.
    for (const queue of await work.tx.keys('queues')) { const row = await work.queue(queue); if (needsNetwork(row)) summonAhead(work, row) }
  }
  if (!after && before?.state === 'down') {
    work.emit('online', undefined)
    await tryOrigins(work)
  }
  return true
}
