/** What is really stored, and what must hold of it whatever was done (DESIGN §3). */
import 'fake-indexeddb/auto'
import { deleteDB, openDB } from 'idb'
import { isFinal, type Job, type State } from '../../../src/core/job.ts'
import { laneOf } from '../../../src/core/lane.ts'
import { isApart, unpack } from '../../../src/store/packing.ts'
import { groupOf } from '../../../src/store/verbs/groups.ts'
import { bucketsOf, ROOMS, type Room, type Schema } from '../../../src/store/schema.ts'

type Rows = { readonly [R in Room]: ReadonlyArray<Schema[R]['value']> }
/** All rows; those whose key is not in them with their key. */
export type Stored = Omit<Rows, 'boxes' | 'archives'> & { readonly boxes: ReadonlyArray<Schema['boxes']['value'] & { readonly key: number }>; readonly archives: ReadonlyArray<Schema['archives']['value'] & { readonly key: number }> }

let databases = 0
/** A name that no other test of this process uses. */
export const freshName = (): string => `unit-${++databases}`

export async function stored(name: string): Promise<Stored> {
  const db = await openDB<Schema>(`holdfast:${name}`)
  const tx = db.transaction(ROOMS)
  const rows = await Promise.all(ROOMS.map(async (room) => {
    const store = tx.objectStore(room)
    const [keys, values] = await Promise.all([store.getAllKeys(), store.getAll().then((packed) => packed.map((row) => unpack(row)))])
    return [room, store.keyPath === null ? values.map((value, i) => ({ ...value, key: keys[i] })) : values] as const
  }))
  db.close()
  return withLastQueue(Object.fromEntries(rows) as unknown as Stored)
}

/** The queue's row that lies in the meta row, in the place of an older one. */
export function withLastQueue(rows: Stored): Stored {
  const last = rows.meta[0]?.queue
  return last ? { ...rows, queues: [...rows.queues.filter(({ queue }) => queue !== last.queue), last] } : rows
}

export const forget = (name: string): Promise<void> => deleteDB(`holdfast:${name}`)

/** The waiting jobs of a queue in the order of their claim. */
export const waitingOf = ({ waiting }: Stored, queue: string): Job[] =>
  waiting.filter((page) => page.queue === queue).flatMap(({ jobs }) => jobs).sort((a, b) => b.priority - a.priority || a.position - b.position)

/** Everything that is wrong with what is stored; nothing, one hopes. */
export function faults({ waiting, leases, boxes, delayed, blocked, dead, history, archives, payloads, groups, parents, queues, meta, steps, expiries }: Stored): string[] {
  const found: string[] = []
  const wrong = (what: string): void => { found.push(what) }
  const places = new Map<number, string>()
  const place = (job: Job, room: string): void => {
    const other = places.get(job.seq)
    if (other) wrong(`job ${job.seq} is in ${other} and in ${room}`)
    places.set(job.seq, room)
  }

  waiting.forEach((page, i) => {
    const { queue, lane, rank, first, jobs } = page
    const at = `page ${queue} ${lane} ${rank}:${first}`
    const next = waiting[i + 1]
    if (jobs.length === 0 || jobs.length > 64) wrong(`${at} holds ${jobs.length} jobs`)
    if (jobs[0]?.position !== first) wrong(`${at} begins with ${jobs[0]?.position}`)
    if (jobs.some((job, j) => j > 0 && jobs[j - 1]!.position >= job.position)) wrong(`${at} is out of order`)
    if (jobs.some((job) => job.state !== 'waiting' || job.queue !== queue || laneOf(job) !== lane || (-job.priority || 0) !== rank)) wrong(`${at} holds a job that belongs elsewhere`)
    if (next?.queue === queue && next.lane === lane && next.rank === rank && jobs[jobs.length - 1]!.position >= next.first) wrong(`${at} overlaps the page at ${next.first}`)
    for (const job of jobs) place(job, at)
  })
  for (const lease of leases) {
    const box = boxes.find(({ key }) => key === lease.box)
    if (lease.left.length === 0) wrong(`lease ${lease.box} holds nothing`)
    for (const seq of lease.left) {
      const job = box?.jobs.find((one) => one.seq === seq)
      if (job) place(job, `box ${lease.box}`)
      else wrong(`box ${lease.box} does not hold job ${seq}`)
    }
  }
  for (const { key } of boxes) if (!leases.some(({ box }) => box === key)) wrong(`box ${key} has no lease`)
  for (const [room, jobs] of Object.entries({ delayed, blocked, dead })) for (const job of jobs) {
    place(job, room)
    if (job.state !== room) wrong(`${room} holds job ${job.seq}, which is ${job.state}`)
  }
  for (const { queue, state, order, seqs, large = [], buckets } of history) {
    const at = `history ${queue} ${state} ${order}`
    const jobs = archives.find(({ key }) => key === order)?.jobs ?? []
    if (jobs.length === 0 || jobs.map(({ seq }) => seq).join() !== seqs.join()) wrong(`${at} names ${seqs.join()}, but holds ${jobs.map(({ seq }) => seq).join()}`)
    if (jobs.some((job) => job.state !== state || job.queue !== queue)) wrong(`${at} holds a job that belongs elsewhere`)
    if (jobs.some((job) => isApart(job) && !large.includes(job.seq))) wrong(`${at} does not name its large jobs`)
    if (bucketsOf(seqs).some((bucket) => !buckets.includes(bucket))) wrong(`${at} lacks a bucket of its jobs`)
    for (const job of jobs) place(job, at)
  }
  for (const { key } of archives) if (!history.some(({ order }) => order === key)) wrong(`the archive ${key} has no history`)
  for (const { left, buckets } of leases) if (bucketsOf(left).some((bucket) => !buckets.includes(bucket))) wrong('a lease lacks a bucket of its jobs')

  const all: Job[] = [...waiting.flatMap(({ jobs }) => jobs), ...boxes.flatMap(({ jobs }) => jobs), ...delayed, ...blocked, ...dead, ...archives.flatMap(({ jobs }) => jobs)]
  const large = new Set(all.filter((job) => job.large && places.has(job.seq)).map(({ seq }) => seq))
  for (const { seq } of payloads) if (!large.has(seq)) wrong(`the data of job ${seq} was left behind`)
  for (const seq of large) if (!payloads.some((row) => row.seq === seq)) wrong(`the data of job ${seq} is missing`)
  for (const { seq } of all) if (seq >= (meta[0]?.next ?? 0)) wrong(`job ${seq} has a number that is still to be given`)

  const left = new Map(leases.map((lease) => [lease.box, new Set(lease.left)]))
  const now = [...waiting.flatMap(({ jobs }) => jobs), ...boxes.flatMap(({ key, jobs }) => jobs.filter(({ seq }) => left.get(key)?.has(seq)).map((job): Job => ({ ...job, state: 'active' }))), ...delayed, ...blocked, ...dead, ...archives.flatMap(({ jobs }) => jobs)]
  const [moves, turns] = [groups.filter(({ queue }) => queue === ''), groups.filter(({ queue }) => queue !== '')]
  for (const { queue, group, position, seq, waiting: members } of turns) {
    const at = `group ${group} of ${queue}`
    const rows = turns.filter((row) => row.queue === queue && row.group === group)
    if (position === -Infinity) {
      const holder = now.find((job) => job.seq === seq)
      if (!holder || groupOf(holder) !== group || (holder.state === 'blocked' && !holder.waitsFor) || holder.state === 'completed' || holder.state === 'cancelled') wrong(`${at}: ${seq} cannot have its turn`)
      if (members !== rows.length - 1) wrong(`${at} counts ${members ?? 0} that wait, but there are ${rows.length - 1}`)
    } else {
      if (!rows.some((row) => row.position === -Infinity)) wrong(`${at}: nobody has its turn`)
      if (!blocked.some((job) => job.seq === seq && groupOf(job) === group && job.position === position)) wrong(`${at}: ${seq} does not wait for its turn`)
    }
  }
  const inLine = (job: Job): boolean => turns.some((row) => row.seq === job.seq && row.position === job.position)
  const hasTurn = (job: Job): boolean => turns.some((row) => row.seq === job.seq && row.position === -Infinity)
  for (const job of blocked) {
    if (!inLine(job) && !job.waitsFor) wrong(`job ${job.seq} is blocked by nothing`)
    if (job.group !== undefined && !inLine(job) && !hasTurn(job)) wrong(`job ${job.seq} is blocked, and unknown to its group`)
    for (const seq of job.waitsFor ?? []) {
      const parent = now.find((one) => one.seq === seq)
      if (!parent || isFinal(parent.state)) wrong(`job ${job.seq} waits for job ${seq}, which is ${parent?.state ?? 'gone'}`)
      if (seq > (meta[0]?.awaited ?? -1)) wrong(`nobody knows that job ${seq} has children`)
    }
  }
  for (const job of now) {
    const names = Object.keys(job.dependsOn ?? {}).sort()
    const had = parents.filter(({ child }) => child === job.seq).map(({ name }) => name).sort()
    if (names.join() !== had.join()) wrong(`job ${job.seq} depends on ${names.join()}, but knows ${had.join()}`)
    if (job.waitsFor && !['blocked', 'dead', 'cancelled'].includes(job.state)) wrong(`job ${job.seq} is ${job.state}, and waits for ${job.waitsFor.join()}`)
    if (job.parents) wrong(`job ${job.seq} is stored with its parents' results`)
  }
  for (const { child, name } of parents) if (!now.some(({ seq }) => seq === child)) wrong(`what job ${child} had of ${name} was left behind`)
  // Who is waiting, delayed or active has the turn of its group.
  for (const job of now) if (job.group !== undefined && (job.state === 'waiting' || job.state === 'delayed' || job.state === 'active') && !turns.some((row) => row.position === -Infinity && row.queue === job.queue && row.group === groupOf(job) && row.seq === job.seq)) wrong(`job ${job.seq} is ${job.state} and has no turn in its group`)
  // Who stands elsewhere than its push had put it is found by a note, for as long as it has its turn.
  const movers = now.filter((job) => Math.abs(job.position) !== job.seq && turns.some((row) => row.position === -Infinity && row.queue === job.queue && row.group === groupOf(job) && row.seq === job.seq))
  for (const job of movers) if (!moves.some((row) => row.position === job.seq && row.seq === job.position)) wrong(`job ${job.seq} went to ${job.position}, which is not noted`)
  for (const { group, position, seq } of moves) if (group !== '' || !movers.some((job) => job.seq === position && job.position === seq)) wrong(`a note says that job ${position} went to ${seq}`)
  for (const { seq, position } of now) if (position >= (meta[0]?.next ?? 0)) wrong(`job ${seq} has a position that is still to be given`)

  for (const { seq, state, expiresAt } of now) if (expiresAt !== undefined && (state === 'waiting' || state === 'delayed' || state === 'blocked') && !expiries.some((note) => note.at === expiresAt && note.seq === seq)) wrong(`job ${seq} is ${state}, and will never expire`)
  for (const { seq } of steps) { const job = now.find((one) => one.seq === seq); if (!job || job.state === 'completed' || job.state === 'cancelled') wrong(`steps of job ${seq} were left behind, which is ${job?.state ?? 'gone'}`) }

  for (const { queue, counts, lanes } of queues) {
    const pages = waiting.filter((page) => page.queue === queue)
    const recount: Record<State, number> = {
      waiting: waitingOf({ waiting } as unknown as Stored, queue).length, active: leases.filter((lease) => lease.queue === queue).reduce((sum, { left }) => sum + left.length, 0),
      delayed: 0, blocked: 0, dead: 0, completed: 0, cancelled: 0,
    }
    for (const job of [...delayed, ...blocked, ...dead, ...archives.flatMap(({ jobs }) => jobs)]) if (job.queue === queue) recount[job.state]++
    for (const [state, n] of Object.entries(recount)) if (counts[state as State] !== n) wrong(`${queue} counts ${counts[state as State]} ${state}, but there are ${n}`)
    const names = [...new Set(pages.map(({ lane }) => lane))].sort()
    if (names.join() !== Object.keys(lanes).sort().join()) wrong(`${queue} knows the lanes ${Object.keys(lanes).join(' ')}, but there are ${names.join(' ')}`)
    for (const [lane, { jobs, pages: n, ranks }] of Object.entries(lanes)) {
      const own = pages.filter((page) => page.lane === lane)
      const total = own.reduce((sum, page) => sum + page.jobs.length, 0)
      if (jobs !== total || n !== own.length) wrong(`lane ${lane} counts ${jobs} jobs in ${n} pages, but there are ${total} in ${own.length}`)
      for (const { rank } of own) if (!ranks.includes(rank)) wrong(`lane ${lane} does not know its rank ${rank}`)
    }
  }
  return found
}
