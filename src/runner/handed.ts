/** A job as a handler in the engine's own realm gets it: what that changes is its own, and not stored with the job's end. */
import type { Job } from '../core/job.ts'

const isObject = (value: unknown): value is object => typeof value === 'object' && value !== null

/** Most is flat, and a spread costs a tenth of `structuredClone`. */
const copied = (value: object): object =>
  Object.getPrototypeOf(value) === Object.prototype && !Object.values(value).some(isObject) ? { ...value } : structuredClone(value)

export function handed(job: Job): Job {
  const copy: Record<string, unknown> = { ...job }
  // Large data is kept apart, and never stored again.
  for (const key in copy) if (isObject(copy[key]) && !(job.large && key === 'data')) copy[key] = copied(copy[key])
  return copy as unknown as Job
}
