/** The one place that opens the database, and opens it again when the browser dropped it. */
import { HoldfastError } from '../core/errors.ts'
import { openDatabase } from './schema.ts'

export interface Connection {
  /** Runs `use` on an open database; reopens it once when the handle turns out to be dead before anything was asked of it. */
  use<T>(use: (db: IDBDatabase) => Promise<T>): Promise<T>
  /** Forgets the handle, so that the next use opens anew. */
  drop(): void
  close(): void
}

export interface ConnectionEvents { outdated(): void; sleep(ms: number): Promise<void> }

const OPEN_TRIES = 3
const OPEN_WATCHDOG_MS = 10_000

export function connect(name: string, generation: string, events: ConnectionEvents): Connection {
  let handle: Promise<IDBDatabase> | undefined
  let closed = false
  const drop = (): void => { handle = undefined }

  const openOnce = (): Promise<IDBDatabase> => {
    const opening = openDatabase(name, generation, { outdated: () => { drop(); events.outdated() }, lost: drop })
    const late = events.sleep(OPEN_WATCHDOG_MS).then(() => { throw new Error(`opening the database took more than ${OPEN_WATCHDOG_MS} ms`) })
    opening.catch(() => {})
    return Promise.race([opening, late])
  }

  const open = async (): Promise<IDBDatabase> => {
    for (let n = 1; ; n++) {
      try { return await openOnce() } catch (error) {
        if (error instanceof Error && error.name === 'VersionError')
          throw new HoldfastError('STORAGE', 'The database was upgraded by a newer version of this app: reload this tab', { name }, error)
        if (n >= OPEN_TRIES) throw new HoldfastError('STORAGE', `The database could not be opened: ${error instanceof Error ? error.message : String(error)}`, { name }, error)
        await events.sleep(100 * 4 ** n)
      }
    }
  }

  const current = (): Promise<IDBDatabase> => {
    if (closed) return Promise.reject(new HoldfastError('CLOSED', 'The queue is closed'))
    if (!handle) { const opening = open(); handle = opening; opening.catch(() => { if (handle === opening) drop() }) }
    return handle
  }

  return {
    async use(use) {
      try { return await use(await current()) } catch (error) {
        if (!(error instanceof Error) || error.name !== 'InvalidStateError') throw error
        drop()
        return use(await current())
      }
    },
    drop,
    close() { closed = true; handle?.then((db) => { db.close() }, () => {}); handle = undefined },
  }
}
