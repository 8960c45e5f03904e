/** What concerns the whole database, done on a connection of its own in the page. Loaded only then. */
import { systemClock as clock } from '../platform/clock.ts'
import { HoldfastError } from '../core/errors.ts'
import * as rules from '../core/rules.ts'
import { present } from '../core/present.ts'
import type { SalvageReport, StorageHealth, VerifyReport } from '../queue.ts'
import { storageError } from '../store/committer.ts'
import type { After } from '../store/connection.ts'
import { reserveOf } from '../store/reserve.ts'
import { deleteDatabase } from '../store/schema.ts'
import { openStore, type Store } from '../store/store.ts'
import { salvage } from '../store/salvage.ts'
import { repair, verify } from '../store/verify.ts'
import type { Client } from './client.ts'

const RESET_MS = 10_000
const after: After = (ms, call) => clock.after(ms, call)
const token = (): string => crypto.randomUUID()

export async function using<T>(name: string, use: (store: Store) => Promise<T>): Promise<T> {
  const store = openStore(name, {
    factory: indexedDB, client: `maintenance-${token()}`, durability: 'strict', after,
    env: () => ({ now: clock.now(), random: Math.random, token, heard: false }), committed() {}, health() {}, outdated() {}, full() {},
  })
  try { return await use(store) } catch (error) { throw storageError(error) } finally { await store.close() }
}

export function verifyDatabase(name: string, options: { readonly repair?: boolean } = {}): Promise<VerifyReport> {
  rules.shape({ repair: rules.boolean })('options', options)
  return using(name, ({ connection, committer }) => options.repair ? repair(committer) : verify(connection))
}

export const salvageDatabase = (name: string): Promise<SalvageReport> => using(name, ({ connection }) => salvage(connection))

/** Connections of this library give way; the next call of any tab makes the database anew. */
export async function resetDatabase(name: string): Promise<void> {
  const late = new Promise<never>((_resolve, reject) => { clock.after(RESET_MS, () => { reject(new HoldfastError('STORAGE', `Another tab has kept the database open for ${RESET_MS} ms: close it. The database is deleted then`, { name })) }) })
  await Promise.race([deleteDatabase(indexedDB, name).then(() => reserveOf(indexedDB, name, { after, random: Math.random }).free()).catch((error: unknown) => { throw storageError(error) }), late])
}

export async function storageHealth(client: Client, options: { readonly persist?: boolean } = {}): Promise<StorageHealth> {
  rules.shape({ persist: rules.boolean })('options', options)
  const storage = globalThis.navigator?.storage as StorageManager | undefined
  // Only a page may ask for it.
  const persisted = await (options.persist ? storage?.persist?.() : storage?.persisted?.())
  return present({ ...await client.call<Omit<StorageHealth, 'persisted'>>('storage'), persisted })
}
