/** Names what of a value cannot be cloned. */
import { DEEPEST, isDeeper } from './clone.ts'

/** `<value>` and the like name parts that have no key. */
export const pathTo = (parent: string, key: string | number): string =>
  typeof key === 'number' ? `${parent}[${key}]` : key[0] === '<' ? parent + key : /^[A-Za-z_$][\w$]*$/.test(key) ? `${parent}.${key}` : `${parent}[${JSON.stringify(key)}]`

/** A copy of a value, or what of it cannot be copied. */
export function copyOf<T>(field: string, value: T, clone: <V>(value: V) => V): { readonly copy: T } | { readonly wrong: string; readonly cause?: unknown } {
  if (typeof value !== 'object' && typeof value !== 'function' && typeof value !== 'symbol') return { copy: value }
  try {
    const copy = clone(value)
    return (copy === null && value !== null) || isDeeper(copy, DEEPEST) ? { wrong: `${field} is nested deeper than ${DEEPEST} levels` } : { copy }
  } catch (cause) { return { wrong: uncloneable(field, value, clone), cause } }
}

/** The path and reason of the first part of a value that cannot be cloned, e.g. `data.items[3].onClick is a function`. */
export function uncloneable(field: string, value: unknown, clone: (value: unknown) => unknown): string {
  const seen = new Set<unknown>()
  const find = (path: string, held: unknown): string | undefined => {
    if (seen.has(held)) return undefined
    seen.add(held)
    try { clone(held); return undefined } catch { /* it, or a part of it */ }
    const tag = Object.prototype.toString.call(held).slice(8, -1)
    if (typeof held !== 'object' || held === null) return `${path} is a ${tag.toLowerCase()}`
    for (const key of Object.keys(held)) {
      const at = pathTo(path, Array.isArray(held) ? Number(key) : key)
      let found: string | undefined
      try { found = find(at, (held as Record<string, unknown>)[key]) } catch { return `${at} cannot be read` }
      if (found !== undefined) return found
    }
    return `${path} ${tag === 'Object' || tag === 'Array' ? 'cannot be copied (a Proxy?)' : `is a ${tag}`}`
  }
  return find(field, value) ?? `${field} cannot be cloned`
}
