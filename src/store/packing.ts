/** Rows that hold many jobs say once what their jobs have in common: to the database a field's name costs as much as its value, and both are copied often. */
import type { Job } from '../core/job.ts'

interface Holder { readonly jobs: readonly Job[] }
interface Packed { readonly common: Partial<Job>; readonly jobs: ReadonlyArray<Partial<Job>> }

/** A row as it is stored. */
export function pack<T extends Holder>(row: T): T | (Omit<T, 'jobs'> & Packed) {
  const { jobs } = row
  const [first] = jobs
  if (!first || jobs.length < 2) return row
  const common: Record<string, unknown> = {}
  for (const key of Object.keys(first) as Array<keyof Job>) {
    const value = first[key]
    if (typeof value !== 'object' && jobs.every((job) => job[key] === value)) common[key] = value
  }
  return {
    ...row, common,
    jobs: jobs.map((job) => {
      const own: Record<string, unknown> = {}
      for (const key in job) if (!(key in common)) own[key] = job[key as keyof Job]
      return own
    }),
  }
}

/** A row as it was before, whichever room it is of. */
export function unpack<T>(row: T): T {
  if (typeof row !== 'object' || row === null || !('common' in row)) return row
  const { common, ...packed } = row as Packed & T
  return { ...packed, jobs: packed.jobs.map((job) => ({ ...common, ...job })) } as T
}
