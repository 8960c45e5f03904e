/** DESIGN §3: pages of one (lane, priority) never overlap; the waiting room holds exactly the waiting jobs, in claim order. */
import fc from 'fast-check'
import { expect, it } from 'vitest'
import type { Job } from '../../src/core/job.ts'
import { append, changes, emptyView, head, insert, keyOf, PAGE_JOBS, rankOf, remove, sameKey, takeFirst, withLoaded, type LaneView } from '../../src/store/lane-view.ts'
import type { PageRow } from '../../src/store/schema.ts'
import { jobOf } from './support/job.ts'

const inOrder = (a: PageRow, b: PageRow): number => a.rank - b.rank || a.first - b.first
const last = (row: PageRow): number => row.jobs[row.jobs.length - 1]!.position
const positions = (jobs: readonly Job[]): string[] => jobs.map((job) => `${rankOf(job)}:${job.position}`)

/** What must hold of pages in claim order, whether stored or only known. */
function checkPages(pages: readonly PageRow[]): void {
  for (const [i, row] of pages.entries()) {
    const next = pages[i + 1]
    const span = `${row.rank}:${row.first}..${last(row)}`
    if (row.jobs.length === 0 || row.jobs.length > PAGE_JOBS || row.first !== row.jobs[0]!.position) throw new Error(`the page ${span} has ${row.jobs.length} jobs`)
    if (row.jobs.some((job, j) => rankOf(job) !== row.rank || (j > 0 && row.jobs[j - 1]!.position >= job.position))) throw new Error(`the page ${span} is out of order`)
    if (next && (inOrder(row, next) >= 0 || (row.rank === next.rank && last(row) >= next.first))) throw new Error(`the page ${span} overlaps ${next.rank}:${next.first}..${last(next)}`)
  }
}

/** One lane as a database would hold it, one transaction's view of it, and the list of jobs that both should amount to. */
class Lane {
  stored: PageRow[] = []
  view: LaneView = emptyView('emails', 'welcome')
  expected: Job[] = []
  /** Claimed or removed jobs, which may come back. */
  out: Job[] = []
  #next = 1

  append(rank: number, count: number, size: number, lifo: boolean): void {
    const jobs = Array.from({ length: count }, () => { const seq = this.#next++; return jobOf({ seq, position: lifo ? -seq : seq, priority: -rank, size }) })
    this.view = append(this.view, rank, lifo ? [...jobs].reverse() : jobs)
    this.#expect([...this.expected, ...jobs])
  }

  insert(pick: number): void {
    const [job] = this.out.splice(pick % this.out.length, 1)
    if (!job) return
    this.#loadBefore(job)
    this.view = insert(this.view, job)
    this.#expect([...this.expected, job])
  }

  remove(pick: number): void {
    const job = this.expected[pick % this.expected.length]
    if (!job) return
    this.#load(this.stored.filter((row) => row.jobs.some(({ seq }) => seq === job.seq)))
    this.view = remove(this.view, job)
    this.#taken([job])
  }

  takeFirst(count: number, wave: number): void {
    const page = this.#loadFront(wave)
    const { view, jobs } = takeFirst(this.view, count)
    this.view = view
    expect(positions(jobs)).toEqual(positions(this.expected.slice(0, Math.min(count, page?.jobs.length ?? 0))))
    this.#taken(jobs)
  }

  /** The trial of a closed origin takes one job of the first page, not its first. */
  takeAt(index: number, wave: number): void {
    const page = this.#loadFront(wave)
    const job = page?.jobs[index % page.jobs.length]
    if (!job) return
    this.view = remove(this.view, job)
    this.#taken([job])
  }

  /** Writes what `changes` says as the database would, which refuses to add over a row. */
  commit(): void {
    const { deletes, deleteTo, adds, puts } = changes(this.view)
    if (deleteTo) this.stored = this.stored.filter((row) => row.rank - deleteTo[2] > 0 || (row.rank === deleteTo[2] && row.first > deleteTo[3]))
    this.stored = this.stored.filter((row) => !deletes.some((key) => sameKey(key, keyOf(row))))
    for (const row of adds) {
      if (this.stored.some((other) => sameKey(keyOf(other), keyOf(row)))) throw new Error(`add: there is a page at ${row.rank}:${row.first}`)
      this.stored.push(row)
    }
    for (const row of puts) {
      const at = this.stored.findIndex((other) => sameKey(keyOf(other), keyOf(row)))
      if (at < 0) throw new Error(`put: there is no page at ${row.rank}:${row.first}`)
      this.stored[at] = row
    }
    this.stored.sort(inOrder)
    this.view = emptyView('emails', 'welcome')
    checkPages(this.stored)
    expect(positions(this.stored.flatMap(({ jobs }) => jobs))).toEqual(positions(this.expected))
  }

  check(): void { checkPages(this.view.pages.map(({ row }) => row)) }

  // ---- what a transaction reads ----

  #load(rows: readonly PageRow[]): void { this.view = withLoaded(this.view, rows, this.view.loadedTo) }

  /** The contract of `insert`: of the pages as this transaction has left them, the one before the job's place is known. */
  #loadBefore(job: Job): void {
    const rows = this.stored.filter((row) => row.rank === rankOf(job) && row.first <= job.position)
    for (const row of rows.reverse()) {
      const known = this.view.pages.find(({ stored }) => stored && sameKey(stored, keyOf(row)))
      const gone = this.view.gone.some((key) => sameKey(key, keyOf(row)))
      if (gone || (known && known.row.first > job.position)) continue
      this.#load([row])
      return
    }
  }

  /** More of the front, a few pages at a time, until the first page is certain. */
  #loadFront(wave: number): PageRow | undefined {
    for (;;) {
      const { loadedTo } = this.view
      if (loadedTo === 'all' || head(this.view)) return head(this.view)?.row
      const rows = this.stored.filter((row) => loadedTo === 'none' || row.rank > loadedTo[2] || (row.rank === loadedTo[2] && row.first > loadedTo[3])).slice(0, wave)
      const end = rows[rows.length - 1]
      this.view = withLoaded(this.view, rows, rows.length < wave || !end ? 'all' : ['emails', 'welcome', end.rank, last(end)])
    }
  }

  #expect(jobs: readonly Job[]): void { this.expected = [...jobs].sort((a, b) => rankOf(a) - rankOf(b) || a.position - b.position) }
  #taken(jobs: readonly Job[]): void {
    const seqs = new Set(jobs.map(({ seq }) => seq))
    this.expected = this.expected.filter(({ seq }) => !seqs.has(seq))
    this.out.push(...jobs)
  }
}

type Step = readonly ['append', rank: number, count: number, size: number, lifo: boolean] | readonly ['insert' | 'remove', pick: number] | readonly ['takeFirst' | 'takeAt', n: number, wave: number] | readonly ['commit']

function play(steps: readonly Step[]): Lane {
  const lane = new Lane()
  for (const step of steps) {
    switch (step[0]) {
      case 'append': lane.append(step[1], step[2], step[3], step[4]); break
      case 'insert': case 'remove': lane[step[0]](step[1]); break
      case 'takeFirst': case 'takeAt': lane[step[0]](step[1], step[2]); break
      case 'commit': lane.commit(); break
    }
    lane.check()
  }
  lane.commit()
  return lane
}

const pick = fc.nat(1000)
const wave = fc.integer({ min: 1, max: 3 })
/** Small jobs fill a page by their number, large ones by their bytes. */
const push = fc.tuple(fc.constant('append' as const), fc.integer({ min: -1, max: 1 }), fc.oneof(fc.integer({ min: 1, max: 3 }), fc.integer({ min: 1, max: 150 })), fc.constantFrom(0, 5000, 16_000), fc.boolean())
const step: fc.Arbitrary<Step> = fc.oneof(
  push, fc.tuple(fc.constant('insert' as const), pick), fc.tuple(fc.constant('insert' as const), pick), fc.tuple(fc.constant('remove' as const), pick),
  fc.tuple(fc.constant('takeFirst' as const), fc.integer({ min: 1, max: 100 }), wave), fc.tuple(fc.constant('takeAt' as const), fc.nat(70), wave), fc.constant(['commit'] as const),
)

it('pages stay disjoint, ordered and of at most 64 jobs, and hold exactly the jobs that should be there', () => {
  fc.assert(fc.property(fc.array(step, { maxLength: 40, size: 'max' }), (steps) => { play(steps) }), { numRuns: 200 })
})

it('jobs that come back after all were taken are in their old places', () => {
  fc.assert(fc.property(push, push, fc.array(pick, { minLength: 200, maxLength: 200 }), (one, other, picks) => {
    const take = (n: number): Step[] => Array.from({ length: n }, () => ['takeFirst', 64, 2] as const)
    const { expected, out } = play([one, ['commit'], other, ['commit'], ...take(120), ['commit'], ...picks.map((n) => ['insert', n] as const)])
    expect(expected.length + out.length).toBe(one[2] + other[2])
    expect(expected.length).toBe(Math.min(200, one[2] + other[2]))
  }), { numRuns: 30 })
})

it('a claim of the lane’s whole front costs one range delete and one page for what is left', () => {
  const lane = new Lane()
  for (let i = 0; i < 5; i++) { lane.append(0, 64, 0, false); lane.commit() }
  for (let i = 0; i < 4; i++) lane.takeFirst(i === 3 ? 10 : 64, 4)
  const { deletes, deleteTo, adds, puts } = changes(lane.view)
  expect({ deletes, deleteTo, adds: adds.map(({ first, jobs }) => [first, jobs.length]), puts }).toEqual({ deletes: [], deleteTo: ['emails', 'welcome', 0, 193], adds: [[203, 54]], puts: [] })
})

it('two pages that are gone do not take the one before them along', () => {
  const lane = new Lane()
  for (let i = 0; i < 4; i++) { lane.append(0, 1, 0, false); lane.commit() }
  lane.takeAt(0, 4)
  lane.insert(0)
  lane.remove(1)
  lane.remove(1)
  lane.commit()
  expect(lane.expected.map(({ position }) => position)).toEqual([1, 4])
})

it('what is pushed rewrites no page that is there', () => {
  const lane = new Lane()
  lane.append(0, 3, 0, false)
  lane.commit()
  lane.append(0, 3, 0, false)
  expect(changes(lane.view)).toMatchObject({ deletes: [], puts: [], adds: [{ first: 4 }] })
})

it('a place that is taken is refused', () => {
  const view = append(emptyView('emails', 'welcome'), 0, [2, 4, 6].map((seq) => jobOf({ seq })))
  for (const seq of [2, 4, 6]) expect(() => insert(view, jobOf({ seq }))).toThrow('is taken')
  expect(() => append(view, 0, [jobOf({ seq: 6 })])).toThrow('is taken')
  expect(() => append(view, 0, [jobOf({ seq: 1 }), jobOf({ seq: 2 })])).toThrow('is taken')
})
