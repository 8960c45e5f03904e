import type { HookName, Job } from './job.ts'

/**
 * A lane is what a job needs to run, as a string: its name, for requests the origin it asks and the hooks it was pushed under, and the user it belongs to. Jobs of one
 * lane are interchangeable to whoever claims, so a lane that cannot run now is passed over whole, be it a million jobs long. Parts are separated by `|`, which only a user may contain.
 */
export function laneOf({ name, http, user }: Pick<Job, 'name' | 'http' | 'user'>): string {
  if (!http && user === undefined) return name
  const lane = `${name}|${http ? originOf(http.url) : ''}`
  const hooks = http?.hooks?.join() ?? ''
  return user === undefined ? hooks && `${lane}|${hooks}` || lane : `${lane}|${hooks}|${user}`
}

export interface Lane { readonly name: string; readonly origin?: string; readonly hooks?: readonly HookName[]; readonly user?: string }

export function parseLane(lane: string): Lane {
  if (!lane.includes('|')) return { name: lane }
  const [name = '', origin, hooks, ...user] = lane.split('|')
  return { name, ...(origin && { origin }), ...(hooks && { hooks: hooks.split(',') as HookName[] }), ...(user.length > 0 && { user: user.join('|') }) }
}

/** What a processor can run: requests, or jobs it has handlers for. */
export type Runs = { readonly kind: 'requests'; readonly hooks?: readonly HookName[] } | { readonly kind: 'handlers'; readonly names?: readonly string[] }

/** Whether jobs of a lane can be run for `current`, who is the user now. */
export function canRun(runs: Runs | undefined, { name, origin, hooks, user }: Lane, current: string | undefined): boolean {
  if (user !== undefined && user !== current) return false
  if (!runs) return true
  return runs.kind === 'requests' ? origin !== undefined && (hooks ?? []).every((hook) => runs.hooks?.includes(hook)) : origin === undefined && (!runs.names || runs.names.includes(name))
}

/** The origin of an absolute URL, which push has made sure of. */
export const originOf = (url: string): string => /^[a-z][a-z0-9+.-]*:\/\/[^/?#]*/i.exec(url)?.[0].toLowerCase() ?? url
