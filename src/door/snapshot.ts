import { uncloneable } from '../core/clone.ts'
import { HoldfastError } from '../core/errors.ts'

/** A copy made now, so that what the caller changes later does not count. Names what cannot be copied. */
export function snapshot<T>(field: string, value: T): T {
  if (typeof value !== 'object' && typeof value !== 'function' && typeof value !== 'symbol') return value
  try { return structuredClone(value) } catch (error) {
    throw new HoldfastError('VALIDATION', `${uncloneable(field, value, structuredClone)}: only values that structuredClone() accepts can be stored`, { field }, error)
  }
}
