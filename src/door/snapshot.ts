import { DEEPEST, isDeeper } from '../core/clone.ts'

export type Copy = <V>(value: V) => V

/** Refused; what of it is at fault `uncopied.ts` says, which is loaded then. */
export class Uncopied extends Error {
  constructor(readonly field: string, readonly value: unknown, readonly copy: Copy) { super(field) }
}

/** A copy made now, so that what the caller changes later does not count. */
export function snapshot<T>(field: string, value: T, copy: Copy = structuredClone): T {
  if (typeof value !== 'object' && typeof value !== 'function' && typeof value !== 'symbol') return value
  try {
    const made = copy(value)
    if ((made !== null || value === null) && !isDeeper(made, DEEPEST)) return made
  } catch { /* told below */ }
  throw new Uncopied(field, value, copy)
}
