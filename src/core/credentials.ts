/**
 * Whether an origin takes the credentials that are sent to it. After a 401 its requests wait until somebody has refreshed them, then one is tried, and once that is
 * answered all go. Requests that were claimed before the refresh say nothing about it: they are told by the number of their box.
 */
import { present } from './present.ts'

/** An origin without a record has refused nobody. */
export interface Credentials {
  readonly origin: string
  /** `stale`: they are to be refreshed; `denied`: nobody can; `fresh`: refreshed, and not yet seen to work; `good`: they do. */
  readonly state: 'stale' | 'denied' | 'fresh' | 'good'
  /** Boxes from this number on were claimed after the last refresh. */
  readonly since: number
  /** Refreshes in a row that were of no use. */
  readonly failures: number
  /** Not refreshed before (epoch ms). */
  readonly retryAt: number
  /** Who refreshes them, and since when (epoch ms). */
  readonly by?: { readonly owner: string; readonly at: number }
  /** Fresh ones are being tried. */
  readonly out?: true
}

export type CredentialsEvent =
  /** 401 to a request of this box; `refreshable`: it was pushed under `onUnauthorized`. */
  | { readonly type: 'refused'; readonly box: number; readonly refreshable: boolean }
  | { readonly type: 'answered'; readonly box: number }
  /** A request was claimed, or ended without an answer. */
  | { readonly type: 'asked' | 'ended' }
  /** Somebody wants to refresh them. */
  | { readonly type: 'refresh'; readonly owner: string }
  /** They did; `number` is less than that of any later box. */
  | { readonly type: 'refreshed'; readonly number: number }
  /** There are none to be had, or not now. */
  | { readonly type: 'denied' | 'delayed' }
  /** Who was to refresh them is gone. */
  | { readonly type: 'left'; readonly owner: string }

const FIRST_MS = 1000
const LONGEST_MS = 300_000
/** A hook has 30 s; whoever is silent for so long is frozen. */
export const REFRESH_MS = 30_000
const FROZEN_MS = 2 * REFRESH_MS

export const credentialsAllow = (credentials: Credentials | undefined): number =>
  !credentials || credentials.state === 'good' ? Infinity : credentials.state === 'fresh' && !credentials.out ? 1 : 0

/** When somebody may next refresh them (epoch ms), Infinity while nobody may. A wait that is longer than any was begun before the clock was set back, and is over. */
export function refreshAt({ state, retryAt, by }: Credentials, now: number): number {
  if (state !== 'stale') return Infinity
  const at = Math.max(retryAt, by ? by.at + FROZEN_MS : 0)
  return at > now + LONGEST_MS ? now : at
}

export const mayRefresh = (credentials: Credentials, now: number): boolean => refreshAt(credentials, now) <= now

/** 1 s doubling to 5 min: what was of no use is not repeated at once. */
const delayed = (credentials: Credentials, now: number): Credentials =>
  ({ ...credentials, failures: credentials.failures + 1, retryAt: now + Math.min(FIRST_MS * 2 ** credentials.failures, LONGEST_MS) })

/** What becomes of an origin's credentials. */
export function turnCredentials(before: Credentials | undefined, origin: string, event: CredentialsEvent, now: number): Credentials | undefined {
  const { by: _by, out: _out, ...bare } = before ?? { origin, state: 'good' as const, since: 0, failures: 0, retryAt: 0 }
  switch (event.type) {
    case 'refused': {
      if (event.box < bare.since || bare.state === 'stale' || bare.state === 'denied') return before
      return { ...(bare.state === 'fresh' ? delayed(bare, now) : { ...bare, failures: 0, retryAt: now }), state: event.refreshable ? 'stale' : 'denied' }
    }
    case 'answered': return before?.state === 'fresh' && event.box >= before.since ? { ...bare, state: 'good', failures: 0 } : before
    case 'asked': return before?.state === 'fresh' ? { ...before, out: true } : before
    case 'ended': return before?.out ? bare : before
    case 'refresh': return before && mayRefresh(before, now) ? { ...bare, by: { owner: event.owner, at: now } } : before
    case 'refreshed': return before?.state === 'stale' ? { ...bare, state: 'fresh', since: event.number } : before
    case 'denied': return before?.state === 'stale' ? present({ ...bare, state: 'denied' as const }) : before
    case 'delayed': return before?.state === 'stale' ? delayed(bare, now) : before
    case 'left': return before?.by?.owner === event.owner ? bare : before
  }
}
