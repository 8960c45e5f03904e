/** Names what of a value cannot be cloned. */

/** `<value>` and the like name parts that have no key. */
export const pathTo = (parent: string, key: string | number): string =>
  typeof key === 'number' ? `${parent}[${key}]` : /^<\w+>$/.test(key) ? parent + key : /^[A-Za-z_$][\w$]*$/.test(key) ? `${parent}.${key}` : `${parent}[${JSON.stringify(key)}]`

/** The path and reason of the first part of a value that cannot be cloned, e.g. `data.items[3].onClick is a function`. */
export function uncloneable(field: string, value: unknown, clone: (value: unknown) => unknown): string {
  const seen = new Set<object>()
  const find = (at: string, held: unknown): string | undefined => {
    if (typeof held === 'function' || typeof held === 'symbol') return `${at} is a ${typeof held}`
    if (typeof held !== 'object' || held === null || seen.has(held)) return undefined
    seen.add(held)
    for (const key of Object.keys(held)) {
      const path = Array.isArray(held) ? `${at}[${key}]` : pathTo(at, key)
      let part: unknown
      try { part = (held as Record<string, unknown>)[key] } catch { return `${path} cannot be read` }
      const found = find(path, part)
      if (found !== undefined) return found
    }
    const tag = Object.prototype.toString.call(held).slice(8, -1)
    if (tag === 'Object' || tag === 'Array') return undefined
    try { clone(held) } catch { return `${at} is a ${tag}` }
    return undefined
  }
  try { return find(field, value) ?? `${field} cannot be cloned` } catch { return `${field} is nested too deeply` }
}
