/** Pushing: jobs become stored, numbered and named. */
import { HoldfastError } from '../../core/errors.ts'
import { idMaker, type IdRun } from '../../core/id.ts'
import type { Job } from '../../core/job.ts'
import { createJob, NO_OPTIONS, type NewJob } from '../../core/push.ts'
import { appendNew, count, noteExpiry, summonAhead } from '../rooms.ts'
import type { Work } from '../work.ts'
import { joinGroup } from './groups.ts'
import { bear, meet, parentsOf } from './parents.ts'

/** Of jobs that depend on others it needs a transaction of its own. */
export async function push(work: Work, queue: string, items: readonly NewJob[]): Promise<IdRun> {
  if (work.meta.reserve === 'spent') throw new HoldfastError('QUOTA', 'The storage of this origin is full; what is left is for the results of stored jobs. Nothing was stored')
  const stored = await work.queue(queue)
  const row = !stored.http && items.some(({ http }) => http) ? { ...stored, http: true as const } : stored
  const first = work.numbers(items.length)
  const ms = work.idTime()
  // A draw has 32 bits.
  const random = Math.floor(work.env.random() * 2 ** 17) * 2 ** 17 + Math.floor(work.env.random() * 2 ** 17)
  const idOf = idMaker(ms, random)
  const waiting: Job[] = []
  const elsewhere = { delayed: 0, blocked: 0 }
  const known: Parameters<typeof parentsOf>[2] = new Map()
  const families: Array<readonly [child: number, parents: readonly Job[]]> = []
  let best = -Infinity
  for (const [i, item] of items.entries()) {
    const plain = createJob(queue, item, row.settings.defaults ?? NO_OPTIONS, first + i, idOf(first + i), work.now)
    const user = item.user === undefined ? work.meta.user : item.user ?? undefined
    const made = user === undefined ? plain : { ...plain, user }
    const parents = made.dependsOn && await parentsOf(work, made, known)
    const placed = made.group === undefined ? made : await joinGroup(work, made)
    const job = parents ? bear(work, placed, parents) : placed
    if (parents) families.push([job.seq, parents])
    if (job.large) work.put('payloads', job.seq, { seq: job.seq, data: job.data }, true)
    const kept = job.large ? { ...job, data: undefined } : job
    noteExpiry(work, job)
    work.due(job.runAt ?? Infinity)
    if (job.state === 'delayed' || job.state === 'blocked') { work.put(job.state, job.seq, kept, true); elsewhere[job.state]++ }
    else { waiting.push(kept); best = Math.max(best, kept.priority) }
    work.emit('pushed', job, { runAt: job.runAt })
  }
  summonAhead(work, row, ({ priority }) => best > priority)
  work.putQueue(appendNew(work, count(count(row, 'delayed', elsewhere.delayed), 'blocked', elsewhere.blocked), waiting))
  for (const [child, parents] of families) await meet(work, child, parents)
  work.wakes.add(queue)
  return { ms, random, first, count: items.length }
}
