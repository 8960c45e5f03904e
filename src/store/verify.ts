/** Recounts and cross-checks every room, and repairs what can be. */
import { isFinal, isUnstarted, STATES, type Job } from '../core/job.ts'
import { laneOf } from '../core/lane.ts'
import { seqOf } from '../core/seq.ts'
import type { VerifyReport } from '../queue.ts'
import { Audit, type LaneTally } from './audit.ts'
import type { Committer } from './committer.ts'
import type { Connection } from './connection.ts'
import { append, emptyView, PAGE_JOBS, rankOf } from './lane-view.ts'
import { read } from './reads.ts'
import { moveKey } from './rooms.ts'
import { originOfKey } from '../core/credentials.ts'
import { bucketsOf, newMeta, type GroupRow, type HistoryRow, type PageKey, type QueueRow, type Room } from './schema.ts'
import { isApart } from './packing.ts'
import { isJob, isSound, readable } from './sound.ts'
import type { Key, Row, Tx } from './tx.ts'
import { recover } from './verbs/end.ts'
import { groupOf, passTurn, release } from './verbs/groups.ts'
import { lookAtParents } from './verbs/parents.ts'
import { lose } from './verbs/upkeep.ts'
import type { Work } from './work.ts'

/** Rows read at once: a few ms, so that a check holds up no push. */
const CHUNK_ROWS = 64
const SCANS = 3
/** What one repair makes fit may show what else is wrong. */
const REPAIRS = 5
/** Who holds the jobs of a box that has lost its lease. */
const NOBODY = ''

type Ask = <T>(use: (tx: Tx) => Promise<T>) => Promise<T>

/** Rows of a room in order of their keys, a few at a time; `unsound` is told the keys of those that are nothing that belongs there. */
async function each<R extends Room>(ask: Ask, audit: Audit, room: R, visit: (row: Row<R>, key: Key<R>) => void, unsound = (key: Key<R>): void => { audit.wrong(`${room} ${String(key)} cannot be read`, (work) => { work.delete(room, key) }) }): Promise<void> {
  for (let range: IDBKeyRange | null = null; ;) {
    const rows = await ask((tx) => readable(tx, room, range, CHUNK_ROWS))
    for (const { key, row } of rows) if (isSound(room, row)) visit(row, key); else unsound(key)
    const last = rows[rows.length - 1]
    if (!last || rows.length < CHUNK_ROWS) return
    range = IDBKeyRange.lowerBound(last.key, true)
  }
}

/** In the order of trust: of a job that is in two places the first one counts. What has ended has ended; what is leased may be running. */
async function scan(ask: Ask): Promise<Audit> {
  const audit = new Audit()
  await each(ask, audit, 'history', (row) => { audit.history.set(row.order, row) })
  await each(ask, audit, 'archives', ({ jobs }, order) => { checkArchive(audit, order, jobs) })
  for (const { queue, state, order } of audit.history.values()) audit.wrong(`history ${order} has no archive`, (work) => { work.delete('history', [queue, state, order]) })
  await each(ask, audit, 'dead', (job) => { checkSingle(audit, 'dead', job) })
  await each(ask, audit, 'leases', (lease) => { audit.leases.set(lease.box, lease) })
  await each(ask, audit, 'boxes', ({ jobs }, box) => { checkBox(audit, box, jobs) })
  for (const { box, queue } of audit.leases.values()) audit.wrong(`lease ${box} of ${queue} has no box`, (work) => { work.delete('leases', box) })
  await each(ask, audit, 'delayed', (job) => { checkSingle(audit, 'delayed', job) })
  await each(ask, audit, 'blocked', (job) => { checkSingle(audit, 'blocked', job) })
  await each(ask, audit, 'waiting', (page, key) => { checkPage(audit, page, key) }, ([queue, lane, ...place]) => {
    audit.lane(queue, lane).broken = true
    audit.wrong(`page ${[queue, lane, ...place].join(' ')} cannot be read`)
  })
  checkOrphans(audit)
  await checkPayloads(ask, audit)
  const last = await ask((tx) => tx.lastQueue(null))
  await each(ask, audit, 'queues', (row) => { if (row.queue !== last?.queue) checkQueueRow(audit, row) }, (queue) => {
    if (queue !== last?.queue) checkQueueRow(audit, undefined, queue)
    // Nobody needs it, but it is read along with the others. Its queue is another row now: only that of its room is to go.
    else audit.wrong(`an old row of ${queue} cannot be read`, (work) => { work.deleteRange('queues', IDBKeyRange.only(queue)) })
  })
  if (last) checkQueueRow(audit, isSound('queues', last) ? last : undefined, last.queue)
  for (const [queue, counts] of audit.counts) if (Object.values(counts).some((n) => n > 0)) checkQueueRow(audit, undefined, queue)
  await each(ask, audit, 'origins', (gate) => {
    const out = audit.asked.get(gate.origin) ?? 0
    if (gate.out > out) audit.wrong(`${gate.origin} waits for ${gate.out} requests, but ${out} are out`, (work) => { work.put('origins', gate.origin, { ...gate, out }) })
  })
  await each(ask, audit, 'credentials', ({ out, ...row }) => {
    const key = originOfKey(row.origin)
    if (out && !audit.asked.get(key)) audit.wrong(`the credentials of ${key} are tried by no request`, (work) => { work.put('credentials', row.origin, row) })
  })
  // Before the groups, which may need a number.
  await each(ask, audit, 'meta', ({ next, queue }) => {
    audit.hasMeta = true
    // One that has a name was looked at with the other queues.
    if (queue && typeof queue.queue !== 'string') audit.wrong('the queue in the meta row cannot be read', (work) => { work.put('meta', 'main', { ...work.meta, queue: undefined }) })
    if (audit.highest >= next) audit.wrong(`number ${audit.highest} is given, but the next is ${next}`, (work) => { work.put('meta', 'main', { ...work.meta, next: audit.highest + 1 }) })
  }, () => {})
  if (!audit.hasMeta) audit.wrong('the meta row is lost', (work) => { work.put('meta', 'main', { ...newMeta(work.env.token()), next: audit.highest + 1, queue: isSound('queues', last) ? last : undefined }) })
  await checkGroups(ask, audit)
  await checkFamilies(ask, audit)
  return audit
}

function checkArchive(audit: Audit, order: number, jobs: readonly Job[]): void {
  const row = audit.history.get(order)
  audit.history.delete(order)
  audit.highest = Math.max(audit.highest, order)
  const kept = jobs.filter((job) => isJob(job) && isFinal(job.state) && audit.place(job, `archive ${order}`, job.state))
  const seqs = kept.map(({ seq }) => seq)
  const sound = row && kept.length === jobs.length && row.seqs.join() === seqs.join() && bucketsOf(seqs).every((bucket) => row.buckets.includes(bucket))
  if (sound) return
  const [first] = kept
  audit.wrong(row ? `archive ${order} and its history differ` : `archive ${order} has no history`, (work) => {
    if (row) work.delete('history', [row.queue, row.state, order])
    work.put('archives', order, first && { jobs: kept })
    const large = kept.filter(isApart).map(({ seq }) => seq)
    if (first) work.put('history', [first.queue, first.state, order], { queue: first.queue, state: first.state as HistoryRow['state'], order, endedAt: first.endedAt ?? work.now, seqs, buckets: bucketsOf(seqs), ...(large.length > 0 && { large }) })
  })
}

function checkSingle(audit: Audit, room: 'dead' | 'delayed' | 'blocked', job: Job): void {
  if (!audit.place(job, room, room)) { audit.wrong(`job ${job.seq} is in ${room} and in ${audit.places.get(job.seq)}`, (work) => { work.delete(room, job.seq) }); return }
  if (room === 'blocked' && job.group !== undefined) audit.group(job.queue, groupOf(job)).push(job)
  if (job.state !== room) audit.wrong(`job ${job.seq} is in ${room}, and ${job.state}`, (work) => { work.put(room, job.seq, { ...job, state: room }) })
}

function checkBox(audit: Audit, box: number, jobs: readonly Job[]): void {
  const lease = audit.leases.get(box)
  audit.leases.delete(box)
  audit.highest = Math.max(audit.highest, box)
  if (!lease) { audit.orphans.set(box, jobs.filter(isJob)); return }
  const held = new Map(jobs.filter(isJob).map((job) => [job.seq, job]))
  const left = lease.left.filter((seq) => { const job = held.get(seq); return job && audit.place(job, `box ${box}`, 'active') })
  if (lease.processor !== undefined) audit.leased.set(lease.processor, (audit.leased.get(lease.processor) ?? 0) + left.length)
  if (lease.owner === NOBODY) audit.misplaced(`nobody runs the jobs of box ${box}`, async (work) => { await recover(work, box, undefined, 'release') })
  if (left.length === lease.left.length && left.length > 0) return
  audit.wrong(`lease ${box} names jobs that its box does not hold, or that are elsewhere`, (work) => {
    work.put('leases', box, left.length > 0 ? { ...lease, left } : undefined)
    if (left.length === 0) work.delete('boxes', box)
  })
}

/** Those of its jobs that are nowhere else are leased to nobody, who gives them back. */
function checkOrphans(audit: Audit): void {
  for (const [box, jobs] of audit.orphans) {
    const [first, ...others] = jobs.filter((job) => audit.place(job, `box ${box}`, 'active'))
    const left = first ? [first, ...others].map(({ seq }) => seq) : []
    audit.wrong(`box ${box} has no lease`, (work) => {
      if (first) work.put('leases', box, { box, queue: first.queue, token: work.env.token(), owner: NOBODY, left, leaseMs: 0, buckets: bucketsOf(left) })
      else work.delete('boxes', box)
    })
  }
}

function checkPage(audit: Audit, page: Row<'waiting'>, key: PageKey): void {
  const [queue, lane, rank, first] = key
  const jobs = page.jobs.filter(isJob)
  const tally = audit.lane(queue, lane)
  const before = audit.last
  const follows = before && before.page[0] === queue && before.page[1] === lane && before.page[2] === rank
  let end = -Infinity
  let sound = page.queue === queue && page.lane === lane && page.rank === rank && page.first === first && jobs.length === page.jobs.length && jobs.length > 0 && jobs.length <= PAGE_JOBS && jobs[0]?.position === first && !(follows && before.end >= first)
  for (const job of jobs) {
    sound &&= job.position > end && job.queue === queue && laneOf(job) === lane && rankOf(job) === rank && job.state === 'waiting'
    end = job.position
    if (audit.place(job, `page ${key.join(' ')}`, 'waiting')) tally.jobs++
    else sound = false
  }
  audit.last = { page: key, end }
  tally.pages++
  tally.ranks.add(rank)
  if (sound) return
  tally.broken = true
  audit.wrong(`page ${key.join(' ')} is out of order, or holds jobs that belong elsewhere`)
}

async function checkPayloads(ask: Ask, audit: Audit): Promise<void> {
  const found = new Set(await ask((tx) => tx.keys('payloads')))
  for (const seq of found) if (!audit.large.has(seq)) audit.wrong(`the data of job ${seq} was left behind`, (work) => { work.delete('payloads', seq) })
  for (const seq of audit.unread) if (!await ask((tx) => tx.get('payloads', seq))) audit.misplaced(`the data of job ${seq} is lost`, (work) => lose(work, seq))
}

function checkQueueRow(audit: Audit, row: QueueRow | undefined, queue = row?.queue ?? ''): void {
  const counts = audit.tally(queue)
  const lanes = audit.lanes.get(queue) ?? new Map<string, LaneTally>()
  audit.counts.delete(queue)
  const wrongCounts = STATES.filter((state) => row?.counts[state] !== counts[state])
  const wrongLanes = [...new Set([...lanes.keys(), ...Object.keys(row?.lanes ?? {})])].filter((lane) => {
    const [told, is] = [row?.lanes[lane], lanes.get(lane)]
    return is?.broken || told?.jobs !== is?.jobs || told?.pages !== is?.pages || [...is?.ranks ?? []].some((rank) => !told?.ranks.includes(rank))
  })
  const processors = Object.entries(row?.processors ?? {})
  const wrongShares = processors.filter(([id, { leased }]) => leased !== (audit.leased.get(id) ?? 0))
  const http = audit.http.has(queue)
  if (wrongCounts.length + wrongLanes.length + wrongShares.length === 0 && (!http || row?.http)) return
  const what = [...http && !row?.http ? ['requests'] : [], ...wrongCounts.map((state) => `${state}: ${row?.counts[state] ?? 0} for ${counts[state]}`), ...wrongLanes.map((lane) => `lane ${lane}`), ...wrongShares.map(([id]) => `processor ${id}`)]
  audit.wrong(`${queue} miscounts ${what.join(', ')}`, (work) => {
    const told = Object.fromEntries([...lanes].filter(([, { jobs }]) => jobs > 0).map(([lane, { jobs, pages, ranks }]) => [lane, { jobs, pages, ranks: [...ranks] }]))
    work.putQueue({ ...row ?? { queue, settings: {}, paused: false }, counts, lanes: told, ...(http && { http: true as const }), processors: Object.fromEntries(processors.map(([id, share]) => [id, { ...share, leased: audit.leased.get(id) ?? 0 }])) })
  })
}

/** Each group has one that has the turn, and knows all that wait for it. */
async function checkGroups(ask: Ask, audit: Audit): Promise<void> {
  const stored = new Map<Job[], GroupRow[]>()
  const moves = new Map<number, number>()
  await each(ask, audit, 'groups', (row) => {
    if (row.queue === '') { moves.set(row.position, row.seq); return }
    const members = audit.group(row.queue, row.group)
    const rows = stored.get(members)
    if (rows) rows.push(row)
    else stored.set(members, [row])
  })
  for (const [seq, position] of audit.noted) if (moves.get(seq) !== position) audit.wrong(`it is not noted where job ${seq} went`, (work) => { work.put('groups', moveKey(seq), { queue: '', group: '', position: seq, seq: position }) })
  for (const seq of moves.keys()) if (!audit.noted.has(seq)) audit.wrong(`a note of where job ${seq} went was left behind`, (work) => { work.delete('groups', moveKey(seq)) })
  for (const [id, members] of audit.groups) {
    const rows = stored.get(members) ?? []
    const [head, ...waiting] = rows
    const [queue, group] = JSON.parse(id) as [string, string]
    // Who died may have it too, and who waits for its parents.
    const isHeld = head?.position === -Infinity && (audit.died.get(head.seq) === id || members.some(({ seq, waitsFor }) => seq === head.seq && waitsFor))
    const holder = audit.turns.get(members) ?? (isHeld ? head.seq : undefined)
    const sorted = members.filter(({ seq }) => seq !== holder).sort((a, b) => a.position - b.position)
    if (holder !== undefined && head?.seq === holder && head.position === -Infinity && head.waiting === sorted.length && waiting.map(({ seq }) => seq).join() === sorted.map(({ seq }) => seq).join()) continue
    const what = `group ${group} of ${queue} does not fit its jobs`
    const list = (work: Work): void => {
      for (const { position } of rows) work.delete('groups', [queue, group, position])
      for (const { position, seq } of sorted) work.put('groups', [queue, group, position], { queue, group, position, seq })
    }
    const found = { queue, group, position: -Infinity, waiting: sorted.length }
    if (holder === undefined) audit.misplaced(what, async (work) => { list(work); work.putQueue(await passTurn(work, await work.queue(queue), { ...found, seq: -1 })) })
    else audit.wrong(what, (work) => { list(work); work.put('groups', [queue, group, -Infinity], { ...found, seq: holder }) })
  }
}

/** Each child knows all its parents; who is blocked waits for one that has not ended, or for its turn. */
async function checkFamilies(ask: Ask, audit: Audit): Promise<void> {
  const missing = new Map([...audit.children].map(([seq, { dependsOn }]) => [seq, new Map(Object.entries(dependsOn ?? {}))]))
  await each(ask, audit, 'parents', ({ child, name }) => {
    if (!missing.get(child)?.delete(name)) audit.wrong(`what job ${child} had of ${name} was left behind`, (work) => { work.delete('parents', [child, name]) })
  })
  for (const [child, names] of missing) for (const [name, id] of names) {
    const { state, waitsFor = [] } = audit.children.get(child) ?? { state: 'dead' }
    const parent = seqOf(id) ?? -1
    if (waitsFor.includes(parent)) audit.wrong(`what job ${child} has of ${name} is missing`, (work) => { work.put('parents', [child, name], { child, name, parent }) })
    else if (isUnstarted(state)) audit.misplaced(`what job ${child} has of ${name} is lost`, (work) => lose(work, child))
  }
  for (const job of audit.blocked) {
    const { seq, waitsFor = [] } = job
    if (job.group === undefined && waitsFor.length === 0) audit.misplaced(`job ${seq} is blocked by nothing`, async (work) => { work.putQueue(await release(work, await work.queue(job.queue), job)) })
    const ended = waitsFor.filter((parent) => audit.final.has(parent) || !audit.places.has(parent))
    if (ended.length > 0) audit.misplaced(`job ${seq} waits for ${ended.join()}, which ended`, (work) => lookAtParents(work, seq))
  }
  const awaited = Math.max(-1, ...audit.blocked.flatMap(({ waitsFor = [] }) => waitsFor))
  await each(ask, audit, 'meta', ({ awaited: known = -1 }) => {
    if (awaited > known) audit.wrong(`job ${awaited} has children, and nobody knows`, (work) => { work.put('meta', 'main', { ...work.meta, awaited }) })
  }, () => {})
}

/** Pages a queue anew: each job once, where it belongs. */
async function repage(work: Work, audit: Audit, queue: string, lanes: Map<string, LaneTally>): Promise<void> {
  const range = IDBKeyRange.bound([queue], [queue, []])
  const pages = await readable(work.tx, 'waiting', range)
  for (const { key } of pages) work.delete('waiting', key)
  lanes.clear()
  const runs = new Map<string, Job[]>()
  const seen = new Set<number>()
  for (const job of pages.flatMap(({ row }) => isSound('waiting', row) ? row.jobs.filter(isJob) : [])) {
    if (seen.has(job.seq) || !audit.places.get(job.seq)?.startsWith('page ')) continue
    seen.add(job.seq)
    const id = JSON.stringify([laneOf(job), rankOf(job)])
    runs.set(id, [...runs.get(id) ?? [], { ...job, queue, state: 'waiting' }])
  }
  for (const [id, jobs] of runs) {
    const [lane, rank] = JSON.parse(id) as [string, number]
    const { pages: fresh } = append(emptyView(queue, lane), rank, jobs.sort((a, b) => a.position - b.position))
    for (const { row } of fresh) work.put('waiting', [queue, lane, rank, row.first], row)
    const tally = audit.lane(queue, lane)
    tally.jobs += jobs.length
    tally.pages += fresh.length
    tally.ranks.add(rank)
  }
}

const reportOf = ({ faults, count, places }: Audit, repaired: number): VerifyReport => ({ ok: count === 0, jobs: places.size, found: count, faults, repaired })

/** Checks in short transactions; while others write, what was seen at different times need not fit, so then in one. */
export async function verify(connection: Connection): Promise<VerifyReport> {
  const version = (): Promise<number | undefined> => read(connection, async (tx) => (await tx.get('meta', 'main'))?.version, ['meta'])
  for (let n = 0; n < SCANS; n++) {
    const before = await version()
    const audit = await scan((use) => read(connection, use))
    if (before === await version()) return reportOf(audit, 0)
  }
  return reportOf(await read(connection, (tx) => scan((use) => use(tx))), 0)
}

async function mend(work: Work): Promise<VerifyReport> {
  const audit = await scan((use) => use(work.tx))
  const broken = [...audit.lanes].filter(([, lanes]) => [...lanes.values()].some((lane) => lane.broken))
  for (const [queue, lanes] of broken) await repage(work, audit, queue, lanes)
  const fixes = broken.length + audit.fixes.length > 0 ? audit.fixes : audit.moves
  for (const fix of fixes) await fix(work)
  return reportOf(audit, fixes.length)
}

/** Checks and repairs, in one transaction each time. What is lost does not come back, and jobs that lack it die; everything else is made to fit. */
export async function repair(committer: Committer): Promise<VerifyReport> {
  const submit = (): Promise<VerifyReport> => committer.submit({ alone: true, run: mend })
  const first = await submit()
  let { repaired } = first
  for (let n = 1, last = first; !last.ok && n < REPAIRS; n++) {
    last = await submit()
    repaired += last.repaired
  }
  return { ...first, repaired }
}
