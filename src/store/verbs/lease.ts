/** Holding: heartbeats, reports and steps of leased jobs. */
import { HoldfastError } from '../../core/errors.ts'
import { present } from '../../core/present.ts'
import { boxOf } from '../rooms.ts'
import type { LeaseRow, Report } from '../schema.ts'
import type { Work } from '../work.ts'

export interface Held { readonly box: number; readonly token: string; readonly seq: number }

async function proven(work: Work, { box, token, seq }: Held): Promise<LeaseRow> {
  const lease = await work.get('leases', box)
  if (!lease || lease.token !== token || !lease.left.includes(seq)) throw staleLease(seq)
  return lease
}
export const staleLease = (seq: number): HoldfastError =>
  new HoldfastError('STALE_LEASE', 'This lease is over: the job was recovered, ended or given to another', { seq })

const renewed = (lease: LeaseRow, seq: number): LeaseRow => ({ ...lease, beats: { ...lease.beats, [seq]: (lease.beats?.[seq] ?? 0) + 1 } })

export async function heartbeat(work: Work, held: Held): Promise<void> {
  const lease = await proven(work, held)
  work.put('leases', held.box, renewed(lease, held.seq))
}

export async function report(work: Work, held: Held, { progress, message, logs }: Report): Promise<void> {
  const lease = await proven(work, held)
  const old = lease.reports?.[held.seq]
  const job = (await boxOf(work, held.box)).find(({ seq }) => seq === held.seq)
  if (job && progress !== undefined) work.emit('progress', job, { progress, message })
  const merged: Report = { ...old, ...present({ progress, message, logs: logs?.length ? [...(old?.logs ?? []), ...logs].slice(-100) : undefined }) }
  work.put('leases', held.box, { ...renewed(lease, held.seq), reports: { ...lease.reports, [held.seq]: merged } })
}

export async function storeStep(work: Work, held: Held, name: string, value: unknown): Promise<void> {
  const lease = await proven(work, held)
  work.put('steps', [held.seq, name], { seq: held.seq, name, value })
  if (!lease.steps?.includes(held.seq)) work.put('leases', held.box, { ...lease, steps: [...(lease.steps ?? []), held.seq] })
}

export async function beat(work: Work, owners: readonly string[]): Promise<void> {
  for (const owner of owners) {
    const row = await work.get('owners', owner)
    work.put('owners', owner, { owner, beats: (row?.beats ?? 0) + 1 })
  }
}
