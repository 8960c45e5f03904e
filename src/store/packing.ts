/** Rows that hold many jobs say once what their jobs have in common: to the database a field's name costs as much as its value, and both are copied often. */
import type { Job } from '../core/job.ts'
import { seqDigits, SEQ_AT } from '../core/seq.ts'

/** Whether something of a job is kept apart, and goes when it goes: large data, or what it has of its parents. */
export const isApart = ({ large, dependsOn }: Job): boolean => large === true || dependsOn !== undefined

/** A job as it is stored, without what is kept apart. */
export function lean(job: Job): Job {
  if (!job.large && !job.parents) return job
  const { parents: _parents, ...rest } = job
  return rest.large ? { ...rest, data: undefined } : rest
}

interface Holder { readonly jobs: readonly Job[] }
interface Packed {
  readonly common: Partial<Job>
  /** What their ids begin with: the rest is each job's number. */
  readonly ids?: string
  /** Fields that differ, without the id if it is known by that, and without a position that is the number. */
  readonly jobs: ReadonlyArray<Partial<Job> & { readonly seq: number }>
}

/** A row as it is stored. */
export function pack<T extends Holder>(row: T): T | (Omit<T, 'jobs'> & Packed) {
  const { jobs } = row
  const [first] = jobs
  if (!first || jobs.length < 2) return row
  const common: Record<string, unknown> = {}
  for (const key of Object.keys(first) as Array<keyof Job>) {
    const value = first[key]
    // A number is each job's own, even of one that is here twice: without it none of the row could be read.
    if (key !== 'seq' && typeof value !== 'object' && jobs.every((job) => job[key] === value)) common[key] = value
  }
  const start = first.id.slice(0, SEQ_AT)
  const alike = jobs.every(({ id, seq }) => id === start + seqDigits(seq))
  return {
    ...row, common, ...(alike && { ids: start }),
    jobs: jobs.map((job) => {
      const own: Record<string, unknown> = {}
      for (const key in job) if (!(key in common || (alike && key === 'id') || (key === 'position' && job.position === job.seq))) own[key] = job[key as keyof Job]
      return own as Packed['jobs'][number]
    }),
  }
}

/** A row as it was before, whichever room it is of. */
export function unpack<T>(row: T): T {
  if (typeof row !== 'object' || row === null || !('common' in row)) return row
  const { common, ids, ...packed } = row as Packed & T
  // Of a damaged row, what is no job stays what it is, so that the others can be read.
  return { ...packed, jobs: packed.jobs.map((job) => job && ({ ...(ids !== undefined && { id: ids + seqDigits(job.seq) }), position: job.seq, ...common, ...job })) } as T
}
