/**
 * Whether the network is there, where an application has a probe for that. In doubt it is asked by one tab, and no request is sent before it has answered; while it says no
 * it is asked again, ever more rarely. What was doubted by tabs that are all gone is forgotten by those that cannot ask.
 */
import { present } from './present.ts'
import { waitOver } from './wait.ts'

/** Absent: nobody doubts that it is there. */
export interface Network {
  /** `doubt`: that is to be asked; `down`: it is not there. */
  readonly state: 'doubt' | 'down'
  /** How often in a row the probe said no. */
  readonly failures: number
  /** Not asked before (epoch ms). */
  readonly retryAt: number
  /** Who is asking, and since when (epoch ms). */
  readonly by?: { readonly owner: string; readonly at: number }
  /** It was doubted anew since then: what they are told says nothing of now. */
  readonly again?: true
  /** What the probe said. */
  readonly reason?: string
}

export type NetworkEvent =
  /** It may be there or gone: a tab was opened or shown, or the browser says that it is back. */
  | { readonly type: 'sign' }
  /** A request got no answer. */
  | { readonly type: 'unanswered' }
  /** Somebody wants to ask. */
  | { readonly type: 'ask'; readonly owner: string }
  /** What they were told: `reason` is why it is not there. `random` in [0, 1) is for the jitter. */
  | { readonly type: 'answer'; readonly owner: string; readonly reason?: string; readonly random: number }
  /** Who was to ask is gone. */
  | { readonly type: 'left'; readonly owner: string }
  /** A tab that cannot ask looks whether anybody still does. */
  | { readonly type: 'look' }

const FIRST_MS = 1000
const LONGEST_MS = 60_000
const JITTER = 0.2
/** A probe has so long; whoever is silent for twice that is frozen. */
export const PROBE_MS = 10_000
const FROZEN_MS = 2 * PROBE_MS
const FORGOTTEN_MS = 120_000

const dueAt = ({ retryAt, by }: Network, owner?: string): number => Math.max(retryAt, by && by.owner !== owner ? by.at + FROZEN_MS : 0)

/** When this owner may ask (epoch ms). */
export const askAt = (network: Network, owner: string | undefined, now: number): number => waitOver(dueAt(network, owner), now, LONGEST_MS)

/** From when on nobody is known to ask (epoch ms). */
export const forgottenAt = (network: Network, now: number): number => waitOver(dueAt(network) + FORGOTTEN_MS, now, LONGEST_MS + FORGOTTEN_MS)

/** What is known of the network then; undefined: nothing against it. */
export function turnNetwork(before: Network | undefined, event: NetworkEvent, now: number): Network | undefined {
  const { by, again, ...bare } = before ?? { state: 'doubt' as const, failures: 0, retryAt: now }
  switch (event.type) {
    case 'sign': return present({ ...bare, failures: 0, retryAt: Math.min(bare.retryAt, now), by, again: by && true as const })
    case 'unanswered': return bare.state === 'down' || (before && !by) ? before : present({ ...bare, by, again: by && true as const })
    case 'ask': return before && askAt(before, event.owner, now) <= now ? { ...bare, retryAt: Math.min(bare.retryAt, now), by: { owner: event.owner, at: now } } : before
    case 'answer': {
      if (by?.owner !== event.owner) return before
      if (again) return { ...bare, retryAt: now }
      return event.reason === undefined ? undefined : refused(bare, event.reason, event.random, now)
    }
    case 'left': return by?.owner === event.owner ? bare : before
    case 'look': return before && forgottenAt(before, now) <= now ? undefined : before
  }
}

/** 1 s doubling to 1 min, less up to a fifth. */
const refused = ({ failures }: Network, reason: string, random: number, now: number): Network =>
  ({ state: 'down', failures: failures + 1, retryAt: now + Math.round(Math.min(FIRST_MS * 2 ** failures, LONGEST_MS) * (1 - JITTER * random)), reason })

/** Why an answer does not say that the network is there; undefined: it does. A captive portal answers in its place: by a page to log in, or by leading to one. */
export function portalIn({ status, redirected, contentType }: { readonly status: number; readonly redirected: boolean; readonly contentType: string }): string | undefined {
  if (redirected) return 'it was redirected, as by a captive portal'
  if (status < 200 || status > 299) return `the answer was ${status}`
  return /html/i.test(contentType) ? 'the answer was a web page, as of a captive portal' : undefined
}
