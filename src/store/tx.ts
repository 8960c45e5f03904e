/** A transaction with typed rooms, whose requests are promises. */
import { unpack } from './packing.ts'
import type { MetaRow, QueueRow, Room, Schema } from './schema.ts'

export type Key<R extends Room> = Schema[R]['key']
export type Row<R extends Room> = Schema[R]['value']
export type Index<R extends Room> = Schema[R] extends { readonly indexes: infer I } ? keyof I & string : never
type Query = IDBValidKey | IDBKeyRange | null

/** What is kept apart of jobs may be a file of the browser's, and that may be lost: then it is as if it were not there, which is to end its own job only. */
const APART: ReadonlySet<Room> = new Set<Room>(['payloads', 'parents'])

export const idOf = (room: Room, key: IDBValidKey): string => `${room}\n${([key].flat() as Array<string | number>).join('\n')}`

/** Undefined where what is asked for is lost. */
export const askAnyway = <T>(request: IDBRequest<T>): Promise<{ readonly result: T } | undefined> => new Promise((resolve, reject) => {
  request.onsuccess = () => { resolve({ result: request.result }) }
  request.onerror = (event) => {
    if (request.error?.name !== 'NotReadableError') { reject(request.error); return }
    event.preventDefault()
    resolve(undefined)
  }
})

export const ask = <T>(request: IDBRequest<T>): Promise<T> => new Promise((resolve, reject) => {
  request.onsuccess = () => { resolve(request.result) }
  request.onerror = () => { reject(request.error) }
})

export class Tx {
  readonly raw: IDBTransaction
  /** Rows that turned out to be lost. Chromium aborts a transaction that has met one, when it ends: it is to be begun again, and to avoid them. */
  readonly lost = new Set<string>()
  /** Rows that are known to be lost, and not read again. */
  avoided: ReadonlySet<string> = new Set()
  /** Settles with the transaction; may be left alone. */
  readonly done: Promise<void>
  constructor(raw: IDBTransaction) {
    this.raw = raw
    this.done = new Promise((resolve, reject) => {
      raw.oncomplete = () => { resolve() }
      raw.onabort = () => { reject(raw.error ?? new DOMException('The transaction was aborted', 'AbortError')) }
    })
    this.done.catch(() => {})
  }

  /** Undoes it, unless it has ended by itself or is on its way to. */
  abort(): void { try { this.raw.abort() } catch { /* so it has */ } }

  async get<R extends Room>(room: R, key: Key<R>): Promise<Row<R> | undefined> {
    if (room === 'meta') return this.#readMeta()
    const last = room === 'queues' ? await this.lastQueue(key) : undefined
    return last ?? unpack(await (APART.has(room) ? this.unlessLost(room, key) : ask<Row<R> | undefined>(this.raw.objectStore(room).get(key))))
  }

  #meta: Promise<MetaRow | undefined> | undefined
  /** Once is enough: nothing is written before all is read. */
  #readMeta(): Promise<MetaRow | undefined> { return this.#meta ??= ask<MetaRow | undefined>(this.raw.objectStore('meta').get('main')) }

  /** The queue's row that lies in the meta row, if it is asked for: it is newer than the one in its room. */
  async lastQueue(range: Query): Promise<QueueRow | undefined> {
    const last = (await this.#readMeta())?.queue
    return last?.queue !== undefined && (range === null || range === last.queue || (range instanceof IDBKeyRange && range.includes(last.queue))) ? last : undefined
  }

  /** As it is stored. */
  async unlessLost<R extends Room>(room: R, key: Key<R>): Promise<Row<R> | undefined> {
    const id = idOf(room, key)
    if (this.avoided.has(id)) return undefined
    const found = await askAnyway<Row<R> | undefined>(this.raw.objectStore(room).get(key))
    if (!found) this.lost.add(id)
    return found?.result
  }

  async all<R extends Room>(room: R, range: Query = null, count?: number): Promise<Array<Row<R>>> {
    const [rows, last] = await Promise.all([ask<Array<Row<R>>>(this.raw.objectStore(room).getAll(range, count)), room === 'queues' ? this.lastQueue(range) : undefined])
    return last ? inPlace(rows as QueueRow[], last, ({ queue }) => queue, count) : rows.map(unpack)
  }

  allBy<R extends Room>(room: R, index: Index<R>, range: Query = null, count?: number): Promise<Array<Row<R>>> { return ask(this.raw.objectStore(room).index(index).getAll(range, count)) }

  /** The keys of rows that an index finds. */
  keysBy<R extends Room>(room: R, index: Index<R>, range: Query = null, count?: number): Promise<Array<Key<R>>> { return ask(this.raw.objectStore(room).index(index).getAllKeys(range, count) as IDBRequest<Array<Key<R>>>) }

  async keys<R extends Room>(room: R, range: Query = null, count?: number): Promise<Array<Key<R>>> {
    const [keys, last] = await Promise.all([ask(this.raw.objectStore(room).getAllKeys(range, count) as IDBRequest<Array<Key<R>>>), room === 'queues' ? this.lastQueue(range) : undefined])
    return last ? inPlace(keys as string[], last.queue, (key) => key, count) as Array<Key<R>> : keys
  }

  /** Rows from the last to the first. */
  async *backwards<R extends Exclude<Room, 'queues'>>(room: R, range: IDBKeyRange): AsyncGenerator<{ readonly key: Key<R>; readonly row: Row<R> }> {
    const request = this.raw.objectStore(room).openCursor(range, 'prev')
    for (let cursor = await ask(request); cursor; cursor.continue(), cursor = await ask(request)) yield { key: cursor.key as Key<R>, row: unpack(cursor.value as Row<R>) }
  }
}

/** With the one that was written last for the older one of its key, in order. */
function inPlace<T>(all: readonly T[], last: T, keyOf: (one: T) => string, count?: number): T[] {
  const key = keyOf(last)
  return [...all.filter((one) => keyOf(one) !== key), last].sort((a, b) => keyOf(a) < keyOf(b) ? -1 : 1).slice(0, count)
}
