/** How the tabs share a queue's concurrency. */

export interface Share { readonly want: number; readonly has: number }

/**
 * How many jobs a processor may run at once. Never more than `total` together; one that hungers gets its fair part as soon as others end jobs; what already
 * runs (`running`) is never taken away.
 */
export function fairShare(total: number, mine: { readonly want: number; readonly running: number }, others: readonly Share[]): number {
  const taken = others.reduce((sum, { has }) => sum + has, 0)
  const free = Math.max(0, total - taken)
  const claimants = 1 + others.filter(({ want }) => want > 0).length
  const fair = Math.max(1, Math.floor(total / claimants))
  const hungry = others.some(({ want, has }) => has < Math.min(want, fair))
  return Math.max(mine.running, Math.min(mine.want, free, hungry ? fair : Infinity))
}
