/** SPEC §5: exponential delay·2^(n−1), linear delay·n, fixed delay; capped, then multiplied by a uniform number in [1 − jitter, 1]. */
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { backoffDelay, DEFAULT_BACKOFF } from '../../src/core/backoff.ts'

const waits = (backoff: Parameters<typeof backoffDelay>[0], random = 0): number[] => [1, 2, 3, 4].map((failures) => backoffDelay(backoff, failures, random))

it('is exponential from a second, at most an hour, with a fifth of jitter, unless told otherwise', () => {
  expect(DEFAULT_BACKOFF).toEqual({ type: 'exponential', delayMs: 1000, maxDelayMs: 3_600_000, jitter: 0.2 })
  expect(waits(undefined)).toEqual([1000, 2000, 4000, 8000])
  expect(backoffDelay(undefined, 13, 0)).toBe(3_600_000)
  expect(backoffDelay(undefined, 1, 0.5)).toBe(900)
})

it('grows as its type says', () => {
  expect(waits({ type: 'exponential', delayMs: 10 })).toEqual([10, 20, 40, 80])
  expect(waits({ type: 'linear', delayMs: 10 })).toEqual([10, 20, 30, 40])
  expect(waits({ type: 'fixed', delayMs: 10 })).toEqual([10, 10, 10, 10])
})

it('is capped before the jitter, so that even the longest wait is spread', () => {
  expect(waits({ type: 'linear', delayMs: 10, maxDelayMs: 25, jitter: 0.2 }, 0.5)).toEqual([9, 18, 22.5, 22.5].map(Math.round))
})

it('does not wait at all with a delay of 0, after however many failures', () => {
  expect(waits({ delayMs: 0 })).toEqual([0, 0, 0, 0])
  expect(backoffDelay({ delayMs: 0 }, 2000, 0)).toBe(0)
})

it('takes the default for a part that is undefined, as everywhere in options', () => {
  expect(backoffDelay({ type: 'fixed', delayMs: undefined } as never, 1, 0)).toBe(1000)
})

const backoff = fc.record({
  type: fc.constantFrom('exponential' as const, 'linear' as const, 'fixed' as const), delayMs: fc.integer({ min: 0, max: 86_400_000 }),
  maxDelayMs: fc.integer({ min: 0, max: 86_400_000 }), jitter: fc.double({ min: 0, max: 1, noNaN: true }),
}, { requiredKeys: [] })
/** Most jobs fail a few times, but `maxAttempts` goes up to a million. */
const failures = fc.oneof(fc.integer({ min: 1, max: 30 }), fc.integer({ min: 1, max: 1_000_000 }))
const random = fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true })

describe('for any backoff, failure and chance', () => {
  it('is a whole number of ms between 1 − jitter of the capped wait and all of it', () => {
    fc.assert(fc.property(backoff, failures, random, (given, n, chance) => {
      const wait = backoffDelay(given, n, chance)
      const most = backoffDelay({ ...given, jitter: 0 }, n, 0)
      expect(Number.isInteger(wait)).toBe(true)
      expect(most).toBeLessThanOrEqual(given.maxDelayMs ?? 3_600_000)
      expect(wait).toBeLessThanOrEqual(most)
      expect(wait).toBeGreaterThanOrEqual(Math.floor(most * (1 - (given.jitter ?? 0.2))))
    }))
  })

  it('never waits less after one more failure', () => {
    fc.assert(fc.property(backoff, failures, random, (given, n, chance) => {
      expect(backoffDelay(given, n + 1, chance)).toBeGreaterThanOrEqual(backoffDelay(given, n, chance))
    }))
  })
})
