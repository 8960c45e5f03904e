/** What former workers of a page have done for it. */
import type { IdRun } from '../core/id.ts'
import type { Connection } from '../store/connection.ts'
import * as reads from '../store/reads.ts'
import type { ReceiptRow } from '../store/schema.ts'
import type { Reply } from './protocol.ts'

export interface Settled {
  /** Answers to calls that the page still waits for. Claimed jobs are read again from their box. */
  readonly replies: ReadonlyArray<readonly [id: number, reply: Reply]>
  /** The receipts that hold them: to be kept until the page has heard. */
  readonly receipts: ReceiptRow['replies']
}

export async function settledReplies(connection: Connection, clients: readonly string[], unsettled: readonly number[]): Promise<Settled> {
  if (unsettled.length === 0) return { replies: [], receipts: [] }
  const stored = (await Promise.all(clients.map((client) => reads.readReceipt(connection, client)))).flat()
  const receipts = stored.filter(([ids]) => ids.some((id) => unsettled.includes(id)))
  const applied = receipts.flatMap(([ids, reply]) => ids.map((id, n) => [id, ids.length > 1 ? nthReply(reply as Reply, n) : reply as Reply] as const))
  // A call that waited left several; the last one is its answer.
  const wanted = new Map(applied.filter(([id]) => unsettled.includes(id)))
  const replies = await Promise.all([...wanted].map(async ([id, reply]) => {
    const claim = 'value' in reply ? reply.value as { readonly box?: number; readonly token?: string; readonly jobs?: unknown } | undefined : undefined
    if (typeof claim?.box !== 'number' || !Array.isArray(claim.jobs)) return [id, reply] as const
    const leases = (await Promise.all(clients.map((client) => reads.readLeases(connection, client)))).flat()
    const lease = leases.find(({ box }) => box === claim.box)
    return [id, { value: { ...claim, jobs: lease ? await reads.readBox(connection, lease) : [] } }] as const
  }))
  return { replies, receipts }
}

/** Pushes that shared an operation share its receipt: each has one id of the run. */
function nthReply(reply: Reply, n: number): Reply {
  if ('error' in reply) return reply
  const run = reply.value as IdRun
  return { value: { ...run, first: run.first + n, count: 1 } }
}
