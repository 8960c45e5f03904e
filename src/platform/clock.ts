/** Time and timers, replaceable in tests. */
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

const LONGEST_TIMER = 2 ** 31 - 1

export const systemClock: Clock = {
  now: () => Date.now(),
  awake: () => performance.now(),
  parseDate: (text) => Date.parse(text),
  after(ms, call) {
    const timer = setTimeout(call, Math.min(Math.max(0, ms), LONGEST_TIMER))
    return () => { clearTimeout(timer) }
  },
}

export const sleep = (clock: Clock, ms: number): Promise<void> => new Promise((resolve) => { clock.after(ms, resolve) })
