import type { Job } from './job.ts'

/**
 * A lane is what a job needs to run, as a string: its name and, for requests, the origin it asks. Jobs of one lane are interchangeable to
 * whoever claims, so a lane that cannot run now is passed over whole, be it a million jobs long. Parts are separated by `|`, which no name contains.
 */
export const laneOf = (job: Pick<Job, 'name' | 'http'>): string => job.http ? `${job.name}|${originOf(job.http.url)}` : job.name

export function parseLane(lane: string): { readonly name: string; readonly origin?: string } {
  const bar = lane.indexOf('|')
  return bar < 0 ? { name: lane } : { name: lane.slice(0, bar), origin: lane.slice(bar + 1) }
}

/** The origin of an absolute URL, which push has made sure of. */
export const originOf = (url: string): string => /^[a-z][a-z0-9+.-]*:\/\/[^/?#]*/i.exec(url)?.[0].toLowerCase() ?? url
