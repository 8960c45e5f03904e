/** The queue one writes in an afternoon with idb: a row per job, a strict transaction per operation, a compound index to pull by. */
import { deleteDB, openDB, type DBSchema, type IDBPDatabase } from 'idb'
import { jobData, tally, type Contestant } from '../contestant.ts'

interface Row {
  readonly seq?: number
  readonly queue: string
  readonly state: number
  /** −priority: an index only goes up. */
  readonly order: number
  readonly data: ReturnType<typeof jobData>
  readonly token?: string
  readonly leaseUntil?: number
}
interface Schema extends DBSchema {
  jobs: { key: number; value: Row; indexes: { next: [string, number, number, number] } }
}

const WAITING = 0
const ACTIVE = 1
const row = (n: number): Row => ({ queue: 'bench', state: WAITING, order: 0, data: jobData(n) })
const next = () => IDBKeyRange.bound(['bench', WAITING], ['bench', ACTIVE], false, true)

export function create(): Contestant<Row> {
  let db: IDBPDatabase<Schema>
  const write = () => db.transaction('jobs', 'readwrite', { durability: 'strict' })

  async function pull(count: number): Promise<Row[]> {
    const tx = write()
    const rows = await tx.store.index('next').getAll(next(), count)
    const claimed = rows.map(job => ({ ...job, state: ACTIVE, token: crypto.randomUUID(), leaseUntil: Date.now() + 30_000 }))
    for (const job of claimed) void tx.store.put(job)
    tx.commit()
    await tx.done
    return claimed
  }
  async function ack(jobs: readonly Row[]): Promise<void> {
    const tx = write()
    for (const job of jobs) void tx.store.delete(job.seq!)
    tx.commit()
    await tx.done
  }

  return {
    async open(name) {
      db = await openDB<Schema>(name, 1, {
        upgrade(fresh) {
          fresh.createObjectStore('jobs', { keyPath: 'seq', autoIncrement: true }).createIndex('next', ['queue', 'state', 'order', 'seq'])
        },
      })
    },
    async push(n) {
      const tx = write()
      void tx.store.add(row(n))
      tx.commit()
      await tx.done
    },
    async pushMany(numbers) {
      const tx = write()
      for (const n of numbers) void tx.store.add(row(n))
      tx.commit()
      await tx.done
    },
    pull,
    ack,
    numberOf: job => job.data.n,
    async drain(concurrency, enough) {
      const { seen, saw } = tally(enough)
      let done = false
      await Promise.all(Array.from({ length: concurrency }, async () => {
        while (!done) {
          const [job] = await pull(1)
          if (!job) return
          if (saw(job.data.n)) done = true
          await ack([job])
        }
      }))
      return seen
    },
    waiting: () => db.countFromIndex('jobs', 'next', next()),
    async drop(count) {
      const keys = await db.getAllKeys('jobs')
      await db.delete('jobs', IDBKeyRange.lowerBound(keys.at(-count)))
    },
    async wipe() { db.close(); await deleteDB(db.name) },
    async close() { db.close() },
  }
}
