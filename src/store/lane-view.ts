/** One lane as a transaction sees it: the pages it has read and changed so far. Values, never edited in place, so that an operation can be undone. */
import type { Job } from '../core/job.ts'
import type { PageKey, PageRow } from './schema.ts'

export const PAGE_JOBS = 64
export const PAGE_BYTES = 65_536

export interface Page {
  readonly row: PageRow
  /** Its key in the database; absent: not there yet. */
  readonly stored?: PageKey
  readonly dirty: boolean
  /** Made of jobs pushed to the end by this very transaction: nothing can lie between it and the next such job. */
  readonly end?: true
}

export interface LaneView {
  readonly queue: string
  readonly lane: string
  /** Known pages in claim order. */
  readonly pages: readonly Page[]
  /** Every page of the database up to this key is known; `all`: the whole lane is. */
  readonly loadedTo: PageKey | 'all' | 'none'
  /** Keys to delete. */
  readonly gone: readonly PageKey[]
}

export const emptyView = (queue: string, lane: string): LaneView => ({ queue, lane, pages: [], loadedTo: 'none', gone: [] })

export const keyOf = (row: PageRow): PageKey => [row.queue, row.lane, row.rank, row.first]
const compare = (a: PageRow, rank: number, first: number): number => a.rank - rank || a.first - first
export const sameKey = (a: PageKey, b: PageKey): boolean => a[2] === b[2] && a[3] === b[3]
export const rankOf = (job: Pick<Job, 'priority'>): number => -job.priority || 0

/** Jobs stored with a page count by an estimate: `size` is put beside them by whoever measured their data. */
const BASE_BYTES = 200

/** Roughly the bytes a job takes in a page; its data was measured at push and travels as `size`. */
export const jobBytes = (job: Job & { readonly size?: number }): number => BASE_BYTES + (job.size ?? 0)

function rowOf(queue: string, lane: string, rank: number, jobs: readonly Job[]): PageRow {
  const [head] = jobs
  if (!head) throw new Error('a page is never empty')
  return { queue, lane, rank, first: head.position, jobs, bytes: jobs.reduce((sum, job) => sum + jobBytes(job), 0) }
}

const lastPosition = (row: PageRow): number => row.jobs[row.jobs.length - 1]?.position ?? row.first
const hasRoom = (row: PageRow, job: Job): boolean => row.jobs.length < PAGE_JOBS && row.bytes + jobBytes(job) <= PAGE_BYTES

/** The first known page at or after (rank, first). */
function lowerBound(pages: readonly Page[], rank: number, first: number): number {
  let [low, high] = [0, pages.length]
  while (low < high) {
    const middle = (low + high) >> 1
    const page = pages[middle]
    if (page && compare(page.row, rank, first) < 0) low = middle + 1
    else high = middle
  }
  return low
}

/** Whether everything of the database up to (rank, first) is known. */
export const isKnown = ({ loadedTo }: LaneView, rank: number, first: number): boolean =>
  loadedTo === 'all' || (loadedTo !== 'none' && (loadedTo[2] - rank || loadedTo[3] - first) >= 0)

/** The next page to claim from, when it is certain that none comes before it. */
export function head(view: LaneView): Page | undefined {
  const [page] = view.pages
  return page && isKnown(view, page.row.rank, page.row.first) ? page : undefined
}

/** Adds pages as read from the database; those already known or taken out are left as they are. */
export function withLoaded(view: LaneView, rows: readonly PageRow[], loadedTo: LaneView['loadedTo']): LaneView {
  const known = new Set([...view.pages.flatMap(({ stored }) => stored ? [`${stored[2]}/${stored[3]}`] : []), ...view.gone.map((key) => `${key[2]}/${key[3]}`)])
  const fresh = rows.filter((row) => !known.has(`${row.rank}/${row.first}`)).map((row): Page => ({ row, stored: keyOf(row), dirty: false }))
  return { ...view, loadedTo, pages: fresh.length === 0 ? view.pages : [...view.pages, ...fresh].sort((a, b) => compare(a.row, b.row.rank, b.row.first)) }
}

function splice(view: LaneView, index: number, remove: number, rows: readonly PageRow[], end = false): LaneView {
  const pages = view.pages.slice()
  const old = pages[index]
  const fresh = rows.map((row, i): Page => remove === 1 && i === 0 && old?.stored ? { row, stored: old.stored, dirty: true } : { row, dirty: true, ...(end && { end }) })
  pages.splice(index, remove, ...fresh)
  const gone = remove === 1 && rows.length === 0 && old?.stored ? [...view.gone, old.stored] : view.gone
  return { ...view, pages, gone }
}

const taken = ({ id, position }: Job): Error => new Error(`position ${position} of job ${id} is taken`)

/** New jobs of one rank, at the very end of it (or, `lifo`, at the very front): fresh pages only, nothing is read or rewritten. */
export function append(view: LaneView, rank: number, jobs: readonly Job[]): LaneView {
  let out = view
  let open: Job[] = []
  let bytes = 0
  const [head] = jobs
  if (!head) return view
  const before = lowerBound(view.pages, rank, head.position) - 1
  const [tail, next] = [view.pages[before], view.pages[before + 1]]
  if (tail?.row.rank === rank && lastPosition(tail.row) >= head.position) throw taken(head)
  if (next?.row.rank === rank && jobs.some(({ position }) => position >= next.row.first)) throw taken(head)
  let merge = tail?.end && tail.row.rank === rank && hasRoom(tail.row, head) ? tail : undefined
  if (merge) { open = [...merge.row.jobs]; bytes = merge.row.bytes }
  const flush = (): void => {
    const row = rowOf(view.queue, view.lane, rank, open)
    const at = lowerBound(out.pages, rank, row.first)
    out = splice(out, at, merge ? 1 : 0, [row], row.first >= 0)
    merge = undefined
    open = []
    bytes = 0
  }
  for (const job of jobs) {
    const size = jobBytes(job)
    if (open.length > 0 && (open.length >= PAGE_JOBS || bytes + size > PAGE_BYTES)) flush()
    open.push(job)
    bytes += size
  }
  flush()
  return out
}

/** The known page whose span could hold `position`: the last one that begins at or before it. */
export function pageBefore(view: LaneView, rank: number, position: number): { readonly page: Page; readonly index: number } | undefined {
  let index = lowerBound(view.pages, rank, position)
  if (view.pages[index]?.row.rank !== rank || view.pages[index]?.row.first !== position) index--
  const page = view.pages[index]
  return page && page.row.rank === rank ? { page, index } : undefined
}

/** A job that comes back, into its place: into the page that spans it, at the end of the one before, or as a page of its own. The page before must be known. */
export function insert(view: LaneView, job: Job): LaneView {
  const rank = rankOf(job)
  const before = pageBefore(view, rank, job.position)
  if (before?.page.row.jobs.some(({ position }) => position === job.position)) throw taken(job)
  if (before && (hasRoom(before.page.row, job) || lastPosition(before.page.row) > job.position)) {
    const { row } = before.page
    const at = row.jobs.findIndex((other) => other.position > job.position)
    const jobs = at < 0 ? [...row.jobs, job] : [...row.jobs.slice(0, at), job, ...row.jobs.slice(at)]
    const halves = hasRoom(row, job) ? [jobs] : [jobs.slice(0, jobs.length >> 1), jobs.slice(jobs.length >> 1)]
    return splice(view, before.index, 1, halves.filter((half) => half.length > 0).map((half) => rowOf(view.queue, view.lane, rank, half)))
  }
  return splice(view, lowerBound(view.pages, rank, job.position), 0, [rowOf(view.queue, view.lane, rank, [job])])
}

/** Takes one job out of the known page that holds it. */
export function remove(view: LaneView, job: Job): LaneView {
  const before = pageBefore(view, rankOf(job), job.position)
  const jobs = before?.page.row.jobs.filter(({ seq }) => seq !== job.seq)
  if (!before || !jobs || jobs.length === before.page.row.jobs.length) throw new Error(`job ${job.id} is not in the page that should hold it`)
  return splice(view, before.index, 1, jobs.length === 0 ? [] : [rowOf(view.queue, view.lane, rankOf(job), jobs)])
}

/** Takes the first `count` jobs of the first page. */
export function takeFirst(view: LaneView, count: number): { readonly view: LaneView; readonly jobs: readonly Job[] } {
  const [page] = view.pages
  if (!page) return { view, jobs: [] }
  const jobs = page.row.jobs.slice(0, count)
  const rest = page.row.jobs.slice(count)
  return { view: splice(view, 0, 1, rest.length === 0 ? [] : [rowOf(view.queue, view.lane, page.row.rank, rest)]), jobs }
}

/** What to write: single deletes, or one range where the lane's whole front is gone (a range costs almost nothing, a key more than a put). */
export function changes(view: LaneView): { readonly deletes: readonly PageKey[]; readonly deleteTo?: PageKey; readonly adds: readonly PageRow[]; readonly puts: readonly PageRow[] } {
  const adds: PageRow[] = []
  const puts: PageRow[] = []
  const deletes = [...view.gone]
  for (const { row, stored, dirty } of view.pages) {
    if (!dirty) continue
    if (stored && sameKey(stored, keyOf(row))) { puts.push(row); continue }
    if (stored) deletes.push(stored)
    adds.push(row)
  }
  if (deletes.length < 2) return { deletes, adds, puts }
  const last = deletes.reduce((max, key) => (key[2] - max[2] || key[3] - max[3]) > 0 ? key : max)
  const survivor = view.pages.some(({ row, stored }) => stored && sameKey(stored, keyOf(row)) && compare(row, last[2], last[3]) < 0)
  return isKnown(view, last[2], last[3]) && !survivor ? { deletes: [], deleteTo: last, adds, puts } : { deletes, adds, puts }
}
