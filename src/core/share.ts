/** How the tabs share a queue's concurrency. */

export interface Share {
  readonly has: number
  /** It found jobs that it could run, and no share to run them with. */
  readonly hungry?: boolean
}

/**
 * How many jobs a processor may run at once: never more than `total` together. While another is hungry nobody keeps more than its fair part, and where
 * there are fewer places than claimants they take turns. What already runs (`running`) is never taken away.
 */
export function fairShare(total: number, mine: { readonly want: number; readonly running: number }, others: readonly Share[]): number {
  const free = Math.max(0, total - others.reduce((sum, { has }) => sum + has, 0))
  const fair = Math.floor(total / (1 + others.filter(({ has, hungry }) => has > 0 || hungry).length))
  const isHungry = others.some(({ hungry }) => hungry)
  return Math.max(mine.running, Math.min(mine.want, free, isHungry ? fair : Infinity))
}
