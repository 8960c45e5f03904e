/** Reading without deciding: one job, a list in slices, counters, and when something is next due. */
import { credentialsKey, refreshAt } from '../core/credentials.ts'
import { canRun, laneOf, parseLane } from '../core/lane.ts'
import { askAt } from '../core/network.ts'
import { seqOf } from '../core/seq.ts'
import { STATES, type HookName, type Job, type State } from '../core/job.ts'
import { present } from '../core/present.ts'
import type { Counts, QueueStats, Stats } from '../queue.ts'
import { isOwnFault, type Connection } from './connection.ts'
import { locate } from './rooms.ts'
import { ROOMS, type LeaseRow, type MetaRow, type QueueRow, type ReceiptRow, type Room } from './schema.ts'
import type { Tx } from './tx.ts'
import { emptyCounts } from './work.ts'

/** Reads in one transaction; once more where the storage had failed. */
export function read<T>(connection: Connection, use: (tx: Tx) => Promise<T>, rooms: readonly Room[] = ROOMS): Promise<T> {
  const once = (): Promise<T> => connection.use(rooms, use)
  return once().catch((error: unknown) => isOwnFault(error) ? Promise.reject(error as Error) : once())
}

/** A job with its data, wherever that is kept. */
export const withData = async (from: Pick<Tx, 'get'>, job: Job): Promise<Job> => job.large ? { ...job, data: (await from.get('payloads', job.seq))?.data } : job

/** Whether all that is kept apart of a job can be read. */
export async function isWhole(from: Pick<Tx, 'get'>, { seq, large, dependsOn = {} }: Job): Promise<boolean> {
  const rows = await Promise.all([...large ? [from.get('payloads', seq)] : [], ...Object.keys(dependsOn).map((name) => from.get('parents', [seq, name]))])
  return rows.every((row) => row !== undefined)
}

/** A job with its data and what it has of its parents. */
export async function whole(from: Pick<Tx, 'get'>, job: Job): Promise<Job> {
  const [{ data }, ...parents] = await Promise.all([withData(from, job), ...Object.keys(job.dependsOn ?? {}).map(async (name) => [name, (await from.get('parents', [job.seq, name]))?.result] as const)])
  return { ...job, data, ...(job.dependsOn && { parents: Object.fromEntries(parents) }) }
}

/** A job without what is kept apart of it. */
async function jobIn(tx: Tx, id: string): Promise<Job | undefined> {
  const seq = seqOf(id)
  const place = seq === undefined ? undefined : await locate(tx, seq)
  if (!place || place.job.id !== id) return undefined
  if (place.room !== 'leases') return place.job
  const queue = await tx.get('queues', place.job.queue)
  return { ...place.job, ...(isStarted(queue, place.lease, place.job.seq) ? { state: 'active' } : { state: 'waiting' }) }
}

export const getJob = (connection: Connection, id: string): Promise<Job | undefined> => read(connection, async (tx) => {
  const job = await jobIn(tx, id)
  return job && whole(tx, job)
})

const SLICE_MS = 20
const SLICE_JOBS = 16

/** The first of many without what is kept apart of them, as many as can be read while nobody is held up for long. */
export const getJobs = (connection: Connection, ids: readonly string[]): Promise<Array<readonly [id: string, job: Job | undefined]>> => read(connection, async (tx) => {
  const until = performance.now() + SLICE_MS
  const found: Array<readonly [id: string, job: Job | undefined]> = []
  do found.push(...await Promise.all(ids.slice(found.length, found.length + SLICE_JOBS).map(async (id) => [id, await jobIn(tx, id)] as const)))
  while (found.length < ids.length && performance.now() < until)
  return found
})

export const readMeta = (connection: Connection): Promise<MetaRow | undefined> => read(connection, (tx) => tx.get('meta', 'main'), ['meta'])

/** Whether an id was ever given, so that a job that is not there is known to be gone. */
export const wasGiven = async (connection: Connection, id: string): Promise<boolean> => (seqOf(id) ?? Infinity) < ((await readMeta(connection))?.next ?? 0)

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

/** `online`: the probe, if there is one, has not said no. */
export async function readStats(connection: Connection, now: number, queue?: string): Promise<Stats> {
  const rooms = ['queues', 'origins', 'credentials', 'meta'] as const
  const [rows, origins, credentials, meta] = await read(connection, (tx) => Promise.all([tx.all('queues', queue), tx.all('origins'), tx.all('credentials'), tx.get('meta', 'main')]), rooms)
  const closed = new Map(origins.filter(({ retryAt, failures }) => failures > 0 && retryAt > now).map(({ origin, retryAt, reason }) => [origin, { reason, until: retryAt }]))
  const refused = new Map(credentials.filter(({ state }) => state === 'stale' || state === 'denied').map((one) => [one.origin, present({ reason: 'unauthorized', until: finite(refreshAt(one, now)) })]))
  const total: Record<State, number> = { ...emptyCounts }
  const queues = rows.map((row): QueueStats => {
    const counts = countsOf(row)
    for (const state of STATES) total[state] += counts[state]
    const closedOrigins = Object.keys(row.lanes).map(parseLane).flatMap((lane) => {
      const why = closed.get(lane.origin ?? '') ?? refused.get(credentialsKey(lane))
      return lane.origin !== undefined && why ? [[lane.origin, why] as const] : []
    })
    const paused = row.paused && !(row.pausedUntil !== undefined && row.pausedUntil <= now)
    return {
      queue: row.queue, counts, paused, ...present({ pausedUntil: paused ? row.pausedUntil : undefined }), closedOrigins: Object.fromEntries(closedOrigins),
    }
  })
  const { state, reason } = meta?.network ?? {}
  return present({ counts: total, online: state !== 'down', offlineReason: state === 'down' ? reason : undefined, queues })
}

const finite = (at: number): number | undefined => at < Infinity ? at : undefined

export const readQueues = (connection: Connection): Promise<string[]> => read(connection, (tx) => tx.keys('queues'), ['queues', 'meta'])

/** Whether a handler or a request runs for somebody who is not the user now. */
export const runsForOthers = (connection: Connection): Promise<boolean> => read(connection, async (tx) => {
  const [all, meta] = await Promise.all([tx.all('leases'), tx.get('meta', 'main')])
  const leases = all.filter(({ processor }) => processor !== undefined)
  const boxes = await Promise.all(leases.map(({ box }) => tx.get('boxes', box)))
  return leases.some(({ left }, i) => boxes[i]?.jobs.some(({ seq, user }) => left.includes(seq) && user !== undefined && user !== meta?.user))
}, ['leases', 'boxes', 'meta'])

/** What upkeep has to know. */
export interface Outlook {
  /** When something is next due (epoch ms), Infinity when nothing is. */
  readonly at: number
  /** Waits begin in the future: they were begun before the clock was set back, and are to be mended now. */
  readonly ahead: boolean
  /** Which database it is. */
  readonly generation: string | undefined
  /** When a closed origin may next be tried. */
  readonly originsAt: number
  /** When credentials are next to be refreshed. */
  readonly refreshAt: number
  readonly queues: readonly QueueRow[]
  readonly leases: readonly LeaseRow[]
  /** Heartbeats by owner. */
  readonly owners: ReadonlyMap<string, number>
  readonly receipts: readonly ReceiptRow[]
  /** What is against the network's being there. */
  readonly network: MetaRow['network']
  /** Whether room is kept for the ends of stored jobs. */
  readonly reserve: MetaRow['reserve']
}

export function outlook(connection: Connection, now: number): Promise<Outlook> {
  return read(connection, async (tx) => {
    const [[delayed], [ahead], [expiry], origins, queues, leases, owners, receipts, meta, credentials] = await Promise.all([
      tx.allBy('delayed', 'runAt', null, 1), tx.allBy('delayed', 'since', IDBKeyRange.lowerBound(now, true), 1), tx.keys('expiries', null, 1), tx.all('origins'), tx.all('queues'), tx.all('leases'), tx.all('owners'), tx.all('receipts'), tx.get('meta', 'main'), tx.all('credentials'),
    ])
    const pauses = queues.map(({ paused, pausedUntil }) => paused ? pausedUntil ?? Infinity : Infinity)
    return {
      generation: meta?.generation,
      ahead: ahead !== undefined || origins.some(({ since }) => since > now),
      at: Math.min(delayed?.runAt ?? Infinity, expiry?.[0] ?? Infinity, ...pauses),
      originsAt: Math.min(Infinity, ...origins.map(({ retryAt, failures }) => failures > 0 || retryAt > now ? retryAt : Infinity)),
      refreshAt: Math.min(Infinity, ...credentials.map((one) => refreshAt(one, now))),
      queues, leases, owners: new Map(owners.map(({ owner, beats }) => [owner, beats])), receipts, network: meta?.network, reserve: meta?.reserve,
    }
  }, ['delayed', 'expiries', 'origins', 'queues', 'leases', 'owners', 'receipts', 'meta', 'credentials'])
}

const SOME_DELAYED = 100

/** When a realm with these hooks can send the next request (epoch ms), Infinity when it cannot send any. One that is being sent may come back, so it is due now. */
export const requestsDueAt = (connection: Connection, now: number, hooks: readonly HookName[]): Promise<number> => read(connection, async (tx) => {
  const [rows, origins, credentials, delayed, meta] = await Promise.all([tx.all('queues'), tx.all('origins'), tx.all('credentials'), tx.allBy('delayed', 'runAt', null, SOME_DELAYED), tx.get('meta', 'main')])
  const asked = meta?.network ? askAt(meta.network, undefined, now) : now
  const gates = new Map(origins.map(({ origin, retryAt }) => [origin, Math.max(now, retryAt)]))
  // Those that need a hook that is not here are passed over by their lane.
  const trusted = new Map(credentials.map((one) => [one.origin, one.state === 'denied' ? Infinity : one.state === 'stale' ? refreshAt(one, now) : now]))
  const due = (lane: string, at: number): number => {
    const needs = parseLane(lane)
    return canRun({ kind: 'requests', hooks }, needs, meta?.user) ? Math.max(at, asked, gates.get(needs.origin ?? '') ?? now, trusted.get(credentialsKey(needs)) ?? now) : Infinity
  }
  const open = new Map(rows.filter(({ http, paused, pausedUntil = Infinity }) => http && !(paused && pausedUntil > now)).map((row) => [row.queue, row]))
  const requests = [...open.values()].flatMap(({ counts, lanes }) => [...(counts.active > 0 ? [now] : []), ...Object.keys(lanes).map((lane) => due(lane, now))])
  return Math.min(Infinity, ...requests, ...delayed.filter(({ queue }) => open.has(queue)).map((job) => due(laneOf(job), job.runAt ?? now)))
}, ['queues', 'origins', 'credentials', 'delayed', 'meta'])

export const readLeases = (connection: Connection, owner: string): Promise<LeaseRow[]> =>
  read(connection, (tx) => tx.allBy('leases', 'owner', owner), ['leases'])

/** The jobs of a box that are still held, with their data. */
export const readBox = (connection: Connection, lease: LeaseRow): Promise<Job[]> => read(connection, async (tx) => {
  const box = await tx.get('boxes', lease.box)
  const jobs = box?.jobs.filter(({ seq }) => lease.left.includes(seq))
  return Promise.all((jobs ?? []).map((job) => whole(tx, job)))
}, ['boxes', 'payloads', 'parents'])

export async function receiptOf(tx: Tx, client: string): Promise<ReceiptRow | undefined> {
  const [meta, row] = await Promise.all([tx.get('meta', 'main'), tx.get('receipts', client)])
  return meta?.receipt?.client === client ? meta.receipt : row
}
/** Whoever has ever committed anything has one, until it is forgotten. */
export const readReceipt = (connection: Connection, client: string): Promise<ReceiptRow | undefined> => read(connection, (tx) => receiptOf(tx, client), ['meta', 'receipts'])

export const readSteps = (connection: Connection, seq: number): Promise<Record<string, unknown>> => read(connection, async (tx) => {
  const rows = await tx.all('steps', IDBKeyRange.bound([seq], [seq, []]))
  return Object.fromEntries(rows.map(({ name, value }) => [name, value]))
}, ['steps'])
