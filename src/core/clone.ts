/** Names what of a value cannot be cloned. */

export const pathTo = (parent: string, key: string | number): string =>
  typeof key === 'number' ? `${parent}[${key}]` : /^[A-Za-z_$][\w$]*$/.test(key) ? `${parent}.${key}` : `${parent}[${JSON.stringify(key)}]`

/** The path and reason of the first part of a value that cannot be cloned, e.g. `data.items[3].onClick is a function`. */
export function uncloneable(at: string, value: unknown, clone: (value: unknown) => unknown, seen = new Set<unknown>()): string {
  if (typeof value === 'function' || typeof value === 'symbol') return `${at} is a ${typeof value}`
  if (typeof value === 'object' && value !== null && !seen.has(value)) {
    seen.add(value)
    for (const [key, held] of Object.entries(value)) {
      try { clone(held) } catch { return uncloneable(Array.isArray(value) ? `${at}[${key}]` : pathTo(at, key), held, clone, seen) }
    }
  }
  return `${at} cannot be cloned`
}
