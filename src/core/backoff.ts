import type { Backoff } from './job.ts'

export const DEFAULT_BACKOFF: Backoff = { type: 'exponential', delayMs: 1000, maxDelayMs: 3_600_000, jitter: 0.2 }

/**
 * Milliseconds to wait after the n-th failure (n ≥ 1): exponential `delay·2^(n−1)`, linear `delay·n`, fixed `delay`; capped, then
 * multiplied by 1 − jitter·random. `random` is uniform in [0, 1).
 */
export function backoffDelay(backoff: Partial<Backoff> | undefined, failures: number, random: number): number {
  const { type = DEFAULT_BACKOFF.type, delayMs = DEFAULT_BACKOFF.delayMs, maxDelayMs = DEFAULT_BACKOFF.maxDelayMs, jitter = DEFAULT_BACKOFF.jitter } = backoff ?? {}
  // Beyond 2^60 nothing grows that a cap would not cut, and 0 times infinity is no number.
  const growth = type === 'exponential' ? 2 ** Math.min(failures - 1, 60) : type === 'linear' ? failures : 1
  return Math.round(Math.min(delayMs * growth, maxDelayMs) * (1 - jitter * random))
}
