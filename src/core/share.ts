/** How the tabs share a queue's concurrency. */

export interface Share {
  /** How many it runs. */
  readonly runs: number
  /** It found jobs that it could run, and no place to run them. */
  readonly hungry?: boolean
}

/**
 * How many jobs a processor may run at once, besides what already runs: never more than `total` together. While another is hungry nobody takes more than its
 * fair part; where there are fewer places than claimants they take turns, and who was hungry is next.
 */
export function fairShare(total: number, mine: { readonly want: number; readonly hungry?: boolean }, others: readonly Share[]): number {
  const free = Math.max(0, total - others.reduce((sum, { runs }) => sum + runs, 0))
  if (!others.some(({ hungry }) => hungry)) return Math.min(mine.want, free)
  const fair = Math.floor(total / (1 + others.filter(({ runs, hungry }) => runs > 0 || hungry).length))
  return Math.min(mine.want, free, mine.hungry ? Math.max(1, fair) : fair)
}
