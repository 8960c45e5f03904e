/** The same simple queue in Dexie, with the durability it lets one ask for. */
import Dexie, { type EntityTable } from 'dexie'
import { jobData, tally, type Contestant } from '../contestant.ts'

interface Row {
  seq: number
  queue: string
  state: number
  order: number
  data: ReturnType<typeof jobData>
  token?: string
  leaseUntil?: number
}

const WAITING = 0
const ACTIVE = 1
const row = (n: number) => ({ queue: 'bench', state: WAITING, order: 0, data: jobData(n) })

export function create(): Contestant<Row> {
  let db: Dexie & { jobs: EntityTable<Row, 'seq'> }
  const waiting = () => db.jobs.where('[queue+state+order+seq]')
    .between(['bench', WAITING, Dexie.minKey, Dexie.minKey], ['bench', WAITING, Dexie.maxKey, Dexie.maxKey])

  const pull = (count: number): Promise<Row[]> => db.transaction('rw', db.jobs, async () => {
    const rows = await waiting().limit(count).toArray()
    const claimed = rows.map(job => ({ ...job, state: ACTIVE, token: crypto.randomUUID(), leaseUntil: Date.now() + 30_000 }))
    await db.jobs.bulkPut(claimed)
    return claimed
  })
  const ack = (jobs: readonly Row[]) => db.jobs.bulkDelete(jobs.map(job => job.seq))

  return {
    async open(name) {
      db = new Dexie(name, { chromeTransactionDurability: 'strict' }) as typeof db
      db.version(1).stores({ jobs: '++seq, [queue+state+order+seq]' })
      await db.open()
    },
    push: n => db.jobs.add(row(n)),
    pushMany: numbers => db.jobs.bulkAdd(numbers.map(row)),
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
    waiting: () => waiting().count(),
    async drop(count) {
      const keys = await db.jobs.toCollection().primaryKeys()
      await db.jobs.where('seq').aboveOrEqual(keys.at(-count)!).delete()
    },
    wipe: () => db.delete(),
    async close() { db.close() },
  }
}
