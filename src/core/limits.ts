/** What may come in, and how big. Every refusal names the field, the limit and what was there. */
import { invalid } from './errors.ts'
import { DEEPEST, pathTo } from './clone.ts'

export const LIMITS = {
  queueName: 256, jobName: 1024, data: 1_048_576, binary: 268_435_456, metadata: 65_536, tags: 32, tag: 128, group: 1024, result: 1_048_576,
  url: 16_384, headers: 65_536, errorText: 8192, logLine: 1024, logLines: 100, pushMany: 100_000, listPage: 1000, pull: 1000,
} as const

/** Says what `field` must be, and what it is. */
export const wrong = (field: string, must: string, value: unknown, details?: Readonly<Record<string, unknown>>): Error =>
  invalid(field, `must be ${must} (got ${typeof value === 'string' ? JSON.stringify(cut(value, 60)) : describe(value)})`, details)

/** UTF-8 bytes of a string. */
export function byteLength(text: string): number {
  let bytes = text.length
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i)
    if (code >= 0x80) bytes += code < 0x800 || (code >= 0xd800 && code < 0xe000) ? 1 : 2
  }
  return bytes
}

const NAME = /^[A-Za-z0-9._-]+$/

export function checkName(field: string, value: unknown, max: number): string {
  if (typeof value !== 'string' || !NAME.test(value)) throw wrong(field, 'a string of one or more of A-Z a-z 0-9 . _ -', value)
  if (value.length > max) throw invalid(field, `must be at most ${max} bytes (has ${value.length})`, { limit: max, actual: value.length })
  return value
}
export const checkQueue = (value: unknown): string => checkName('queue', value, LIMITS.queueName)

const describe = (value: unknown): string =>
  value === null ? 'null' : Array.isArray(value) ? 'an array' : typeof value === 'object' ? 'an object' : typeof value === 'number' || typeof value === 'boolean' ? String(value) : typeof value

export interface Size { readonly bytes: number; readonly binary: number }

const MOST_ITEMS = 300_000

/**
 * The size of a cloned value: text and keys as UTF-8, numbers as 8 bytes, two for each thing that holds or separates; Blobs and buffers counted apart.
 * Refuses `__proto__` keys, which would change a prototype wherever the value is later merged or parsed.
 */
export function measure(field: string, value: unknown): Size {
  let bytes = 0
  let binary = 0
  const seen = new Set<object>()
  const path: Array<string | number> = []
  const within = (key: string | number, held: unknown): void => { path.push(key); visit(held); path.pop() }
  const visitArray = (item: readonly unknown[]): void => {
    // Each item takes some bytes, if only to say that it is missing: of more than these the rest does not matter.
    if (item.length > MOST_ITEMS) { bytes += item.length * 4; return }
    for (let i = 0; i < item.length; i++) within(i, item[i])
    // What else was hung on it.
    for (const key of Object.keys(item).slice(item.length)) { bytes += byteLength(key) + 2; within(key, (item as unknown as Record<string, unknown>)[key]) }
  }
  const visit = (item: unknown): void => {
    if (typeof item === 'string') { bytes += byteLength(item) + 2; return }
    if (typeof item === 'bigint') { bytes += item.toString(16).length; return }
    if (typeof item !== 'object' || item === null) { bytes += typeof item === 'number' ? 8 : 4; return }
    if (seen.has(item)) return
    if (path.length > DEEPEST) throw invalid(field, `is nested deeper than ${DEEPEST} levels`, { limit: DEEPEST })
    seen.add(item)
    bytes += 2
    if (Array.isArray(item)) { visitArray(item); return }
    const tag = Object.prototype.toString.call(item)
    if (tag === '[object Object]') {
      for (const key of Object.keys(item)) {
        if (key === '__proto__') throw invalid(`${path.reduce<string>(pathTo, field)}.__proto__`, 'is not allowed as a key: rename it')
        bytes += byteLength(key) + 2
        within(key, (item as Record<string, unknown>)[key])
      }
    } else if (tag === '[object Map]') for (const [key, held] of item as Map<unknown, unknown>) { within('<key>', key); within('<value>', held) }
    else if (tag === '[object Set]') for (const held of item as Set<unknown>) within('<item>', held)
    else if (ArrayBuffer.isView(item)) visit(item.buffer)
    else if (tag === '[object ArrayBuffer]') binary += (item as ArrayBuffer).byteLength
    else if (tag === '[object Error]') { bytes += byteLength(`${String((item as Error).message)}${String((item as Error).stack)}`); within('cause', (item as Error).cause) }
    else if (tag === '[object String]' || tag === '[object RegExp]') bytes += byteLength(`${item as string | RegExp}`)
    else if (tag === '[object WebAssembly.Module]') throw invalid(path.reduce<string>(pathTo, field), 'is a WebAssembly.Module, which cannot be stored')
    else if ('size' in item && (tag === '[object Blob]' || tag === '[object File]')) binary += Number(item.size)
    else bytes += 16
  }
  visit(value)
  return { bytes, binary }
}

export function checkSize(field: string, value: unknown, max: number): Size {
  const size = measure(field, value)
  const { bytes, binary } = size
  if (bytes > max) throw invalid(field, `must be at most ${max} bytes (has about ${bytes}): store large content elsewhere and push a reference`, { limit: max, actual: bytes })
  if (binary > LIMITS.binary) throw invalid(field, `may hold at most ${LIMITS.binary} bytes of binary data (has ${binary})`, { limit: LIMITS.binary, actual: binary })
  return size
}

/** Text of at most `max` bytes, cut at a character and marked. */
export function cut(value: string, max: number): string {
  if (value.length <= max / 3 || byteLength(value) <= max) return value
  const mark = '…(truncated)'
  let end = Math.min(value.length, max)
  while (byteLength(value.slice(0, end)) > max - byteLength(mark)) end -= Math.max(1, Math.ceil((byteLength(value.slice(0, end)) - max) / 3))
  if (/[\ud800-\udbff]/.test(value[end - 1] ?? '')) end--
  return value.slice(0, end) + mark
}
