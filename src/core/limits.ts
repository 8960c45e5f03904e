/** What may come in, and how big. Every refusal names the field, the limit and what was there. */
import { invalid } from './errors.ts'
import { DEEPEST } from './clone.ts'
import { pathTo } from './uncloneable.ts'

export const LIMITS = {
  queueName: 256, jobName: 1024, data: 1_048_576, binary: 268_435_456, metadata: 65_536, tags: 32, parents: 100, depth: 100, tag: 128, group: 1024, user: 1024, step: 1024, result: 1_048_576,
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

export function checkBytes(field: string, actual: number, limit: number, about = ''): void {
  if (actual > limit) throw invalid(field, `must be at most ${limit} bytes (has ${about}${actual})`, { limit, actual })
}
export function checkCount(field: string, actual: number, limit: number): void {
  if (actual > limit) throw invalid(field, `may have at most ${limit} items (has ${actual})`, { limit, actual })
}

const NAME = /^[A-Za-z0-9._-]+$/

export function checkName(field: string, value: unknown, max: number): string {
  if (typeof value !== 'string' || !NAME.test(value)) throw wrong(field, 'a string of one or more of A-Z a-z 0-9 . _ -', value)
  checkBytes(field, value.length, max)
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
  const sum: Sum = { field, bytes: 0, binary: 0, path: [] }
  visit(sum, value)
  return { bytes: sum.bytes, binary: sum.binary }
}

/** What was seen so far, and where. Thousands are measured at once, most of them flat: what only others need is made when it is needed. */
interface Sum { readonly field: string; bytes: number; binary: number; readonly path: Array<string | number>; seen?: Set<object> }

function within(sum: Sum, key: string | number, held: unknown): void {
  if (typeof held === 'string') { sum.bytes += byteLength(held) + 2; return }
  sum.path.push(key)
  visit(sum, held)
  sum.path.pop()
}

function visit(sum: Sum, item: unknown): void {
  if (typeof item === 'string') { sum.bytes += byteLength(item) + 2; return }
  if (typeof item === 'bigint') { sum.bytes += item.toString(16).length; return }
  if (typeof item !== 'object' || item === null) { sum.bytes += typeof item === 'number' ? 8 : 4; return }
  sum.seen ??= new Set()
  if (sum.seen.has(item)) return
  if (sum.path.length > DEEPEST) throw invalid(sum.field, `is nested deeper than ${DEEPEST} levels`, { limit: DEEPEST })
  sum.seen.add(item)
  sum.bytes += 2
  if (Array.isArray(item)) visitArray(sum, item)
  else visitObject(sum, item)
}

function visitArray(sum: Sum, item: readonly unknown[]): void {
  // Each item takes some bytes, if only to say that it is missing: of more than these the rest does not matter.
  if (item.length > MOST_ITEMS) { sum.bytes += item.length * 4; return }
  for (let i = 0; i < item.length; i++) within(sum, i, item[i])
  // What else was hung on it.
  for (const key of Object.keys(item).slice(item.length)) { sum.bytes += byteLength(key) + 2; within(sum, key, (item as unknown as Record<string, unknown>)[key]) }
}

function visitObject(sum: Sum, item: object): void {
  const tag = Object.prototype.toString.call(item)
  if (tag === '[object Object]') {
    for (const key of Object.keys(item)) {
      if (key === '__proto__') throw invalid(`${sum.path.reduce<string>(pathTo, sum.field)}.__proto__`, 'is not allowed as a key: rename it')
      sum.bytes += byteLength(key) + 2
      within(sum, key, (item as Record<string, unknown>)[key])
    }
  } else if (tag === '[object Map]') for (const [key, held] of item as Map<unknown, unknown>) { within(sum, '<key>', key); within(sum, '<value>', held) }
  else if (tag === '[object Set]') for (const held of item as Set<unknown>) within(sum, '<item>', held)
  else if (ArrayBuffer.isView(item)) visit(sum, item.buffer)
  else if (tag === '[object ArrayBuffer]') sum.binary += (item as ArrayBuffer).byteLength
  else if (tag === '[object Error]') { sum.bytes += byteLength(`${String((item as Error).message)}${String((item as Error).stack)}`); within(sum, 'cause', (item as Error).cause) }
  else if (tag === '[object String]' || tag === '[object RegExp]') sum.bytes += byteLength(`${item as string | RegExp}`)
  else if (tag === '[object WebAssembly.Module]') throw invalid(sum.path.reduce<string>(pathTo, sum.field), 'is a WebAssembly.Module, which cannot be stored')
  else if ('size' in item && (tag === '[object Blob]' || tag === '[object File]')) sum.binary += Number(item.size)
  else sum.bytes += 16
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
