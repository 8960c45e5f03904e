/** Groups: of its members one has the turn, from its push to its end; the others are blocked, in order of position. */
import { isFinal, type Job } from '../../core/job.ts'
import { transition } from '../../core/transition.ts'
import { count, enter, hasMoved, moveKey } from '../rooms.ts'
import type { GroupRow, QueueRow } from '../schema.ts'
import type { Work } from '../work.ts'

/** Each user has groups of their own: one's cannot hold up another's. What begins like such a name is written as one. */
export const groupOf = ({ group = '', user }: Pick<Job, 'group' | 'user'>): string =>
  user !== undefined ? JSON.stringify([group, user]) : group.startsWith('[') ? JSON.stringify([group]) : group

const headKey = (queue: string, group: string): [string, string, number] => [queue, group, -Infinity]

function putHead(work: Work, head: GroupRow, change: Partial<GroupRow>): void {
  work.put('groups', headKey(head.queue, head.group), { ...head, ...change })
}

/** Gives a job that was pushed or retried its group's turn; blocks it while another has that. No job waits for a parent that waits for it: who waits for its parents gives way to an older one, and is none of the first by `lifo`. */
export async function joinGroup(work: Work, given: Job): Promise<Job> {
  if (given.group === undefined) return given
  const { queue, seq } = given
  const group = groupOf(given)
  const head = await work.get('groups', headKey(queue, group))
  // Who has lost its turn takes the place of its push again.
  const isMisplaced = (hasMoved(given) && head?.seq !== seq) || (given.dependsOn && given.position < 0)
  const job = isMisplaced ? { ...given, position: seq } : given
  const { position } = job
  if (!head) work.put('groups', headKey(queue, group), { queue, group, position: -Infinity, seq, waiting: 0 })
  if (!head || head.seq === seq) return job
  const holder = position < head.seq ? await work.get('blocked', head.seq) : undefined
  if (holder && position < holder.position) {
    work.put('groups', [queue, group, holder.position], { queue, group, position: holder.position, seq: holder.seq })
    putHead(work, head, { seq, waiting: (head.waiting ?? 0) + 1 })
    return job
  }
  const outcome = transition(job, { type: 'block' }, work.now)
  if (outcome.kind !== 'moved') return job
  work.put('groups', [queue, group, position], { queue, group, position, seq })
  putHead(work, head, { waiting: (head.waiting ?? 0) + 1 })
  return outcome.job
}

const holds = ({ state, onGroupDead, http }: Job): boolean => state === 'dead' && (onGroupDead ?? (http ? 'hold' : 'continue')) === 'hold'

/** Whether it is noted where a job is: while it is found by that, or may be tried again there. */
export const isNoted = (job: Job): boolean => hasMoved(job) && (!isFinal(job.state) || holds(job))

/** A new place at the end, in which the job can still be found. */
function moveToEnd(work: Work, job: Job): Job {
  const position = work.numbers(1)
  work.put('groups', moveKey(job.seq), { queue: '', group: '', position: job.seq, seq: position })
  return { ...job, position }
}

/** A job that is over, or elsewhere, needs no note of where it went. */
export function forgetMove(work: Work, job: Job): void {
  if (hasMoved(job)) work.delete('groups', moveKey(job.seq))
}

/** What the end of a job means for its group: the next one has its turn, unless the death of this one holds it up. `gone`: nothing of it is left. */
export async function leaveGroup(work: Work, row: QueueRow, job: Job, gone = false): Promise<QueueRow> {
  if (job.group === undefined) return row
  if (gone || !isNoted(job)) forgetMove(work, job)
  const { queue, position, seq } = job
  const group = groupOf(job)
  const head = await work.get('groups', headKey(queue, group))
  if (!head) return row
  if (head.seq !== seq) {
    if ((await work.get('groups', [queue, group, position]))?.seq !== seq) return row
    work.delete('groups', [queue, group, position])
    putHead(work, head, { waiting: (head.waiting ?? 0) - 1 })
    return row
  }
  return !gone && holds(job) ? row : passTurn(work, row, head)
}

/** The next in line has the turn, also while it waits for its parents; without one the group is forgotten. */
export async function passTurn(work: Work, row: QueueRow, head: GroupRow): Promise<QueueRow> {
  const { queue, group, waiting = 0 } = head
  const next = waiting > 0 ? await work.first('groups', IDBKeyRange.bound([queue, group, -Infinity], [queue, group, []], true)) : undefined
  const job = next && await work.get('blocked', next.seq)
  if (!next || !job) { work.delete('groups', headKey(queue, group)); return row }
  work.delete('groups', [queue, group, next.position])
  putHead(work, head, { seq: next.seq, waiting: waiting - 1 })
  return job.waitsFor ? row : release(work, row, job)
}

/** Whether only others of its group may hold a job up, and none does. */
export async function hasTurn(work: Work, job: Job): Promise<boolean> {
  return job.group === undefined || (await work.get('groups', headKey(job.queue, groupOf(job))))?.seq === job.seq
}

/** Nothing blocks it any more. In a fair queue a group's member goes to the end. */
export async function release(work: Work, row: QueueRow, job: Job): Promise<QueueRow> {
  work.delete('blocked', job.seq)
  const outcome = transition(job, { type: 'unblock' }, work.now)
  if (outcome.kind !== 'moved') throw new Error(`a blocked job cannot ${outcome.kind}`)
  return enter(work, count(row, 'blocked', -1), row.settings.order === 'fair' && job.group !== undefined ? moveToEnd(work, outcome.job) : outcome.job)
}
