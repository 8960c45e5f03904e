/** A copy that other processes can read: Blobs live in the browser only, and become what is known of them. */
export function portable(value: unknown): unknown {
  if (value instanceof Blob) return { blob: { size: value.size, type: value.type, ...(value instanceof File && { name: value.name }) } }
  if (Array.isArray(value)) return value.map(portable)
  if (value === null || typeof value !== 'object' || Object.getPrototypeOf(value) !== Object.prototype) return value
  return Object.fromEntries(Object.entries(value).map(([key, held]) => [key, portable(held)]))
}
