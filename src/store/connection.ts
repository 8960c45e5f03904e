/** The one place that opens the database, and opens it again when the browser dropped it. */
import { HoldfastError } from '../core/errors.ts'
import { openDatabase, type Room } from './schema.ts'
import { Tx } from './tx.ts'

export interface Connection {
  /** Runs `use` in a transaction. What takes longer than 10 s, and another for each 10 MB that it writes, is given up, and the handle with it; it is aborted, so that it is not done after all. */
  use<T>(rooms: readonly Room[], use: (tx: Tx) => Promise<T>, mode?: IDBTransactionMode, options?: IDBTransactionOptions, bytes?: number): Promise<T>
  /** Forgets the handle, so that the next use opens anew. */
  drop(): void
  close(): void
}

export interface ConnectionOptions {
  readonly factory: IDBFactory
  /** For a database that has to be made. */
  readonly generation: () => string
  readonly after: After
  /** A newer version of the database took over, which this code cannot use. */
  readonly outdated: () => void
}

const OPEN_TRIES = 3
const WATCHDOG_MS = 10_000
const BYTES_PER_MS = 1000

/** Calls back once after `ms`; returns how to stop it. */
export type After = (ms: number, call: () => void) => () => void

/** Waits no longer than 10 s, and a second for each MB. What was waited for goes on all the same. */
export function within<T>(after: After, what: string, work: Promise<T>, bytes = 0): Promise<T> {
  const ms = WATCHDOG_MS + Math.floor(bytes / BYTES_PER_MS)
  return new Promise((resolve, reject) => {
    const stop = after(ms, () => { reject(new DOMException(`${what} took more than ${ms} ms`, 'TimeoutError')) })
    work.then(resolve, reject).finally(stop)
  })
}

/** An error of one transaction's own making; any other is the storage's, and may be over after opening it again. */
export const isOwnFault = (error: unknown): boolean =>
  error instanceof HoldfastError || (error instanceof Error && /^(Quota|Data|Constraint|DataClone|Type|Range|Reference)\w*Error$/.test(error.name)) || (error instanceof Error && error.name === 'Error')

export function connect(name: string, { factory, generation, after, outdated }: ConnectionOptions): Connection {
  let handle: Promise<IDBDatabase> | undefined
  let closed = false

  const sleep = (ms: number): Promise<void> => new Promise((resolve) => { after(ms, resolve) })

  /** A handle that comes too late is of no use to anybody, and would stand in the way of an upgrade. */
  function openOnce(): Promise<IDBDatabase> {
    const opening = openDatabase(factory, name, generation(), { replaced: drop, outdated: () => { drop(); outdated() } })
    return within(after, 'opening the database', opening).catch((error: unknown) => { opening.then((db) => { db.close() }, () => {}); throw error })
  }

  async function open(): Promise<IDBDatabase> {
    for (let n = 1; ; n++) {
      try { return await openOnce() } catch (error) {
        if (error instanceof HoldfastError || n >= OPEN_TRIES || closed) throw error
        await sleep(100 * 4 ** n)
      }
    }
  }

  function current(): Promise<IDBDatabase> {
    if (closed) return Promise.reject(new HoldfastError('CLOSED', 'The queue is closed'))
    if (handle) return handle
    const opening = open()
    handle = opening
    opening.catch(() => { if (handle === opening) handle = undefined })
    return opening
  }

  function drop(): void {
    handle?.then((db) => { db.close() }, () => {})
    handle = undefined
  }

  return {
    drop,
    async use(rooms, use, mode, options, bytes) {
      const db = await current()
      let tx: Tx | undefined
      try {
        tx = new Tx(db.transaction(rooms, mode, options))
        return await within(after, 'the database', use(tx), bytes)
      } catch (error) {
        tx?.abort()
        if (!isOwnFault(error)) drop()
        throw error
      }
    },
    close() { closed = true; drop() },
  }
}
