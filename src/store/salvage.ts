/** Reads what can be read of a database that is damaged. */
import type { Job } from '../core/job.ts'
import type { SalvageReport } from '../queue.ts'
import type { Connection } from './connection.ts'
import { read } from './reads.ts'
import { withLease } from './rooms.ts'
import type { LeaseRow, Room } from './schema.ts'
import { isJob, isSound } from './sound.ts'
import type { Key, Row } from './tx.ts'

/** Boxes come last: one that has lost its lease also holds jobs that have ended since. */
const JOB_ROOMS = ['waiting', 'delayed', 'blocked', 'dead', 'archives', 'boxes'] as const satisfies readonly Room[]

/** Every job that can be read, row by row, since a damaged one takes those along that are read with it. */
export async function salvage(connection: Connection): Promise<SalvageReport> {
  const jobs: Job[] = []
  const unreadable: string[] = []
  const seen = new Set<number>()
  const attempt = async <T>(what: string, use: () => Promise<T>): Promise<T | undefined> => use().catch((error: unknown) => { unreadable.push(`${what}: ${String(error)}`); return undefined })

  async function* rowsOf<R extends Room>(room: R): AsyncGenerator<{ readonly key: Key<R>; readonly row: Row<R>; readonly at: string }> {
    for (const key of await attempt(room, () => read(connection, (tx) => tx.keys(room))) ?? []) {
      const at = `${room} ${JSON.stringify(key)}`
      const row = await attempt(at, async () => {
        const found = await read(connection, (tx) => tx.get(room, key))
        if (!isSound(room, found)) throw new Error('it is nothing that belongs there')
        return found
      })
      if (row !== undefined) yield { key, row, at }
    }
  }

  async function add(job: Job): Promise<void> {
    seen.add(job.seq)
    if (!job.large) { jobs.push(job); return }
    const kept = await attempt(`the data of job ${job.id}`, async () => {
      const found = await read(connection, (tx) => tx.get('payloads', job.seq))
      if (!found) throw new Error('it was lost')
      return found
    })
    jobs.push({ ...job, data: kept?.data })
  }

  const leases = new Map<number, LeaseRow>()
  for await (const { row } of rowsOf('leases')) leases.set(row.box, row)
  for (const room of JOB_ROOMS) for await (const { key, row, at } of rowsOf<Room>(room)) {
    const held = 'jobs' in row ? row.jobs : [row]
    const lease = room === 'boxes' ? leases.get(key as number) : undefined
    for (const job of held) {
      if (!isJob(job)) unreadable.push(`${at}: it holds something that is no job`)
      else if (room !== 'boxes') await add(job)
      else if (!lease && !seen.has(job.seq)) await add({ ...job, state: 'waiting' })
      else if (lease?.left.includes(job.seq)) await add(withLease({ ...job, state: 'active' }, lease))
    }
  }
  return { jobs, unreadable }
}
