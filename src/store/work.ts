/**
 * One transaction's view of the database. Operations run one after another over it: they read what earlier ones of the same transaction
 * left, each row is fetched once, and one that throws is undone. Nothing is written before `flush`.
 */
import type { Job } from '../core/job.ts'
import { present } from '../core/present.ts'
import type { QueueEvent, EventType } from '../queue.ts'
import { changes, emptyView, head, keyOf, isKnown, rankOf, sameKey, withLoaded, type LaneView } from './lane-view.ts'
import { isApart, pack } from './packing.ts'
import { bucketsOf, type HistoryRow, type MetaRow, type PageKey, type PageRow, type QueueRow, type ReceiptRow, type Room } from './schema.ts'
import { idOf, type Key, type Row, type Tx } from './tx.ts'

const HISTORY_JOBS = 256

const SMALL = 4096
/** Whether every commit may write it along: what is large costs all of them, and Chromium may keep it in a file, which can be lost. Metadata may be what JSON cannot say. */
const isSmall = (row: QueueRow): boolean => row.settings.defaults?.metadata === undefined && JSON.stringify(row).length <= SMALL

interface Entry { readonly room: Room; readonly key: IDBValidKey; readonly row: unknown; readonly dirty: boolean; readonly add: boolean }

/** Rows that most transactions need, as a realm last saw them. */
export interface Memory { readonly generation: string; readonly version: number; readonly rows: ReadonlyMap<string, Entry> }

const REMEMBERED: ReadonlySet<Room> = new Set<Room>(['meta', 'queues', 'leases', 'origins', 'credentials'])

/** What a transaction may not get from anywhere else: the time and chance, drawn before it began. */
export interface Env {
  readonly now: number
  /** Uniform in [0, 1). */
  random(): number
  /** 128 random bits as text. */
  token(): string
  /** Whether anyone listens to events. */
  readonly heard: boolean
}

export const emptyCounts = { waiting: 0, delayed: 0, blocked: 0, active: 0, completed: 0, cancelled: 0, dead: 0 } as const

export class Work {
  readonly now: number
  readonly env: Env
  readonly #tx: Tx
  readonly #rows = new Map<string, Entry>()
  readonly #reading = new Map<string, Promise<void>>()
  readonly #views = new Map<string, { readonly view: LaneView; readonly dirty: boolean }>()
  readonly #ranges: Array<{ readonly room: Room; readonly range: IDBKeyRange }> = []
  #undo: Array<() => void> = []
  #ended: Job[] = []
  #events: QueueEvent[] = []
  /** The version that was read. */
  #version = 0
  /** Queues that may have more to claim after this commit. */
  readonly wakes = new Set<string>()
  /** Owners that should look at their leases: a stop was asked for, or a lease is gone. */
  readonly summons = new Set<string>()
  /** When something stored by this commit is due (epoch ms). */
  dueAt = Infinity
  due(at: number): void { this.dueAt = Math.min(this.dueAt, at) }

  /** `remembered` are rows as of the version that the database still has, or the transaction is not committed. */
  constructor(tx: Tx, env: Env, remembered?: Memory) {
    this.#tx = tx
    this.env = env
    this.now = env.now
    for (const [id, entry] of remembered?.rows ?? []) this.#rows.set(id, entry)
  }

  /** What this realm may remember once this is committed, given what it remembered before. */
  memory(before: Memory | undefined): Memory {
    const { version } = this.meta
    const rows = new Map(this.found(before) ? before?.rows : [])
    for (const [id, { room, key, row }] of this.#rows) {
      if (!REMEMBERED.has(room)) continue
      if (row === undefined) rows.delete(id)
      else rows.set(id, { room, key, row, dirty: false, add: false })
    }
    return { generation: this.generation, version, rows }
  }

  /** Whether the database was as `before` had left it. */
  found(before: Memory | undefined): boolean { return before?.version === this.#version && before.generation === this.generation }

  /** Whether `key` need not be read. */
  static remembers(memory: Memory, room: Room, key: IDBValidKey): boolean { return memory.rows.has(idOf(room, key)) }

  // ---- one operation ----

  begin(): void { this.#undo = [] }

  rollback(): void {
    for (const undo of this.#undo.reverse()) undo()
    this.#undo = []
  }

  // ---- rows ----

  async get<R extends Room>(room: R, key: Key<R>): Promise<Row<R> | undefined> {
    const id = idOf(room, key)
    const known = this.#rows.get(id)
    if (known) return known.row as Row<R> | undefined
    let reading = this.#reading.get(id)
    if (!reading) {
      reading = this.#tx.get(room, key).then((row) => {
        // Whoever asked first may have changed it by now.
        if (!this.#rows.has(id)) this.#rows.set(id, { room, key, row, dirty: false, add: false })
      })
      this.#reading.set(id, reading)
    }
    await reading
    return this.#rows.get(id)?.row as Row<R> | undefined
  }

  /** The row of the lowest key within a range, as this transaction has left it. */
  async first<R extends Room>(room: R, range: IDBKeyRange): Promise<Row<R> | undefined> {
    const mine = [...this.#rows.values()].filter((entry) => entry.room === room && range.includes(entry.key))
    const isMine = (key: IDBValidKey): boolean => mine.some((entry) => indexedDB.cmp(entry.key, key) === 0)
    // Of so many rows one at least is not among those that were changed here.
    const keys = await this.#tx.keys(room, range, mine.length + 1)
    const candidates = [...keys.filter((key) => !isMine(key)), ...mine.filter(({ row }) => row !== undefined).map(({ key }) => key as Key<R>)]
    const [lowest] = candidates.sort((a, b) => indexedDB.cmp(a, b))
    return lowest === undefined ? undefined : this.get(room, lowest)
  }

  put<R extends Room>(room: R, key: Key<R>, row: Row<R> | undefined, add = false): void {
    const id = idOf(room, key)
    const before = this.#rows.get(id)
    this.#undo.push(() => { if (before) this.#rows.set(id, before); else this.#rows.delete(id) })
    this.#rows.set(id, { room, key, row, dirty: true, add: before?.add ?? add })
  }

  delete<R extends Room>(room: R, key: Key<R>): void { this.put(room, key, undefined) }

  /** Deletes a range of rows that no operation of this transaction reads. */
  deleteRange(room: Room, range: IDBKeyRange): void {
    const entry = { room, range }
    this.#undo.push(() => { this.#ranges.splice(this.#ranges.indexOf(entry), 1) })
    this.#ranges.push(entry)
  }

  /** For index lookups of operations that have a transaction of their own, so that nothing is pending here yet. */
  get tx(): Tx { return this.#tx }

  // ---- the database's counter ----

  /** The meta row, which every transaction reads first. */
  get meta(): MetaRow {
    const row = this.#rows.get(idOf('meta', 'main'))?.row as MetaRow | undefined
    if (!row) throw new Error('the database has no meta row')
    return row
  }

  /** The first of `count` consecutive numbers, for jobs, boxes and history rows alike. */
  numbers(count: number): number {
    const { meta } = this
    this.put('meta', 'main', { ...meta, next: meta.next + count })
    return meta.next
  }

  /** The time for new ids: never earlier than the last one given. */
  idTime(): number {
    const { meta } = this
    if (meta.lastMs >= this.now) return meta.lastMs
    this.put('meta', 'main', { ...meta, lastMs: this.now })
    return this.now
  }

  // ---- endings, gathered so that those of one commit share rows ----

  ended(job: Job): void {
    this.#ended.push(job)
    this.#undo.push(() => { this.#ended.splice(this.#ended.lastIndexOf(job), 1) })
  }

  /** Jobs that became final in this commit, those that were removed at once included. */
  readonly finals: Job[] = []

  final(job: Job): void {
    const { length } = this.finals
    this.finals.push(job)
    this.#undo.push(() => { this.finals.length = length })
  }

  /** Results of completed jobs of which less is kept than their children are given. */
  readonly full = new Map<number, unknown>()

  /** Those of `finals` whose children were not looked for yet. */
  takeFinals(): readonly Job[] {
    const met = this.#met
    this.#undo.push(() => { this.#met = met })
    this.#met = this.finals.length
    return this.finals.slice(met)
  }
  #met = 0

  #flushEnded(): void {
    const groups = new Map<string, Job[]>()
    for (const job of this.#ended) {
      const id = `${job.state}|${job.queue}`
      const group = groups.get(id)
      if (group) group.push(job)
      else groups.set(id, [job])
    }
    for (const jobs of groups.values()) for (let i = 0; i < jobs.length; i += HISTORY_JOBS) {
      const part = jobs.slice(i, i + HISTORY_JOBS)
      const { queue, state } = part[0]!
      const order = this.numbers(1)
      const seqs = part.map(({ seq }) => seq)
      const large = part.filter(isApart).map(({ seq }) => seq)
      this.put('history', [queue, state, order], { queue, state: state as HistoryRow['state'], order, endedAt: this.now, seqs, buckets: bucketsOf(seqs), ...(large.length > 0 && { large }) }, true)
      this.put('archives', order, { jobs: part }, true)
    }
    this.#ended = []
  }

  // ---- queues ----

  async queue(queue: string): Promise<QueueRow> {
    return await this.get('queues', queue) ?? { queue, counts: emptyCounts, lanes: {}, settings: {}, paused: false, processors: {} }
  }

  putQueue(row: QueueRow): void { this.put('queues', row.queue, row) }

  // ---- lanes ----

  view(queue: string, lane: string): LaneView { return this.#views.get(`${queue}|${lane}`)?.view ?? emptyView(queue, lane) }

  setView(view: LaneView): void {
    const id = `${view.queue}|${view.lane}`
    const before = this.#views.get(id)
    this.#undo.push(() => { if (before) this.#views.set(id, before); else this.#views.delete(id) })
    this.#views.set(id, { view, dirty: true })
  }

  /** Reads more of a lane's front, until its first `least` pages are certain or there are no more; `pages` is how many to read at once. */
  async loadFront(queue: string, lane: string, pages: number, least = 1): Promise<LaneView> {
    let view = this.view(queue, lane)
    for (let wave = Math.max(1, pages); view.loadedTo !== 'all' && (view.pages.length < least || !head(view)); wave *= 4) {
      const from = view.loadedTo === 'none' ? [queue, lane] : view.loadedTo
      const rows = await this.#tx.all('waiting', IDBKeyRange.bound(from, [queue, lane, []], true), wave)
      const last = rows[rows.length - 1]
      const to: LaneView['loadedTo'] = rows.length < wave || !last ? 'all' : [queue, lane, last.rank, last.jobs[last.jobs.length - 1]?.position ?? last.first]
      view = this.#loaded(queue, lane, rows, to)
    }
    return view
  }

  /** Makes known the page in which a job of this rank and position belongs. */
  async loadAround(queue: string, lane: string, job: Pick<Job, 'priority' | 'position'>): Promise<LaneView> {
    const view = this.view(queue, lane)
    const rank = rankOf(job)
    if (isKnown(view, rank, job.position)) return view
    const range = IDBKeyRange.bound([queue, lane, rank, -Infinity] satisfies PageKey, [queue, lane, rank, job.position] satisfies PageKey)
    for await (const { key, row } of this.#tx.backwards('waiting', range)) {
      if (view.gone.some((gone) => sameKey(gone, key))) continue
      const known = view.pages.find(({ stored }) => stored && sameKey(stored, key))
      if (!known) return this.#loaded(queue, lane, [row], view.loadedTo)
      if (known.row.first <= job.position) return view
    }
    return view
  }

  /** Reading is no operation's doing: it stays when one is undone. */
  #loaded(queue: string, lane: string, rows: readonly PageRow[], loadedTo: LaneView['loadedTo']): LaneView {
    const id = `${queue}|${lane}`
    const view = withLoaded(this.view(queue, lane), rows, loadedTo)
    this.#views.set(id, { view, dirty: this.#views.get(id)?.dirty ?? false })
    return view
  }

  // ---- what others hear ----

  emit(type: EventType, job: Pick<Job, 'id' | 'queue' | 'name' | 'group' | 'tags'> | undefined, more: { readonly [K in Exclude<keyof QueueEvent, 'type' | 'at'>]?: QueueEvent[K] | undefined } = {}): void {
    if (!this.env.heard) return
    const event: QueueEvent = { type, at: this.now, ...present({ id: job?.id, queue: job?.queue, name: job?.name, group: job?.group, tags: job?.tags, ...more }) }
    const { length } = this.#events
    this.#undo.push(() => { this.#events.length = length })
    this.#events.push(event)
  }

  get events(): readonly QueueEvent[] { return this.#events }

  get generation(): string { return this.meta.generation }

  // ---- the end ----

  /** Whether the database still has the version that was remembered; asked first, so that all else may go on meanwhile. */
  async unchanged({ version, generation }: Memory): Promise<boolean> {
    const meta = await this.#tx.get('meta', 'main')
    return meta?.version === version && meta.generation === generation
  }

  /** Of the queues that were changed one stays in the meta row, and needs no write of its own; the one that was there goes to its room. */
  #lastQueue(): QueueRow | undefined {
    const { queue: last } = this.meta
    const changed = [...this.#rows.values()].filter(({ room, dirty }) => room === 'queues' && dirty)
    const hasChanged = changed.some(({ key }) => key === last?.queue)
    const stays = changed.find(({ row }) => isSmall(row as QueueRow))
    if (!stays) return hasChanged ? undefined : last
    this.#rows.set(idOf('queues', stays.key), { ...stays, dirty: false })
    if (last && !hasChanged) this.put('queues', last.queue, last)
    return stays.row as QueueRow
  }

  /**
   * Issues all writes: deletes first, so that a page may take a key that was freed. A write that fails aborts the transaction, and is reported there.
   * `receipt` is by what it will be known.
   */
  flush(receipt: ReceiptRow): void {
    this.#flushEnded()
    this.#version = this.meta.version
    const changed = this.#ranges.length > 0 || [...this.#rows.values(), ...this.#views.values()].some(({ dirty }) => dirty)
    if (!changed) return
    const { receipt: last } = this.meta
    if (last && last.client !== receipt.client) this.put('receipts', last.client, last)
    this.put('meta', 'main', { ...this.meta, queue: this.#lastQueue(), version: this.#version + 1, receipt })
    // Thousands of small writes: a promise for each would cost more than the write.
    const tx = this.#tx.raw
    const plans = [...this.#views.values()].filter(({ dirty }) => dirty).map(({ view }) => ({ view, ...changes(view) }))
    if (plans.length > 0) {
      const waiting = tx.objectStore('waiting')
      for (const { view, deletes, deleteTo } of plans) {
        if (deleteTo) waiting.delete(IDBKeyRange.bound([view.queue, view.lane], deleteTo))
        for (const key of deletes) waiting.delete(key)
      }
      for (const { adds, puts } of plans) {
        for (const row of adds) waiting.add(pack(row), keyOf(row))
        for (const row of puts) waiting.put(pack(row), keyOf(row))
      }
    }
    for (const { room, range } of this.#ranges) tx.objectStore(room).delete(range)
    for (const { room, key, row, dirty, add } of this.#rows.values()) {
      if (!dirty) continue
      const store = tx.objectStore(room)
      const write = add ? 'add' : 'put'
      if (row === undefined) store.delete(key)
      else if (store.keyPath === null) store[write](pack(row as PageRow), key)
      else store[write](row)
    }
  }
}
