/** Reading without deciding: one job, a list in slices, counters, and when something is next due. */
import { seqOf } from '../core/seq.ts'
import { STATES, type Job, type State } from '../core/job.ts'
import { present } from '../core/present.ts'
import type { Counts, QueueStats } from '../queue.ts'
import type { Connection } from './connection.ts'
import { locate } from './rooms.ts'
import { ROOMS, type Database, type LeaseRow, type QueueRow, type ReadTx, type ReceiptRow, type Room } from './schema.ts'
import { emptyCounts } from './work.ts'

export const read = (db: Database, rooms: readonly Room[] = ROOMS): ReadTx => db.transaction(rooms as Room[], 'readonly') as ReadTx

/** A job with its data, wherever that is kept. */
export const whole = async (tx: ReadTx, job: Job): Promise<Job> => job.large ? { ...job, data: (await tx.objectStore('payloads').get(job.seq))?.data } : job

export async function getJob(connection: Connection, id: string): Promise<Job | undefined> {
  const seq = seqOf(id)
  if (seq === undefined) return undefined
  return connection.use(async (db) => {
    const tx = read(db)
    const place = await locate(tx, seq)
    if (!place || place.job.id !== id) return undefined
    if (place.room !== 'leases') return whole(tx, place.job)
    const queue = await tx.objectStore('queues').get(place.job.queue)
    return whole(tx, { ...place.job, ...(isStarted(queue, place.lease, seq) ? { state: 'active' } : { state: 'waiting' }) })
  })
}

/** Whether an id was ever given, so that a job that is not there is known to be gone. */
export const wasGiven = (connection: Connection, id: string): Promise<boolean> =>
  connection.use(async (db) => (seqOf(id) ?? Infinity) < ((await db.get('meta', 'main'))?.next ?? 0))

/** Of a processor's leased jobs the first `has` run, since it starts them in order; what was pulled by hand counts as running. */
export function isStarted(queue: QueueRow | undefined, lease: LeaseRow, seq: number): boolean {
  const share = lease.processor === undefined ? undefined : queue?.processors[lease.processor]
  return !share || lease.left.indexOf(seq) < share.has
}

/** Jobs that were leased ahead of time wait, whatever room they are in. */
export function countsOf(row: QueueRow): Counts {
  const ahead = Object.values(row.processors).reduce((sum, { has, leased }) => sum + Math.max(0, leased - has), 0)
  return { ...row.counts, active: row.counts.active - ahead, waiting: row.counts.waiting + ahead }
}

export async function readStats(connection: Connection, now: number, queue?: string): Promise<{ readonly counts: Counts; readonly queues: QueueStats[] }> {
  const [rows, origins] = await connection.use(async (db) => {
    const tx = read(db, ['queues', 'origins'])
    const queues = tx.objectStore('queues')
    return Promise.all([queue === undefined ? queues.getAll() : queues.get(queue).then((row) => row ? [row] : []), tx.objectStore('origins').getAll()])
  })
  const closed = Object.fromEntries(origins.filter(({ retryAt, failures }) => failures > 0 && retryAt > now).map(({ origin, retryAt }) => [origin, retryAt]))
  const total: Record<State, number> = { ...emptyCounts }
  const queues = rows.map((row): QueueStats => {
    const counts = countsOf(row)
    for (const state of STATES) total[state] += counts[state]
    return {
      queue: row.queue, counts, paused: row.paused && !(row.pausedUntil !== undefined && row.pausedUntil <= now),
      ...present({ pausedUntil: row.paused ? row.pausedUntil : undefined }),
      closedOrigins: Object.fromEntries(Object.entries(closed).filter(([origin]) => Object.keys(row.lanes).some((lane) => lane.endsWith(`|${origin}`)))),
    }
  })
  return { counts: total, queues }
}

export const readQueues = (connection: Connection): Promise<string[]> => connection.use((db) => db.getAllKeys('queues'))

/** The next time at which upkeep has something to do (epoch ms), Infinity when it has not. */
export function nextDue(connection: Connection): Promise<{ readonly at: number; readonly queues: QueueRow[]; readonly leases: LeaseRow[]; readonly owners: ReadonlyMap<string, number>; readonly originsAt: number }> {
  return connection.use(async (db) => {
    const tx = read(db, ['delayed', 'expiries', 'origins', 'queues', 'leases', 'owners'])
    const [delayed, expiries, origins, queues, leases, owners] = await Promise.all([
      tx.objectStore('delayed').index('runAt').openKeyCursor(), tx.objectStore('expiries').getAllKeys(null, 1),
      tx.objectStore('origins').getAll(), tx.objectStore('queues').getAll(), tx.objectStore('leases').getAll(), tx.objectStore('owners').getAll(),
    ])
    const pauses = queues.map(({ paused, pausedUntil }) => paused ? pausedUntil ?? Infinity : Infinity)
    const due = [delayed ? Number(delayed.key) : Infinity, expiries[0]?.[0] ?? Infinity, ...pauses]
    const originsAt = Math.min(Infinity, ...origins.map(({ retryAt, failures }) => failures > 0 ? retryAt : Infinity))
    return { at: Math.min(...due), originsAt, queues, leases, owners: new Map(owners.map(({ owner, beats }) => [owner, beats])) }
  })
}

export const readLeases = (connection: Connection, owner: string): Promise<LeaseRow[]> =>
  connection.use((db) => db.getAllFromIndex('leases', 'owner', owner))

/** The jobs of a box that are still held, with their data. */
export const readBox = (connection: Connection, lease: LeaseRow): Promise<Job[]> => connection.use(async (db) => {
  const tx = read(db, ['boxes', 'payloads'])
  const box = await tx.objectStore('boxes').get(lease.box)
  const jobs = box?.jobs.filter(({ seq }) => lease.left.includes(seq))
  return Promise.all((jobs ?? []).map((job) => whole(tx, job)))
})

export const readReceipt = (connection: Connection, client: string): Promise<ReceiptRow['replies']> =>
  connection.use(async (db) => (await db.get('receipts', client))?.replies ?? [])

export const readSteps = (connection: Connection, seq: number): Promise<Record<string, unknown>> => connection.use(async (db) => {
  const rows = await db.getAll('steps', IDBKeyRange.bound([seq], [seq, []]))
  return Object.fromEntries(rows.map(({ name, value }) => [name, value]))
})
