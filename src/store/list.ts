/** Lists of jobs, in pages and in slices of time: a long search must hold up no push. */
import { HoldfastError } from '../core/errors.ts'
import type { Job, State } from '../core/job.ts'
import { present } from '../core/present.ts'
import type { Filter, ListFilter } from '../queue.ts'
import type { Connection } from './connection.ts'
import { withLease } from './rooms.ts'
import { isStarted, read, withData } from './reads.ts'
import type { Tx } from './tx.ts'

/** Order in which states are listed, and so the first part of a cursor. Within: waiting jobs as they would be claimed, ended ones latest first. */
const LISTED: readonly State[] = ['active', 'waiting', 'blocked', 'delayed', 'dead', 'completed', 'cancelled']
/** What the key of a listed row is made of. */
const CURSOR_SHAPE: Readonly<Record<State, string>> = {
  active: 'number,number', waiting: 'string,number,number', blocked: 'number', delayed: 'number', dead: 'number',
  completed: 'string,number,number', cancelled: 'string,number,number',
}
const SLICE_ROWS = 200
const SLICE_MS = 20

/** The state that is being listed, and the key of the last row that was. */
interface Cursor { readonly room: number; readonly after: IDBValidKey | null }
interface Row { readonly key: IDBValidKey; readonly job: Job }

const encode = ({ room, after }: Cursor): string => JSON.stringify([room, after])
function decode(text: string | undefined): Cursor {
  if (text === undefined) return { room: 0, after: null }
  try {
    const [room, after] = JSON.parse(text) as [number, IDBValidKey | null]
    const state = LISTED[room]
    const shape = state === undefined ? undefined : CURSOR_SHAPE[state]
    if (shape && (after === null || (Array.isArray(after) ? after.map((part) => typeof part) : [typeof after]).join() === shape)) return { room, after }
  } catch { /* told below */ }
  throw new HoldfastError('VALIDATION', 'filter.cursor is not one that list() returned', { field: 'filter.cursor' })
}

function matches(job: Job, filter: Filter & { readonly search?: string }): boolean {
  return (filter.queue === undefined || job.queue === filter.queue) && (filter.name === undefined || job.name === filter.name)
    && (filter.group === undefined || job.group === filter.group) && (filter.tag === undefined || job.tags?.includes(filter.tag) === true) && (filter.user === undefined || job.user === filter.user) && (filter.fingerprint === undefined || job.fingerprint === filter.fingerprint)
    && (filter.ids === undefined || filter.ids.includes(job.id)) && (filter.search === undefined || mentions(job, filter.search.toLowerCase()))
}

function mentions(job: Job, text: string): boolean {
  const error = job.attempts?.[job.attempts.length - 1]?.error
  const fields = [job.name, job.id, ...(job.tags ?? []), job.reason ?? '', error?.name ?? '', error?.message ?? '', job.http?.url ?? '']
  return fields.some((field) => field.toLowerCase().includes(text)) || textOf(job.data).toLowerCase().includes(text)
}

function textOf(data: unknown): string {
  try { return JSON.stringify(data) ?? '' } catch { return '' }
}

/** The next rows of one state after a key; none when there are no more. */
async function rowsOf(tx: Tx, state: State, queue: string | undefined, after: IDBValidKey | null): Promise<Row[]> {
  switch (state) {
    case 'waiting': return waitingRows(tx, queue, after as [string, number, number] | null)
    case 'active': return leasedRows(tx, after as [number, number] | null)
    case 'completed': case 'cancelled': return endedRows(tx, state, queue, after as [string, number, number] | null)
    case 'delayed': case 'blocked': case 'dead': {
      const jobs = queue === undefined ? await tx.all(state, after === null ? null : IDBKeyRange.lowerBound(after, true), SLICE_ROWS)
        : await tx.allBy(state, 'queue', IDBKeyRange.bound([queue, after ?? -1], [queue, []], true), SLICE_ROWS)
      return jobs.map((job) => ({ key: job.seq, job }))
    }
  }
}

const LANE_PAGES = 4

/** Waiting jobs in claim order, [queue, −priority, position]: the lanes of a queue are merged as far as all of them are known. */
async function waitingRows(tx: Tx, only: string | undefined, after: [queue: string, rank: number, position: number] | null): Promise<Row[]> {
  const names = only === undefined ? await tx.keys('queues', after ? IDBKeyRange.lowerBound(after[0]) : null) : [only]
  for (const queue of names) {
    const row = await tx.get('queues', queue)
    const [rank, position] = after?.[0] === queue ? [after[1], after[2]] : [-Infinity, -Infinity]
    const isAfter = (job: Job): boolean => -job.priority > rank || (-job.priority === rank && job.position > position)
    const lanes = await Promise.all(Object.keys(row?.lanes ?? {}).map(async (lane) => {
      // The page that spans the position begins at or before it.
      const { value: start } = await tx.backwards('waiting', IDBKeyRange.bound([queue, lane], [queue, lane, rank, position])).next()
      const pages = await tx.all('waiting', IDBKeyRange.bound(start?.key ?? [queue, lane], [queue, lane, []]), LANE_PAGES)
      const jobs = pages.flatMap((page) => page.jobs)
      return { jobs: jobs.filter(isAfter), last: pages.length === LANE_PAGES ? jobs[jobs.length - 1] : undefined }
    }))
    const order = (a: Job, b: Job): number => b.priority - a.priority || a.position - b.position
    const known = lanes.map(({ last }) => last).filter((last) => last !== undefined).sort(order)[0]
    const jobs = lanes.flatMap((lane) => lane.jobs).filter((job) => !known || order(job, known) <= 0).sort(order)
    if (jobs.length > 0) return jobs.map((job) => ({ key: [queue, -job.priority, job.position], job }))
  }
  return []
}

/** Leased jobs by [box, seq]; those leased ahead of time are waiting. */
async function leasedRows(tx: Tx, after: [box: number, seq: number] | null): Promise<Row[]> {
  for (let from = after ? IDBKeyRange.lowerBound(after[0]) : null; ;) {
    const leases = await tx.all('leases', from, 20)
    const rows = await Promise.all(leases.map(async (lease) => {
      const [box, queue] = await Promise.all([tx.get('boxes', lease.box), tx.get('queues', lease.queue)])
      return lease.left.flatMap((seq): Row[] => {
        const job = box?.jobs.find((one) => one.seq === seq)
        if (!job || (after?.[0] === lease.box && seq <= after[1])) return []
        return [{ key: [lease.box, seq], job: { ...withLease(job, lease), state: isStarted(queue, lease, seq) ? 'active' : 'waiting' } }]
      }).sort((a, b) => a.job.seq - b.job.seq)
    }))
    const last = leases[leases.length - 1]
    if (rows.flat().length > 0 || !last) return rows.flat()
    from = IDBKeyRange.lowerBound(last.box, true)
  }
}

/** Ended jobs by [queue, order, index], latest first. */
async function endedRows(tx: Tx, state: 'completed' | 'cancelled', only: string | undefined, after: [queue: string, order: number, index: number] | null): Promise<Row[]> {
  const names = only === undefined ? await tx.keys('queues', after ? IDBKeyRange.lowerBound(after[0]) : null) : [only]
  for (const queue of names) {
    const here = after?.[0] === queue ? after : undefined
    const rows: Row[] = []
    const range = IDBKeyRange.bound([queue, state], [queue, state, here ? here[1] : []])
    for await (const { row: { order } } of tx.backwards('history', range)) {
      const { jobs } = await tx.get('archives', order) ?? { jobs: [] }
      const end = here?.[1] === order ? here[2] : jobs.length
      for (let i = end - 1; i >= 0; i--) { const job = jobs[i]; if (job) rows.push({ key: [queue, order, i], job }) }
      if (rows.length >= SLICE_ROWS) break
    }
    if (rows.length > 0) return rows
  }
  return []
}

/** A page of jobs. Reads in slices of at most ~20 ms a transaction. */
export async function listJobs(connection: Connection, filter: ListFilter): Promise<{ readonly jobs: Job[]; readonly cursor?: string }> {
  const limit = filter.limit ?? 100
  const wanted: ReadonlySet<State> | undefined = filter.state === undefined ? undefined : new Set<State>([filter.state].flat())
  // Jobs leased ahead live in the leases' room and count as waiting.
  const visits = (state: State): boolean => !wanted || wanted.has(state) || (state === 'active' && wanted.has('waiting'))
  // One that moves from slice to slice is met twice.
  const jobs = new Map<number, Job>()
  let at = decode(filter.cursor)
  while (at.room < LISTED.length && jobs.size < limit) {
    const slice = await read(connection, (tx) => readSlice(tx, at, limit - jobs.size))
    for (const job of slice.jobs) jobs.set(job.seq, job)
    at = slice.next
  }
  return present({ jobs: [...jobs.values()], cursor: at.room < LISTED.length ? encode(at) : undefined })

  async function readSlice(tx: Tx, from: Cursor, most: number): Promise<{ readonly jobs: readonly Job[]; readonly next: Cursor }> {
    const until = performance.now() + SLICE_MS
    const found: Job[] = []
    let next = from
    do {
      const state = LISTED[next.room]
      if (state === undefined) break
      const rows = visits(state) ? await rowsOf(tx, state, filter.queue, next.after) : []
      if (rows.length === 0) next = { room: next.room + 1, after: null }
      for (const { key, job } of rows) {
        next = { room: next.room, after: key }
        if ((wanted && !wanted.has(job.state)) || !matches(job, filter)) continue
        found.push(await withData(tx, job))
        if (found.length === most) return { jobs: found, next }
      }
    } while (performance.now() < until)
    return { jobs: found, next }
  }
}
