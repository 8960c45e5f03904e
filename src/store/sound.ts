/** Whether a row is what its room holds: of a damaged database anything may come. */
import { STATES, type Job } from '../core/job.ts'
import { unpack } from './packing.ts'
import type { Room } from './schema.ts'
import { ask, askAnyway, idOf, type Key, type Row, type Tx } from './tx.ts'

type Check = (value: unknown) => boolean

const text: Check = (value) => typeof value === 'string'
const number: Check = (value) => typeof value === 'number' && !Number.isNaN(value)
const list: Check = Array.isArray
const object: Check = (value) => typeof value === 'object' && value !== null
const perhaps = (check: Check): Check => (value) => value === undefined || check(value)
const listOf = (check: Check): Check => (value) => Array.isArray(value) && value.every(check)
const mapOf = (check: Check): Check => (value) => object(value) && Object.values(value as object).every(check)
const shape = (fields: Readonly<Record<string, Check>>): Check => (value) => object(value) && Object.entries(fields).every(([field, check]) => check((value as Record<string, unknown>)[field]))

const job = shape({
  id: text, seq: number, queue: text, name: text, state: (state) => STATES.includes(state as never), position: number, priority: number,
  http: perhaps(shape({ url: text })), group: perhaps(text), user: perhaps(text), dependsOn: perhaps(mapOf(text)), waitsFor: perhaps(listOf(number)),
})
export const isJob = (value: unknown): value is Job => job(value)

/** Those that a check reads; what holds many jobs may hold some that are none. */
const SHAPES: { readonly [R in Room]?: Check } = {
  waiting: shape({ jobs: list }), boxes: shape({ jobs: list }), archives: shape({ jobs: list }), delayed: job, blocked: job, dead: job,
  leases: shape({ queue: text, token: text, owner: text, left: listOf(number), leaseMs: number, buckets: listOf(number) }),
  history: shape({ state: (state) => state === 'completed' || state === 'cancelled', endedAt: number, seqs: listOf(number), buckets: listOf(number) }),
  groups: shape({ seq: number }), parents: shape({ parent: number }),
  queues: shape({ counts: shape(Object.fromEntries(STATES.map((state) => [state, number]))), lanes: mapOf(shape({ jobs: number, pages: number, ranks: listOf(number) })), settings: object, processors: mapOf(shape({ owner: text, has: number, leased: number })) }),
  origins: shape({ failures: number, retryAt: number, out: number }), credentials: shape({ state: text }),
  meta: shape({ generation: text, next: number, lastMs: number, version: number }),
}

export const isSound = <R extends Room>(room: R, row: Row<R> | undefined): row is Row<R> => SHAPES[room]?.(row) ?? row !== undefined

function unpackAnyway<T>(row: T): T | undefined {
  try { return unpack(row) } catch { return undefined }
}

/** Rows as they lie in their room, as far as they can be read: of one that cannot, only the key. */
export async function readable<R extends Room>(tx: Tx, room: R, range: IDBKeyRange | null, count?: number): Promise<Array<{ readonly key: Key<R>; readonly row: Row<R> | undefined }>> {
  const store = tx.raw.objectStore(room)
  const keys = await ask(store.getAllKeys(range, count) as IDBRequest<Array<Key<R>>>)
  const all = keys.some((key) => tx.avoided.has(idOf(room, key))) ? undefined : await askAnyway<Array<Row<R>>>(store.getAll(range, count))
  const rows = all?.result ?? await Promise.all(keys.map((key) => tx.unlessLost(room, key)))
  return keys.map((key, i) => ({ key, row: unpackAnyway(rows[i]) }))
}
