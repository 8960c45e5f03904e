import { copyOf } from '../core/clone.ts'
import { HoldfastError } from '../core/errors.ts'

/** A copy made now, so that what the caller changes later does not count. Names what cannot be copied. */
export function snapshot<T>(field: string, value: T): T {
  const made = copyOf(field, value, structuredClone)
  if ('copy' in made) return made.copy
  throw new HoldfastError('VALIDATION', `${made.wrong}: only values that structuredClone() accepts can be stored`, { field }, made.cause)
}
