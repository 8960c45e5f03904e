/** Families: a child is blocked until each of its parents has completed, and ends with the first that ends otherwise. */
import { HoldfastError, invalid } from '../../core/errors.ts'
import { fateOf, without } from '../../core/family.ts'
import { isFinal, type Job } from '../../core/job.ts'
import { LIMITS } from '../../core/limits.ts'
import { present } from '../../core/present.ts'
import { seqOf } from '../../core/seq.ts'
import { transition } from '../../core/transition.ts'
import { hasEnded, leave, locate, notFound, type Place } from '../rooms.ts'
import type { Work } from '../work.ts'
import { settleOutcome } from './end.ts'
import { hasTurn, release } from './groups.ts'

type Parent = Pick<Job, 'id' | 'seq' | 'state' | 'result'>

/** Whether `seq` may have children. */
export const isAwaited = (work: Work, seq: number): boolean => seq <= (work.meta.awaited ?? -1)

export const hasChildren = async (work: Work, { seq }: Job): Promise<boolean> => isAwaited(work, seq) && (await work.tx.keysBy('parents', 'parent', seq, 1)).length > 0

/** Those that a new job depends on, each once; `known`: those that were looked up. Needs a transaction of its own. */
export function parentsOf(work: Work, { dependsOn = {}, user }: Job, known: Map<string, Promise<Place | undefined>>): Promise<Job[]> {
  return Promise.all([...new Set(Object.values(dependsOn))].map(async (id) => {
    const seq = seqOf(id) ?? -1
    const looking = known.get(id) ?? locate(work.tx, seq)
    known.set(id, looking)
    const job = (await looking)?.job
    if (job?.id !== id) throw notFound(id, seq < work.meta.next)
    // Somebody else's is none for this one.
    if (job.user !== undefined && job.user !== user) throw notFound(id, false)
    return job
  }))
}

/** A new job waits for all its parents; those that have ended are to be `met` once it is stored. */
export function bear(work: Work, job: Job, parents: readonly Job[]): Job {
  const depth = Math.max(0, ...parents.map((parent) => parent.state === 'completed' ? 0 : (parent.depth ?? 0) + 1))
  if (depth > LIMITS.depth) throw invalid('options.dependsOn', `makes a line of more than ${LIMITS.depth} generations`, { limit: LIMITS.depth, actual: depth })
  for (const [name, id] of Object.entries(job.dependsOn ?? {})) work.put('parents', [job.seq, name], { child: job.seq, name, parent: seqOf(id) ?? -1 }, true)
  const waitsFor = parents.map(({ seq }) => seq)
  work.put('meta', 'main', { ...work.meta, awaited: Math.max(work.meta.awaited ?? 0, ...waitsFor) })
  return blocked(work, { ...job, ...present({ depth: depth || undefined }), waitsFor })
}

/** A job that still waits for parents is blocked, whether it has its group's turn or not. */
export function blocked(work: Work, job: Job): Job {
  const outcome = job.waitsFor ? transition(job, { type: 'block' }, work.now) : undefined
  return outcome?.kind === 'moved' ? outcome.job : job
}

/** Those that a job has nothing of yet, as they are now; one that is gone counts as cancelled. */
function parentsNow(work: Work, { waitsFor = [] }: Job): Promise<Parent[]> {
  return Promise.all(waitsFor.map(async (seq): Promise<Parent> => {
    const place = await locate(work.tx, seq)
    return place ? await hasEnded(work, place) ?? { ...place.job, state: 'waiting' } : { id: '', seq, state: 'cancelled' }
  }))
}

/** The same for a job that is to be tried again; refuses one that would lose another of them at once. Needs a transaction of its own. */
export async function parentsLeft(work: Work, job: Job): Promise<readonly Parent[]> {
  if (!job.waitsFor) return []
  const parents = await parentsNow(work, job)
  const lost = parents.find(({ state }) => isFinal(state) && fateOf(job, state) !== 'has it')
  if (lost) throw new HoldfastError('INVALID_STATE', `Job ${job.id} depends on ${lost.id ? `${lost.id}, which is ${lost.state}: retry that` : 'one that is gone'}`, { id: job.id, parent: lost.id })
  return parents
}

/** Tells a blocked job what became of its parents. Needs a transaction of its own. */
export async function lookAtParents(work: Work, seq: number): Promise<void> {
  const job = await work.get('blocked', seq)
  if (job) await meet(work, seq, await parentsNow(work, job))
}

/** Tells a blocked job of those of its parents that have ended. */
export async function meet(work: Work, child: number, parents: readonly Parent[]): Promise<void> {
  for (const parent of parents) if (isFinal(parent.state)) await parentEnded(work, child, parent)
}

async function parentEnded(work: Work, seq: number, parent: Parent): Promise<void> {
  const child = await work.get('blocked', seq)
  if (!child?.waitsFor?.includes(parent.seq)) return
  const row = await work.queue(child.queue)
  const fate = fateOf(child, parent.state)
  if (fate !== 'has it') {
    const outcome = transition(child, { type: 'orphan', by: fate }, work.now)
    work.putQueue(await settleOutcome(work, await leave(work, row, { room: 'blocked', job: child }), outcome))
    return
  }
  const result = work.full.get(parent.seq) ?? parent.result
  if (result !== undefined) for (const [name, id] of Object.entries(child.dependsOn ?? {})) if (id === parent.id) work.put('parents', [seq, name], { child: seq, name, parent: parent.seq, result })
  const next = without(child, parent.seq)
  if (next.waitsFor || !await hasTurn(work, next)) work.put('blocked', seq, next)
  else work.putQueue(await release(work, row, next))
}

/** What became final in this operation is told to its children, whose own ends are told to theirs: generation by generation, all in this transaction. */
export async function endFamilies(work: Work): Promise<void> {
  for (let ended = work.takeFinals(); ended.length > 0; ended = work.takeFinals()) {
    const parents = ended.filter(({ seq }) => isAwaited(work, seq))
    if (parents.length === 0) continue
    for (const [child, parent] of await childrenOf(work, parents)) await parentEnded(work, child, parent)
  }
}

async function childrenOf(work: Work, parents: readonly Job[]): Promise<Array<readonly [child: number, parent: Job]>> {
  const seqs = parents.map(({ seq }) => seq)
  // Mostly nobody waits for any of them, which one look tells.
  const [any] = await work.tx.keysBy('blocked', 'waitsFor', IDBKeyRange.bound(Math.min(...seqs), Math.max(...seqs)), 1)
  if (any === undefined) return []
  const families = await Promise.all(parents.map(async (parent) => (await work.tx.keysBy('blocked', 'waitsFor', parent.seq)).map((child) => [child, parent] as const)))
  const found = families.flat()
  await Promise.all(found.map(([child]) => work.get('blocked', child)))
  return found
}
