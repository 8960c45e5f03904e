/** What a queue is told: settings, pauses, who takes part. */
import { present } from '../../core/present.ts'
import type { QueueSettings } from '../../queue.ts'
import { summonAhead } from '../rooms.ts'
import type { QueueRow } from '../schema.ts'
import type { Work } from '../work.ts'
import { forgetDenied } from './credentials.ts'

export async function configure(work: Work, queue: string, settings: QueueSettings): Promise<void> {
  const row = await work.queue(queue)
  const merged = { ...row.settings, ...settings }
  work.putQueue({ ...row, settings: present({ ...merged, concurrency: merged.concurrency ?? undefined }) })
  work.wakes.add(queue)
}

/** Notes the latest wish for concurrency, if there is one; answers how many a processor of this name may run now. */
export async function register(work: Work, queue: string, processor: string, concurrency: number | undefined): Promise<number> {
  const row = await work.queue(queue)
  if (concurrency !== undefined && row.concurrency !== concurrency) work.putQueue({ ...row, concurrency })
  work.wakes.add(queue)
  return row.processors[processor]?.has ?? 0
}

/** A processor that is paused takes part, and runs nothing. */
export async function yieldShare(work: Work, queue: string, processor: string): Promise<void> {
  const row = await work.queue(queue)
  const share = row.processors[processor]
  if (share) work.putQueue({ ...row, processors: { ...row.processors, [processor]: { ...share, has: 0 } } })
  work.wakes.add(queue)
}

/** A processor that stopped gives its share back. */
export async function unregister(work: Work, queue: string, processor: string): Promise<void> {
  const row = await work.queue(queue)
  const { [processor]: share, ...processors } = row.processors
  if (share) work.putQueue({ ...row, processors })
  work.wakes.add(queue)
}

export async function pause(work: Work, queue: string, until?: number): Promise<void> {
  const { pausedUntil: _until, ...row } = await work.queue(queue)
  summonAhead(work, row)
  work.putQueue(present({ ...row, paused: true, pausedUntil: until }))
  work.due(until ?? Infinity)
  work.emit('paused', undefined, { queue, until })
  work.wakes.add(queue)
}

/** Also for requests that were denied: it is a person's word that they may be tried. Needs a transaction of its own. */
export async function resume(work: Work, queue: string): Promise<void> {
  await forgetDenied(work)
  work.putQueue(resumed(work, await work.queue(queue)))
}

/** Ends a pause whose time is over. */
export async function endPause(work: Work, queue: string): Promise<void> {
  const row = await work.queue(queue)
  if (row.paused && row.pausedUntil !== undefined && row.pausedUntil <= work.now) work.putQueue(resumed(work, row))
}

export function resumed(work: Work, { pausedUntil: _until, ...row }: QueueRow): QueueRow {
  if (row.paused) work.emit('resumed', undefined, { queue: row.queue })
  work.wakes.add(row.queue)
  return { ...row, paused: false }
}
