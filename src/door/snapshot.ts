import { copyOf } from '../core/clone.ts'
import { HoldfastError } from '../core/errors.ts'

/** A copy made now, so that what the caller changes later does not count. Names what cannot be copied. */
export function snapshot<T>(field: string, value: T, copy: <V>(value: V) => V = structuredClone): T {
  const made = copyOf(field, value, copy)
  if ('copy' in made) return made.copy
  throw new HoldfastError('VALIDATION', `${made.wrong}, which cannot be ${copy === structuredClone ? 'stored: see structuredClone()' : 'said in JSON'}`, { field }, made.cause)
}
