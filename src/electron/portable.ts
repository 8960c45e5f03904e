/** A copy that other processes can read: Blobs live in the browser only, and become what is known of them. What holds itself does so in the copy too. */
export function portable(value: unknown, copies: Map<object, unknown> = new Map()): unknown {
  if (value instanceof Blob) return { blob: { size: value.size, type: value.type, ...(value instanceof File && { name: value.name }) } }
  if (value === null || typeof value !== 'object') return value
  if (copies.has(value)) return copies.get(value)
  if (!Array.isArray(value) && Object.getPrototypeOf(value) !== Object.prototype) return value
  const copy: unknown[] | Record<string, unknown> = Array.isArray(value) ? [] : {}
  copies.set(value, copy)
  for (const [key, held] of Object.entries(value)) Object.assign(copy, { [key]: portable(held, copies) })
  return copy
}
