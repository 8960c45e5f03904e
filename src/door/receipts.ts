/** What former workers of a page have done for it. */
import type { IdRun } from '../core/id.ts'
import type { Connection } from '../store/connection.ts'
import * as reads from '../store/reads.ts'
import type { ReceiptRow } from '../store/schema.ts'
import type { Method, Reply, Unsettled } from './protocol.ts'

export interface Settled {
  /** Answers to calls that the page still waits for. Claimed jobs are read again from their box. */
  readonly replies: ReadonlyArray<readonly [id: number, reply: Reply]>
  /** The receipts that hold them: to be kept until the page has heard. */
  readonly receipts: ReceiptRow['replies']
}

/** Calls that must not be made again unless it is known that they were not applied. */
const ONCE: ReadonlySet<Method> = new Set(['push', 'pushMany', 'ackMany', 'fail', 'release', 'snooze', 'cancel', 'promote', 'update', 'retry', 'remove'])

/** Done in many transactions, without a receipt; what was done, done again, would not be the same. */
const IN_PARTS: ReadonlySet<Method> = new Set(['retryAll'])

export async function settledReplies(connection: Connection, calls: readonly Unsettled[]): Promise<Settled> {
  if (calls.length === 0) return { replies: [], receipts: [] }
  const unsettled = calls.map(({ id }) => id)
  const clients = [...new Set(calls.flatMap(({ by }) => by ?? []))]
  const rows = new Map(await Promise.all(clients.map(async (client) => [client, await reads.readReceipt(connection, client)] as const)))
  const receipts = [...rows.values()].flatMap((row) => row?.replies ?? []).filter(([ids]) => ids.some((id) => unsettled.includes(id)))
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
  const refused = (told: readonly Unsettled[], why: (method: Method) => string): Settled['replies'] => told.map(({ id, method }) => [id, { error: { code: 'WORKER_DIED', message: why(method) } }] as const)
  const sent = calls.filter(({ by }) => by !== undefined)
  const forgotten = refused(sent.filter(({ method, by }) => by !== undefined && !rows.get(by) && ONCE.has(method)), (method) => `This page was put aside for so long that nobody knows any more whether ${method} was applied`)
  const cut = refused(sent.filter(({ method }) => IN_PARTS.has(method)), (method) => `The worker ended in the middle of ${method}: part of it may be done`)
  return { replies: [...replies, ...forgotten, ...cut], receipts }
}

/** Pushes that shared an operation share its receipt: each has one id of the run. */
function nthReply(reply: Reply, n: number): Reply {
  if ('error' in reply) return reply
  const run = reply.value as IdRun
  return { value: { ...run, first: run.first + n, count: 1 } }
}
