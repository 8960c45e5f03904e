/** Reading without deciding: one job, a list in slices, counters, and when something is next due. */
import { HoldfastError } from '../core/errors.ts'
import { seqOf } from '../core/id.ts'
import { STATES, type Job, type State } from '../core/job.ts'
import type { Counts, Filter, ListFilter, QueueStats } from '../queue.ts'
import type { Connection } from './connection.ts'
import { locate } from './rooms.ts'
import { ROOMS, type Database, type LeaseRow, type QueueRow, type ReadTx, type Room } from './schema.ts'
import { emptyCounts } from './work.ts'

const read = (db: Database, rooms: readonly Room[] = ROOMS): ReadTx => db.transaction(rooms as Room[], 'readonly') as ReadTx

/** A job as users see it: with its data, without what only the store needs. */
async function whole(tx: ReadTx, { large, size: _size, ...job }: Job): Promise<Job> {
  return large ? { ...job, data: (await tx.objectStore('payloads').get(job.seq))?.data } : job
}

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

/** Of a processor's leased jobs the first `has` run, since it starts them in order; what was pulled by hand counts as running. */
function isStarted(queue: QueueRow | undefined, lease: LeaseRow, seq: number): boolean {
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
      ...(row.paused && row.pausedUntil !== undefined ? { pausedUntil: row.pausedUntil } : {}),
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
  const jobs = box?.jobs.filter(({ seq }) => lease.left.includes(seq)) ?? []
  return Promise.all(jobs.map(async (job) => job.large ? { ...job, data: (await tx.objectStore('payloads').get(job.seq))?.data } : job))
})

export const readReceipt = (connection: Connection, client: string): Promise<ReadonlyArray<readonly [number, unknown]>> =>
  connection.use(async (db) => (await db.get('receipts', client))?.replies ?? [])

export const readSteps = (connection: Connection, seq: number): Promise<Record<string, unknown>> => connection.use(async (db) => {
  const rows = await db.getAll('steps', IDBKeyRange.bound([seq], [seq, []]))
  return Object.fromEntries(rows.map(({ name, value }) => [name, value]))
})

// ---- lists ----

/** Order in which rooms are listed, and so the first part of a cursor. */
const LISTED: readonly State[] = ['active', 'waiting', 'blocked', 'delayed', 'dead', 'completed', 'cancelled']
const SLICE_ROWS = 200
const SLICE_MS = 20

interface Cursor { readonly room: number; readonly after: IDBValidKey | null; readonly skip: number }
const encode = (cursor: Cursor): string => JSON.stringify([cursor.room, cursor.after, cursor.skip])
function decode(text: string | undefined): Cursor {
  if (text === undefined) return { room: 0, after: null, skip: 0 }
  try {
    const [room, after, skip] = JSON.parse(text) as [number, IDBValidKey | null, number]
    if (Number.isInteger(room) && Number.isInteger(skip)) return { room, after, skip }
  } catch { /* told below */ }
  throw new HoldfastError('VALIDATION', 'filter.cursor is not one that list() returned', { field: 'filter.cursor' })
}

export function matches(job: Job, filter: Filter & { readonly search?: string }): boolean {
  return (filter.queue === undefined || job.queue === filter.queue) && (filter.name === undefined || job.name === filter.name)
    && (filter.tag === undefined || job.tags?.includes(filter.tag) === true) && (filter.fingerprint === undefined || job.fingerprint === filter.fingerprint)
    && (filter.ids === undefined || filter.ids.includes(job.id)) && (filter.search === undefined || found(job, filter.search.toLowerCase()))
}

function found(job: Job, text: string): boolean {
  const error = job.attempts?.[job.attempts.length - 1]?.error
  const fields = [job.name, job.id, ...(job.tags ?? []), job.reason ?? '', error?.name ?? '', error?.message ?? '', job.http?.url ?? '']
  return fields.some((field) => field.toLowerCase().includes(text)) || (JSON.stringify(job.data) ?? '').toLowerCase().includes(text)
}

/** Rows of one room after a key: each row may hold several jobs. */
async function rowsOf(tx: ReadTx, state: State, queue: string | undefined, after: IDBValidKey | null): Promise<Array<{ readonly key: IDBValidKey; readonly jobs: readonly Job[] }>> {
  const from = (low?: IDBValidKey, high?: IDBValidKey): IDBKeyRange | null => {
    const start = after ?? low
    if (start === undefined) return null
    return high === undefined ? IDBKeyRange.lowerBound(start, after !== null) : IDBKeyRange.bound(start, high, after !== null)
  }
  switch (state) {
    case 'waiting': return (await tx.objectStore('waiting').getAll(queue === undefined ? from() : from([queue], [queue, []]), SLICE_ROWS)).map((row) => ({ key: [row.queue, row.lane, row.rank, row.first], jobs: row.jobs }))
    case 'completed': case 'cancelled': {
      const range = queue === undefined ? from() : from([queue, state], [queue, state, []])
      return (await tx.objectStore('history').getAll(range, SLICE_ROWS)).map((row) => ({ key: [row.queue, row.state, row.order], jobs: row.state === state ? row.jobs : [] }))
    }
    case 'active': {
      const leases = await tx.objectStore('leases').getAll(from(), SLICE_ROWS)
      return Promise.all(leases.map(async (lease) => {
        const [box, row] = await Promise.all([tx.objectStore('boxes').get(lease.box), tx.objectStore('queues').get(lease.queue)])
        const jobs = lease.left.flatMap((seq): Job[] => {
          const job = box?.jobs.find((one) => one.seq === seq)
          return job ? [{ ...job, ...lease.reports?.[seq], ...(lease.cancels?.[seq] ? { cancelRequested: lease.cancels[seq] } : {}), state: isStarted(row, lease, seq) ? 'active' : 'waiting' }] : []
        })
        return { key: lease.box, jobs }
      }))
    }
    case 'delayed': case 'blocked': case 'dead': {
      const rows = queue === undefined ? await tx.objectStore(state).getAll(from(), SLICE_ROWS)
        : await tx.objectStore(state).index('queue').getAll(after === null ? IDBKeyRange.bound([queue], [queue, []]) : IDBKeyRange.bound([queue, after], [queue, []], true), SLICE_ROWS)
      return rows.map((job) => ({ key: job.seq, jobs: [job] }))
    }
  }
}

/** A page of jobs, read in slices of at most ~20 ms a transaction, so that a long search holds up no push. */
export async function listJobs(connection: Connection, filter: ListFilter): Promise<{ readonly jobs: Job[]; readonly cursor?: string }> {
  const limit = filter.limit ?? 100
  const wanted: ReadonlySet<State> | undefined = filter.state === undefined ? undefined : new Set<State>([filter.state].flat())
  // Jobs leased ahead live in the leases' room and count as waiting.
  const visits = (state: State): boolean => !wanted || wanted.has(state) || (state === 'active' && wanted.has('waiting'))
  const jobs: Job[] = []
  let cursor: Cursor | undefined = decode(filter.cursor)
  while (cursor && jobs.length < limit) {
    const start: Cursor = cursor
    cursor = await connection.use(async (db): Promise<Cursor | undefined> => {
      const tx = read(db)
      const until = performance.now() + SLICE_MS
      let at: Cursor = start
      while (jobs.length < limit && performance.now() < until) {
        const state = LISTED[at.room]
        if (state === undefined) return undefined
        const rows = visits(state) ? await rowsOf(tx, state, filter.queue, at.after) : []
        if (rows.length === 0) { at = { room: at.room + 1, after: null, skip: 0 }; continue }
        let { skip } = at
        for (const row of rows) {
          for (const [i, job] of row.jobs.entries()) {
            if (i < skip) continue
            if ((wanted && !wanted.has(job.state)) || !matches(job, filter)) continue
            jobs.push(await whole(tx, job))
            if (jobs.length === limit) return { room: at.room, after: at.after, skip: i + 1 } satisfies Cursor
          }
          skip = 0
          at = { room: at.room, after: row.key, skip: 0 }
        }
      }
      return at
    })
  }
  return { jobs, ...(cursor && cursor.room < LISTED.length ? { cursor: encode(cursor) } : {}) }
}
