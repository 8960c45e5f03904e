// What is run, and how much of it.

/**
 * @typedef {import('./measures.ts').Sizes} Sizes
 * @typedef {{ rounds: number, levels: readonly number[], sizes: Sizes, fillMs: number, hungMs: number, ahead: number, times: number }} Plan
 */

export const CONTESTANTS = /** @type {const} */ (['bare page', 'bare worker', 'holdfast', 'holdfast worker', 'plain', 'dexie', 'workbox', 'tanstack'])
/** Of everybody, at every level. */
export const COMMON = /** @type {const} */ (['push', 'burst', 'pushMany', 'drain1', 'drain16', 'batch'])
/** Some take part in few. @type {Readonly<Record<string, readonly string[]>>} */
export const TAKES_PART = { 'bare page': ['push'], 'bare worker': ['push'], 'holdfast worker': ['drain1', 'drain16'] }
/** Of holdfast alone. */
export const OWN = /** @type {const} */ (['p50', 'stats', 'origin'])

/** @type {Plan} */
export const FULL = {
  rounds: 5,
  levels: [0, 10_000, 100_000, 1_000_000],
  sizes: { push: { count: 200, ms: 1000 }, burst: 1000, pushMany: 10_000, drain: { count: 10_000, ms: 700 }, preload: [10_000, 1000], batch: 20 },
  // Above it a peer would eat the time of the others: the whole run is to stay below 12 minutes.
  fillMs: 15_000,
  hungMs: 90_000,
  ahead: 100_000,
  times: 20,
}

/** @type {Plan} */
export const QUICK = {
  ...FULL,
  rounds: 3,
  levels: [0, 10_000],
  sizes: { push: { count: 100, ms: 500 }, burst: 1000, pushMany: 5000, drain: { count: 10_000, ms: 400 }, preload: [3000, 400], batch: 10 },
  fillMs: 5000,
  ahead: 10_000,
}
