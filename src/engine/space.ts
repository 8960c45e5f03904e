/** The room that an origin has left. Pushes leave a reserve, so that what is stored can still be ended. */
import { HoldfastError } from '../core/errors.ts'
import type { Estimate } from '../platform/quota.ts'

export interface Space {
  /** Books room for a push; throws `QUOTA` when it would eat into the reserve. A promise only where that must be looked up. */
  take(bytes: number): Promise<void> | undefined
  /** Looks again. */
  look(): Promise<void>
  /** In bytes; undefined where the browser does not say. */
  readonly estimate: { readonly usage: number; readonly quota: number } | undefined
  /** Four fifths are used. */
  readonly low: boolean
}

const LOW = 0.8
const RESERVE_BYTES = 4_194_304
/** Of a small quota the reserve is this part. */
const RESERVE_PART = 0.05

export function createSpace(ask: Estimate, wentLow: () => void): Space {
  let estimate: Space['estimate']
  let left = Infinity
  let low = false
  let looking: Promise<void> | undefined

  const reserve = (): number => Math.min(RESERVE_BYTES, (estimate?.quota ?? Infinity) * RESERVE_PART)
  const full = (bytes: number): HoldfastError =>
    new HoldfastError('QUOTA', 'The storage of this origin is nearly full; the rest is kept for the results of stored jobs. Nothing was stored', { ...estimate, bytes })

  function look(): Promise<void> {
    looking ??= ask().then((found) => {
      estimate = found
      left = found ? found.quota - found.usage : Infinity
      const nowLow = found !== undefined && found.usage >= found.quota * LOW
      if (nowLow && !low) wentLow()
      low = nowLow
    }).finally(() => { looking = undefined })
    return looking
  }

  return {
    get estimate() { return estimate },
    get low() { return low },
    look,
    take(bytes) {
      if (left - bytes >= reserve()) { left -= bytes; return undefined }
      return look().then(() => {
        if (left - bytes < reserve()) throw full(bytes)
        left -= bytes
      })
    },
  }
}
