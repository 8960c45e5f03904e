/** How deep a value is. */

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
