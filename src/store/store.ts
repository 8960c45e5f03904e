/** The queue as remembered: one handle that joins the connection, group commit and the verbs. */
import { createCommitter, type Committed, type Committer } from './committer.ts'
import { connect, type After, type Connection } from './connection.ts'
import { reserveOf, type Reserve } from './reserve.ts'
import type { Env } from './work.ts'

export interface Store {
  readonly connection: Connection
  readonly committer: Committer
  readonly reserve: Reserve
  close(): Promise<void>
}

export interface StoreOptions {
  readonly factory: IDBFactory
  /** Whose calls are answered here. */
  readonly client: string
  readonly durability: 'strict' | 'relaxed'
  readonly env: () => Env
  readonly after: After
  readonly committed: (committed: Committed) => void
  /** The storage cannot be used; without an error: it can again. */
  readonly health: (trouble?: unknown) => void
  readonly outdated: () => void
  /** The origin's storage is full. */
  readonly full: () => void
}

export function openStore(name: string, { factory, client, durability, env, after, committed, health, outdated, full }: StoreOptions): Store {
  const connection = connect(name, { factory, generation: () => env().token(), after, outdated })
  const reserve = reserveOf(factory, name, { after, random: () => env().random() })
  const committer = createCommitter(connection, {
    client, env, strict: durability === 'strict', committed, health, full, relieve: () => reserve.free(), sleep: (ms) => new Promise((resolve) => { after(ms, resolve) }),
  })
  return {
    connection, committer, reserve,
    async close() { await committer.idle(); connection.close() },
  }
}
