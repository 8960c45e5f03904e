/** The database: its type, its version and its upgrades, which only ever add. */
import type { Counts, QueueSettings } from '../queue.ts'
import type { Credentials } from '../core/credentials.ts'
import type { Gate } from '../core/gate.ts'
import type { Network } from '../core/network.ts'
import { HoldfastError } from '../core/errors.ts'
import type { HttpRequest, Job, LogLine } from '../core/job.ts'
import { Tx } from './tx.ts'

export const VERSION = 4
/** What is older does not look for a queue's row in the meta row. */
const NEEDS = 4

/** A run of waiting jobs of one lane and priority, in order of position. Pages of one (lane, priority) never overlap. */
export interface PageRow {
  readonly queue: string
  readonly lane: string
  /** −priority, so that keys sort in claim order. */
  readonly rank: number
  /** Position of the first job. */
  readonly first: number
  readonly bytes: number
  readonly jobs: readonly Job[]
}
export type PageKey = [queue: string, lane: string, rank: number, first: number]

/** What `progress` and `log` left for a running job. */
export interface Report {
  readonly progress?: number
  readonly message?: string
  readonly logs?: readonly LogLine[]
}

/** Who holds the jobs of a box, and which of them are left. Small, since every ending rewrites it. */
export interface LeaseRow {
  readonly box: number
  readonly queue: string
  readonly token: string
  readonly owner: string
  /** The processor that runs them; absent: pulled by hand. */
  readonly processor?: string
  /** Sequence numbers still held. */
  readonly left: readonly number[]
  readonly leaseMs: number
  /** Heartbeats of pulled jobs, a count each: observers compare, they do not trust clocks. */
  readonly beats?: Readonly<Record<number, number>>
  readonly cancels?: Readonly<Record<number, { readonly reason: string; readonly remove: boolean }>>
  readonly reports?: Readonly<Record<number, Report>>
  /** Jobs that have stored steps. */
  readonly steps?: readonly number[]
  readonly buckets: readonly number[]
}

/** The claimed jobs, written once. */
export interface BoxRow { readonly jobs: readonly Job[] }

/** Jobs that ended completed or cancelled in one commit: which they are. The jobs themselves are in the archive of the same order. */
export interface HistoryRow {
  readonly queue: string
  readonly state: 'completed' | 'cancelled'
  /** Grows with every row: the oldest is the first. */
  readonly order: number
  readonly endedAt: number
  readonly seqs: readonly number[]
  /** Those of which something is kept apart: their data, or what they have of their parents. */
  readonly large?: readonly number[]
  readonly buckets: readonly number[]
}

/** A processor's share of its queue's concurrency. */
export interface ProcessorShare {
  readonly owner: string
  /** How many it could run at once. */
  readonly want: number
  /** How many it may. */
  readonly has: number
  /** How many it has leased: the first `has` run, the others wait their turn there. */
  readonly leased: number
  /** The lowest priority among those it claimed last. */
  readonly priority: number
  /** It found jobs that it could run, and no share to run them with. */
  readonly hungry?: true
  /** The names it has handlers for; absent: all. */
  readonly names?: readonly string[]
}

export interface QueueRow {
  readonly queue: string
  /** `active` counts leased jobs, the unstarted ones included; `stats` tells them apart. */
  readonly counts: Counts
  /** The lanes that have waiting jobs; `ranks`: those that were used since a lane was last empty. */
  readonly lanes: Readonly<Record<string, { readonly jobs: number; readonly pages: number; readonly ranks: readonly number[] }>>
  readonly settings: QueueSettings
  /** Requests were pushed here, so it needs the network and a realm that sends them. */
  readonly http?: true
  /** From the latest `process` call: jobs at once over all tabs. */
  readonly concurrency?: number
  readonly paused: boolean
  readonly pausedUntil?: number
  readonly processors: Readonly<Record<string, ProcessorShare>>
}

/** A job that waits for its turn in its group; at position −∞ who has it, and how many wait. In no queue and group, at a job's number: the position it was given with its turn. */
export interface GroupRow { readonly queue: string; readonly group: string; readonly position: number; readonly seq: number; readonly waiting?: number }

export interface MetaRow {
  readonly key: 'main'
  /** Changes only when the database is made anew. */
  readonly generation: string
  /** The next sequence number; also numbers boxes and history rows. */
  readonly next: number
  /** The latest time given to an id. */
  readonly lastMs: number
  /** Grows with every commit that changed anything: who finds it unchanged may trust what it remembers. */
  readonly version: number
  /** The receipt of whoever committed last: in this row, which every commit writes anyway, it costs none of its own. */
  readonly receipt?: ReceiptRow
  /** The row of the queue that was written last, for the same reason, if it is small; in its own room there is an older one, or none. */
  readonly queue?: QueueRow | undefined
  /** The room kept for the ends of stored jobs; absent: not yet taken. Once it is spent, pushes are refused until it is kept again. */
  readonly reserve?: 'kept' | 'spent'
  /** Whose queue it is now. */
  readonly user?: string
  /** What is against the network's being there: in this row, which every claim has read, it costs none of its own. */
  readonly network?: Network
  /** The highest number of a job that another was ever made to depend on: later ones have no children, which need not be looked for. */
  readonly awaited?: number
  /** The oldest schema version that may still write here; absent: any. */
  readonly needs?: number
}

/** What a child has of one of its parents: nothing until that has completed. */
export interface ParentRow { readonly child: number; readonly name: string; readonly parent: number; readonly result?: unknown }

/** A client's last commit, by which one that was applied but reported as failed is known; and what its last commits answered, until it says it has heard. */
export interface ReceiptRow { readonly client: string; readonly commit: string; readonly at: number; readonly replies: ReadonlyArray<readonly [calls: readonly number[], reply: unknown]> }

export interface Schema {
  waiting: { key: PageKey; value: PageRow }
  leases: { key: number; value: LeaseRow; indexes: { buckets: number; owner: string } }
  boxes: { key: number; value: BoxRow }
  delayed: { key: number; value: Job; indexes: { runAt: number; since: number; queue: [string, number] } }
  blocked: { key: number; value: Job; indexes: { waitsFor: number; queue: [string, number] } }
  dead: { key: number; value: Job; indexes: { queue: [string, number]; fingerprint: [string, string, number] } }
  history: { key: [string, string, number]; value: HistoryRow; indexes: { buckets: number } }
  archives: { key: number; value: { readonly jobs: readonly Job[] } }
  groups: { key: [queue: string, group: string, position: number]; value: GroupRow }
  parents: { key: [child: number, name: string]; value: ParentRow; indexes: { parent: number } }
  expiries: { key: [at: number, seq: number]; value: { at: number; seq: number; queue?: string; lane?: string } }
  uniques: { key: [queue: string, key: string]; value: { queue: string; key: string; seq: number; until?: number } }
  /** Data too large to be rewritten with its job. */
  payloads: { key: number; value: { seq: number; data: unknown } }
  steps: { key: [seq: number, name: string]; value: { seq: number; name: string; value: unknown } }
  queues: { key: string; value: QueueRow }
  origins: { key: string; value: Gate }
  credentials: { key: string; value: Credentials }
  owners: { key: string; value: { owner: string; beats: number } }
  receipts: { key: string; value: ReceiptRow }
  schedules: { key: string; value: { name: string } }
  webhooks: { key: string; value: { id: string } }
  aliases: { key: string; value: { id: string; seq: number } }
  /** Jobs enqueued by an application's own transaction, until the engine takes them in. */
  inbox: { key: number; value: { n?: number; queue: string; name: string; data: unknown; http?: HttpRequest } }
  meta: { key: 'main'; value: MetaRow }
}

export type Room = keyof Schema

interface Layout {
  /** Where a row's key lies in it; absent: beside it. */
  readonly key?: string | string[]
  readonly numbered?: true
  readonly indexes?: Readonly<Record<string, string | string[]>>
  /** Indexes over each item of a list, of their field's name. */
  readonly lists?: readonly string[]
}

/**
 * Rows that hold many jobs (waiting, boxes, archives) have no index and no key inside: Chromium reads a value back to find its keys, which would
 * cost as much as writing it. Small rows beside them are what is looked up.
 */
const LAYOUT: Readonly<Record<Room, Layout>> = {
  waiting: {},
  leases: { key: 'box', indexes: { owner: 'owner' }, lists: ['buckets'] },
  boxes: {},
  delayed: { key: 'seq', indexes: { runAt: 'runAt', since: 'since', queue: ['queue', 'seq'] } },
  blocked: { key: 'seq', indexes: { queue: ['queue', 'seq'] }, lists: ['waitsFor'] },
  dead: { key: 'seq', indexes: { queue: ['queue', 'seq'], fingerprint: ['queue', 'fingerprint', 'seq'] } },
  history: { key: ['queue', 'state', 'order'], lists: ['buckets'] },
  archives: {},
  groups: { key: ['queue', 'group', 'position'] },
  parents: { key: ['child', 'name'], indexes: { parent: 'parent' } },
  expiries: { key: ['at', 'seq'] },
  uniques: { key: ['queue', 'key'] },
  payloads: { key: 'seq' },
  steps: { key: ['seq', 'name'] },
  queues: { key: 'queue' },
  origins: { key: 'origin' },
  credentials: { key: 'origin' },
  owners: { key: 'owner' },
  receipts: { key: 'client' },
  schedules: { key: 'name' },
  webhooks: { key: 'id' },
  aliases: { key: 'id' },
  inbox: { key: 'n', numbered: true },
  meta: { key: 'key' },
}
export const ROOMS = Object.keys(LAYOUT) as Room[]

/** All that claims and endings touch. */
export const RUN_ROOMS = ['queues', 'waiting', 'leases', 'boxes', 'history', 'archives', 'delayed', 'dead', 'payloads', 'steps', 'origins', 'credentials', 'expiries', 'groups', 'blocked', 'parents'] as const satisfies readonly Room[]

export const PUSH_ROOMS = ['queues', 'waiting', 'delayed', 'expiries', 'payloads', 'uniques', 'groups', 'blocked'] as const satisfies readonly Room[]

/** Sequence numbers are indexed by the bucket: 64 jobs that were pushed together have one or two. */
export const bucketOf = (seq: number): number => Math.floor(seq / 64)
export const bucketsOf = (seqs: Iterable<number>): number[] => {
  const buckets = new Set<number>()
  for (const seq of seqs) buckets.add(bucketOf(seq))
  return [...buckets]
}

export interface OpenEvents {
  /** The browser closed the connection, or another tab deletes or upgrades the database. */
  replaced(): void
  /** The database was upgraded to a version that this code cannot use. */
  outdated(): void
}

const databaseName = (name: string): string => `holdfast:${name}`

export const opened = (request: IDBOpenDBRequest): Promise<IDBDatabase> => new Promise((resolve, reject) => {
  request.onsuccess = () => { resolve(request.result) }
  request.onerror = () => { reject(request.error) }
})

/** Upgrades only ever add, so a newer version can be used as long as it does not say that it must not be. */
export async function openDatabase(factory: IDBFactory, name: string, generation: string, events: OpenEvents): Promise<IDBDatabase> {
  const request = factory.open(databaseName(name), VERSION)
  request.onupgradeneeded = ({ oldVersion }) => {
    addRooms(request.result, generation)
    const meta = request.transaction?.objectStore('meta')
    if (meta && oldVersion > 0) meta.get('main').onsuccess = ({ target }) => {
      const { result } = target as IDBRequest<MetaRow | undefined>
      // Where it is lost, repair makes one.
      if (result) meta.put({ ...result, needs: NEEDS })
    }
  }
  let db: IDBDatabase
  try { db = await opened(request) } catch (error) {
    if (!(error instanceof Error) || error.name !== 'VersionError') throw error
    db = await opened(factory.open(databaseName(name)))
    const [meta] = await new Tx(db.transaction(['meta'])).all('meta')
    if ((meta?.needs ?? 1) > VERSION) {
      db.close()
      events.outdated()
      throw new HoldfastError('STORAGE', 'The database was upgraded by a newer version of this app: reload this tab', { name }, error)
    }
  }
  db.onversionchange = () => { db.close(); events.replaced() }
  db.onclose = () => { events.replaced() }
  return db
}

export const deleteDatabase = (factory: IDBFactory, name: string): Promise<unknown> => opened(factory.deleteDatabase(databaseName(name)))

/** Of a database in which no number is given yet. */
export const newMeta = (generation: string): MetaRow => ({ key: 'main', generation, next: 1, lastMs: 0, version: 0, needs: NEEDS })

/** Those that an older version did not have. */
function addRooms(db: IDBDatabase, generation: string): void {
  for (const [room, { key, numbered, indexes = {}, lists = [] }] of Object.entries(LAYOUT)) {
    if (db.objectStoreNames.contains(room)) continue
    const store = db.createObjectStore(room, { keyPath: key ?? null, autoIncrement: numbered === true })
    for (const [index, path] of Object.entries(indexes)) store.createIndex(index, path)
    for (const list of lists) store.createIndex(list, list, { multiEntry: true })
    if (room === 'meta') store.put(newMeta(generation))
  }
}
