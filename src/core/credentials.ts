/**
 * Whether an origin takes the credentials that are sent to it. After a 401 its requests wait until somebody has refreshed them, then one is tried, and once that is
 * answered all go. Requests that were claimed before the refresh say nothing about it: they are told by the number of their box.
 */
import type { Lane } from './lane.ts'
import { waitOver } from './wait.ts'

/** Those that nobody has refused have no record. */
export interface Credentials {
  /** By `credentialsKey`. */
  readonly origin: string
  /** `stale`: they are to be refreshed; `denied`: nobody can; `fresh`: refreshed, and not yet seen to work; `good`: they do. */
  readonly state: 'stale' | 'denied' | 'fresh' | 'good'
  /** Boxes from this number on were claimed after the last refresh. */
  readonly since: number
  /** Refreshes in a row that were of no use. */
  readonly failures: number
  /** Not refreshed before (epoch ms). */
  readonly retryAt: number
  /** Who refreshes them, and since when (epoch ms). What comes of it counts only under the same ticket. */
  readonly by?: { readonly owner: string; readonly at: number; readonly ticket: number }
  /** Fresh ones are being tried. */
  readonly out?: true
}

export type CredentialsEvent =
  /** 401 to a request of this box; `refreshable`: it was pushed under `onUnauthorized`. */
  | { readonly type: 'refused'; readonly box: number; readonly refreshable: boolean }
  /** A request of this box was answered otherwise, or ended without an answer. */
  | { readonly type: 'answered' | 'ended'; readonly box: number }
  /** A request was claimed. */
  | { readonly type: 'asked' }
  /** Somebody wants to refresh them. */
  | { readonly type: 'refresh'; readonly owner: string; readonly ticket: number }
  /** They did; `number` is less than that of any later box. */
  | { readonly type: 'refreshed'; readonly ticket: number; readonly number: number }
  /** There are none to be had, or not now. */
  | { readonly type: 'denied' | 'delayed'; readonly ticket: number }
  /** Who was to refresh them is gone. */
  | { readonly type: 'left'; readonly owner: string }
  /** Somebody else has signed in. */
  | { readonly type: 'renewed'; readonly number: number }

const FIRST_MS = 1000
const LONGEST_MS = 300_000
/** A hook has 30 s; whoever is silent for twice that is frozen. */
export const REFRESH_MS = 30_000
const FROZEN_MS = 2 * REFRESH_MS

/** Requests that nobody can refresh credentials for have a record of their own, so that they cannot shut out the others. */
export const credentialsKey = ({ origin = '', hooks = [] }: Pick<Lane, 'origin' | 'hooks'>): string => hooks.includes('onUnauthorized') ? origin : `${origin}|`
export const originOfKey = (key: string): string => key.replace('|', '')

export const credentialsAllow = (credentials: Credentials | undefined): number =>
  !credentials || credentials.state === 'good' ? Infinity : credentials.state === 'fresh' && !credentials.out ? 1 : 0

/** When somebody may next refresh them (epoch ms), Infinity while nobody may. */
export function refreshAt({ state, retryAt, by }: Credentials, now: number): number {
  return state === 'stale' ? waitOver(Math.max(retryAt, by ? by.at + FROZEN_MS : 0), now, LONGEST_MS) : Infinity
}

export const mayRefresh = (credentials: Credentials, now: number): boolean => refreshAt(credentials, now) <= now

/** 1 s doubling to 5 min: what was of no use is not repeated at once. */
const delayed = (credentials: Credentials, now: number): Credentials =>
  ({ ...credentials, failures: credentials.failures + 1, retryAt: now + Math.min(FIRST_MS * 2 ** credentials.failures, LONGEST_MS) })

/** What becomes of credentials. */
export function turnCredentials(before: Credentials | undefined, key: string, event: CredentialsEvent, now: number): Credentials | undefined {
  const { by, out: _out, ...bare } = before ?? { origin: key, state: 'good' as const, since: 0, failures: 0, retryAt: 0 }
  switch (event.type) {
    case 'refused': {
      if (event.box < bare.since || bare.state === 'stale' || bare.state === 'denied') return before
      return { ...(bare.state === 'fresh' ? delayed(bare, now) : { ...bare, failures: 0, retryAt: now }), state: event.refreshable ? 'stale' : 'denied' }
    }
    case 'answered': return before?.state === 'fresh' && event.box >= before.since ? { ...bare, state: 'good', failures: 0 } : before
    case 'asked': return before?.state === 'fresh' ? { ...before, out: true } : before
    case 'ended': return before?.out && event.box >= before.since ? bare : before
    case 'refresh': return before && mayRefresh(before, now) ? { ...bare, retryAt: Math.min(bare.retryAt, now), by: { owner: event.owner, at: now, ticket: event.ticket } } : before
    case 'refreshed': return by?.ticket === event.ticket ? { ...bare, state: 'fresh', since: event.number } : before
    case 'denied': return by?.ticket === event.ticket ? { ...bare, state: 'denied' } : before
    case 'delayed': return by?.ticket === event.ticket ? delayed(bare, now) : before
    case 'left': return by?.owner === event.owner ? bare : before
    case 'renewed': return before && { ...bare, state: 'good', since: event.number, failures: 0, retryAt: 0 }
  }
}
