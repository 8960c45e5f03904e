/** Jobs as they cross to the worker: as text where JSON says all of them, which costs a fraction of cloning them here and again on the way. */

const DEEPEST = 100

/** Whether JSON says all of a value, as `structuredClone` would: no other type, no holes, nothing met twice. */
function isPlain(value: unknown, levels: number, met: Set<unknown>): boolean {
  if (typeof value === 'number') return Number.isFinite(value) && !Object.is(value, -0)
  if (typeof value !== 'object' || value === null) return value === null || typeof value === 'string' || typeof value === 'boolean'
  const list = Array.isArray(value)
  if (levels === 0 || met.has(value) || 'toJSON' in value || Object.getPrototypeOf(value) !== (list ? Array : Object).prototype) return false
  met.add(value)
  const parts = Object.values(value)
  // Of a list neither holes nor what else was hung on it.
  return (!list || (parts.length === value.length && !value.includes(undefined))) && parts.every((part) => isPlain(part, levels - 1, met))
}

/** What is not said is not there, in what a job is made of. */
const isItem = (item: unknown): boolean => typeof item === 'object' && item !== null && !Array.isArray(item) && Object.values(item).every((part) => part === undefined || isPlain(part, DEEPEST, new Set()))

/** The text of a job as it is pushed, or of many; undefined where none says all of it. */
export function textOf(item: object): string | undefined {
  try { if (Array.isArray(item) ? item.every(isItem) : isItem(item)) return JSON.stringify(item) } catch { /* too long, or it cannot be read: cloning it will say so */ }
  return undefined
}
