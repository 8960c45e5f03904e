/** Names what of a value cannot be cloned. */

/** `<value>` and the like name parts that have no key. */
export const pathTo = (parent: string, key: string | number): string =>
  typeof key === 'number' ? `${parent}[${key}]` : /^<\w+>$/.test(key) ? parent + key : /^[A-Za-z_$][\w$]*$/.test(key) ? `${parent}.${key}` : `${parent}[${JSON.stringify(key)}]`

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
    return tag === 'Object' || tag === 'Array' ? undefined : `${path} is a ${tag}`
  }
  try { return find(field, value) ?? `${field} cannot be cloned` } catch { return `${field} is nested too deeply` }
}
