import { invalid } from '../core/errors.ts'

/** Options as an object; with `names`, without others. What they say is checked by whoever heeds them. */
export function optionsOf<T extends object>(given: T | undefined, field = 'options', ...names: readonly string[]): Partial<T> {
  if (given === undefined) return {}
  if (Object(given) !== given || Array.isArray(given)) throw invalid(field, 'must be an object')
  for (const key of names.length > 0 ? Object.keys(given) : []) if (!names.includes(key)) throw invalid(`${field}.${key}`, `is not an option here: use ${names.join(', ')}`)
  return given
}
