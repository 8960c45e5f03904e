/** A stored job with nothing special about it, and the parts a test wants to be different. */
import type { Job } from '../../../src/core/job.ts'
import { idMaker } from '../../../src/core/id.ts'

export function jobOf(different: Partial<Job> = {}): Job {
  const seq = different.seq ?? 7
  return {
    id: idMaker(1_700_000_000_000, 5)(seq), seq, queue: 'emails', name: 'welcome', data: { to: 'ann' }, state: 'waiting', position: seq, priority: 0,
    createdAt: 1_700_000_000_000, failures: 0, stalls: 0, maxAttempts: 3, timeoutMs: 300_000, ...different,
  }
}

/** Freezes a value all the way down, so that whoever edits it in place is caught. */
export function frozen<T>(value: T): T {
  if (typeof value === 'object' && value !== null && !Object.isFrozen(value)) {
    Object.freeze(value)
    for (const held of Object.values(value)) frozen(held)
  }
  return value
}
