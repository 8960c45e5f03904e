/** Where there are no locks, a worker that does not answer for long is taken for dead. */
import { sleep, systemClock as clock } from '../platform/clock.ts'

const PING_MS = 2500

/** Asks again and again; returns how to stop. */
export function whenSilent(ask: () => Promise<unknown>, call: () => void): () => void {
  let stopped = false
  const ping = async (): Promise<void> => {
    while (!stopped) {
      await sleep(clock, PING_MS)
      const answered = await Promise.race([ask().then(() => true), sleep(clock, PING_MS).then(() => false)])
      if (!answered && !stopped) { call(); return }
    }
  }
  void ping()
  return () => { stopped = true }
}
