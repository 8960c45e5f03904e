/** Names what of a value cannot be cloned. */

/** `<value>` and the like name parts that have no key. */
export const pathTo = (parent: string, key: string | number): string =>
  typeof key === 'number' ? `${parent}[${key}]` : key[0] === '<' ? parent + key : /^[A-Za-z_$][\w$]*$/.test(key) ? `${parent}.${key}` : `${parent}[${JSON.stringify(key)}]`

/** Deeper values may overflow a worker's stack; much deeper ones cross no realm: what comes out is nothing, and takes its neighbours with it. */
export const DEEPEST = 500

/** Whether a cloned value is nested deeper than so many levels. */
export function isDeeper(value: unknown, levels: number, seen = new Set<unknown>()): boolean {
  if (typeof value !== 'object' || value === null || ArrayBuffer.isView(value) || seen.has(value)) return false
  seen.add(value)
  if (value instanceof Map) return isDeeper([...value].flat(), levels, seen)
  if (value instanceof Set) return isDeeper([...value], levels, seen)
  // Most data is flat, and much of it: nothing is made for looking at it.
  for (const key in value) {
    const part = (value as Record<string, unknown>)[key]
    if (typeof part === 'object' && part !== null && (levels === 0 || isDeeper(part, levels - 1, seen))) return true
  }
  return false
}

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
    if (typeof held !== 'object' || held === null) return `${path} is a ${typeof held}`
    for (const key of Object.keys(held)) {
      const at = pathTo(path, Array.isArray(held) ? Number(key) : key)
      let part: unknown
      try { part = (held as Record<string, unknown>)[key] } catch { return `${at} cannot be read` }
      const found = find(at, part)
      if (found !== undefined) return found
    }
    const tag = Object.prototype.toString.call(held).slice(8, -1)
    return tag === 'Object' || tag === 'Array' ? `${path} cannot be copied (a Proxy?)` : `${path} is a ${tag}`
  }
  try { return find(field, value) ?? `${field} cannot be cloned` } catch { return `${field} is nested too deeply` }
}
