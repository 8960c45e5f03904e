/** The queue as remembered: one handle that joins the connection, group commit and the verbs. */
import { createCommitter, type Committed, type Committer } from './committer.ts'
import { connect, type Connection } from './connection.ts'
import type { Env } from './work.ts'

export interface Store {
  readonly connection: Connection
  readonly committer: Committer
  close(): Promise<void>
}

export interface StoreOptions {
  /** Whose calls are answered here. */
  readonly client: string
  readonly durability: 'strict' | 'relaxed'
  readonly env: () => Env
  readonly sleep: (ms: number) => Promise<void>
  readonly committed: (committed: Committed) => void
  readonly failed: (error: unknown) => void
  readonly outdated: () => void
}

export function openStore(name: string, { client, durability, env, sleep, committed, failed, outdated }: StoreOptions): Store {
  const connection = connect(name, env().token(), { sleep, outdated })
  const committer = createCommitter(connection, { client, env, strict: durability === 'strict', committed, failed })
  return {
    connection, committer,
    async close() { await committer.idle(); connection.close() },
  }
}
