/** Says why a value was refused. Loaded only then. */
import { HoldfastError } from '../core/errors.ts'
import { copyOf } from '../core/uncloneable.ts'
import type { Uncopied } from './snapshot.ts'

export function explained({ field, value, copy }: Uncopied): HoldfastError {
  const made = copyOf(field, value, copy)
  const { wrong, cause } = 'wrong' in made ? made : { wrong: `${field} cannot be read twice`, cause: undefined }
  return new HoldfastError('VALIDATION', `${wrong}, which cannot be ${copy === structuredClone ? 'stored: see structuredClone()' : 'said in JSON'}`, { field }, cause)
}
