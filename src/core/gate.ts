/**
 * The gate of an origin in trouble: closed until `retryAt`, then tried with one request. When that is answered it comes back by steps, each of twice as many
 * requests, so that those who waited do not trample on it; then it is open and needs no record. Whether a fault was the origin's or the job's own is decided by whoever sent the request.
 */
import { present } from './present.ts'

/** An origin without one is open. */
export interface Gate {
  readonly origin: string
  /** How often in a row it was found in trouble; 0 while it comes back. */
  readonly failures: number
  /** Not asked before (epoch ms): the end of its wait, or the next step. */
  readonly retryAt: number
  /** When it was closed, or began to come back (epoch ms). */
  readonly since: number
  /** The server named that time. */
  readonly told?: true
  /** How many requests may be out at once. */
  readonly allow: number
  /** While it comes back: how many may still be sent in this step. */
  readonly left?: number
  /** How many are. */
  readonly out: number
  /** What was wrong with it last. */
  readonly reason: string
}

export type GateEvent =
  /** No answer, or one that asks for patience: `afterMs` if it said for how long. `random` in [0, 1) is for the jitter. */
  | { readonly type: 'trouble'; readonly reason: string; readonly afterMs?: number; readonly random: number }
  | { readonly type: 'answered' }
  /** Requests were claimed. */
  | { readonly type: 'asked'; readonly count: number }
  /** A request ended without telling anything of its origin. */
  | { readonly type: 'ended' }
  /** A sign that the network is back. */
  | { readonly type: 'hint' }
  /** The clock was looked at: if it was set back, the wait begins anew. */
  | { readonly type: 'look' }

const FIRST_MS = 1000
const LONGEST_MS = 300_000
const JITTER = 0.2
const STEP_MS = 350
/** Allowed so many at once, or back for so long, it counts as open. */
const OPEN_AT = 64
const BACK_MS = 3000

/** How many requests may be sent now. */
export const allowance = (gate: Gate | undefined, now: number): number => !gate ? Infinity : gate.retryAt > now ? 0 : Math.max(0, Math.min(gate.allow - gate.out, gate.left ?? Infinity))

/** What becomes of a gate; undefined: it is open. */
export function turn(gate: Gate | undefined, origin: string, event: GateEvent, now: number): Gate | undefined {
  const out = Math.max(0, (gate?.out ?? 0) - 1)
  switch (event.type) {
    case 'trouble': return close(gate, origin, event, out, now)
    case 'asked': return gate && step({ ...gate, out: gate.out + event.count }, event.count, now)
    case 'ended': return gate && { ...gate, out }
    case 'hint': return gate && gate.failures > 0 && !gate.told ? { ...gate, retryAt: Math.min(gate.retryAt, now) } : gate
    case 'look': return gate && gate.since > now ? { ...gate, since: now, retryAt: now + Math.max(0, gate.retryAt - gate.since) } : gate
    case 'answered': {
      if (!gate) return undefined
      if (gate.failures === 0) return gate.allow >= OPEN_AT || now >= gate.since + BACK_MS ? undefined : { ...gate, out }
      const { told: _told, ...rest } = gate
      return { ...rest, failures: 0, retryAt: 0, since: now, allow: 2, left: 2, out }
    }
  }
}

/** One that comes back and has sent what this step allows takes the next one a little later. */
function step(gate: Gate, count: number, now: number): Gate {
  if (gate.left === undefined) return gate
  const left = gate.left - count
  return left > 0 ? { ...gate, left } : { ...gate, allow: gate.allow * 2, left: gate.allow * 2, retryAt: now + STEP_MS }
}

/** 1 s doubling to 5 min, less up to a fifth, unless the server said for how long. Requests that were out together are one trouble. */
function close(gate: Gate | undefined, origin: string, { reason, afterMs, random }: Extract<GateEvent, { type: 'trouble' }>, out: number, now: number): Gate {
  const again = gate !== undefined && gate.failures > 0 && gate.retryAt > now
  const failures = again ? gate.failures : (gate?.failures ?? 0) + 1
  // Who says "at once" while in trouble has not said for how long.
  const wait = afterMs || (again ? 0 : Math.min(FIRST_MS * 2 ** (failures - 1), LONGEST_MS) * (1 - JITTER * random))
  const told = Boolean(afterMs) || (again && gate.told) || undefined
  return present({ origin, failures, retryAt: Math.max(again ? gate.retryAt : 0, Math.round(now + wait)), since: now, told, allow: 1, out, reason })
}
