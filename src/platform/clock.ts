/** Time and timers, replaceable in tests. */
import { after, now } from './timer.ts'

export interface Clock {
  /** Epoch ms; may jump. */
  now(): number
  /** Ms that only grow while this realm is awake. */
  awake(): number
  /** Epoch ms of an HTTP date, NaN for anything else. */
  parseDate(text: string): number
  /** Calls back once after `ms`; returns how to stop it. */
  after(ms: number, call: () => void): () => void
}

export const systemClock: Clock = { now, awake: () => performance.now(), parseDate: (text) => Date.parse(text), after: (ms, call) => after(Math.max(0, ms), call) }

export const sleep = (clock: Clock, ms: number): Promise<void> => new Promise((resolve) => { clock.after(ms, resolve) })
