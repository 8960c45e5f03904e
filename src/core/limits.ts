/** What may come in, and how big. Every refusal names the field, the limit and what was there. */
import { HoldfastError } from './errors.ts'
import { STATES } from './job.ts'

export const LIMITS = {
  queueName: 256, jobName: 1024, data: 1_048_576, binary: 268_435_456, metadata: 65_536, tags: 32, tag: 128, result: 1_048_576,
  errorText: 8192, logLine: 1024, logLines: 100, pushMany: 100_000, listPage: 1000, pull: 1000,
} as const

export function invalid(field: string, problem: string, details: Record<string, unknown> = {}): HoldfastError {
  return new HoldfastError('VALIDATION', `${field} ${problem}`, { field, ...details })
}

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
  if (typeof value !== 'string') throw invalid(field, `must be a string, not ${describe(value)}`)
  if (!NAME.test(value)) throw invalid(field, `must be one or more of A-Z a-z 0-9 . _ - (got ${JSON.stringify(value.slice(0, 40))})`)
  if (value.length > max) throw invalid(field, `must be at most ${max} bytes (has ${value.length})`, { limit: max, actual: value.length })
  return value
}
export const checkQueue = (value: unknown): string => checkName('queue', value, LIMITS.queueName)

export const describe = (value: unknown): string =>
  value === null ? 'null' : Array.isArray(value) ? 'an array' : typeof value === 'object' ? 'an object' : typeof value === 'number' || typeof value === 'boolean' ? String(value) : typeof value

export interface Size { readonly bytes: number; readonly binary: number }

const path = (parent: string, key: string | number): string =>
  typeof key === 'number' ? `${parent}[${key}]` : /^[A-Za-z_$][\w$]*$/.test(key) ? `${parent}.${key}` : `${parent}[${JSON.stringify(key)}]`

/**
 * The size of a cloned value: text and keys as UTF-8, numbers as 8 bytes, two for each thing that holds or separates; Blobs and buffers counted apart.
 * Refuses `__proto__` keys, which would change a prototype wherever the value is later merged or parsed.
 */
export function measure(field: string, value: unknown): Size {
  let bytes = 0
  let binary = 0
  const seen = new Set<object>()
  const visit = (at: string, item: unknown): void => {
    if (typeof item === 'string') { bytes += byteLength(item) + 2; return }
    if (typeof item !== 'object' || item === null) { bytes += typeof item === 'number' || typeof item === 'bigint' ? 8 : 4; return }
    if (seen.has(item)) return
    seen.add(item)
    bytes += 2
    if (Array.isArray(item)) { for (let i = 0; i < item.length; i++) visit(`${at}[${i}]`, item[i]); return }
    const tag = Object.prototype.toString.call(item)
    if (tag === '[object Object]') {
      for (const key of Object.keys(item)) {
        if (key === '__proto__') throw invalid(`${at}.__proto__`, 'is not allowed as a key: rename it')
        bytes += byteLength(key) + 2
        visit(path(at, key), (item as Record<string, unknown>)[key])
      }
    } else if (tag === '[object Map]') for (const [key, held] of item as Map<unknown, unknown>) { visit(`${at}<key>`, key); visit(`${at}<value>`, held) }
    else if (tag === '[object Set]') for (const held of item as Set<unknown>) visit(`${at}<item>`, held)
    else if ('byteLength' in item) binary += Number(item.byteLength)
    else if ('size' in item && (tag === '[object Blob]' || tag === '[object File]')) binary += Number(item.size)
    else bytes += 16
  }
  visit(field, value)
  return { bytes, binary }
}

export function checkSize(field: string, value: unknown, max: number): Size {
  const size = measure(field, value)
  const { bytes, binary } = size
  if (bytes > max) throw invalid(field, `must be at most ${max} bytes (has about ${bytes}): store large content elsewhere and push a reference`, { limit: max, actual: bytes })
  if (binary > LIMITS.binary) throw invalid(field, `may hold at most ${LIMITS.binary} bytes of binary data (has ${binary})`, { limit: LIMITS.binary, actual: binary })
  return size
}

/** The path and reason of the first part of a value that cannot be cloned, e.g. `data.items[3].onClick is a function`. */
export function uncloneable(at: string, value: unknown, clone: (value: unknown) => unknown, seen = new Set<unknown>()): string {
  if (typeof value === 'function' || typeof value === 'symbol') return `${at} is a ${typeof value}`
  if (typeof value === 'object' && value !== null && !seen.has(value)) {
    seen.add(value)
    for (const [key, held] of Object.entries(value)) {
      try { clone(held) } catch { return uncloneable(Array.isArray(value) ? `${at}[${key}]` : path(at, key), held, clone, seen) }
    }
  }
  return `${at} cannot be cloned`
}

// ---- option objects: a rule a field, unknown fields refused ----

type Rule = (field: string, value: unknown) => void
export type Rules = Readonly<Record<string, Rule>>

export const integer = (min: number, max = Number.MAX_SAFE_INTEGER): Rule => (field, value) => {
  if (typeof value !== 'number' || !Number.isInteger(value) || value < min || value > max)
    throw invalid(field, `must be an integer ${max === Number.MAX_SAFE_INTEGER ? `of at least ${min}` : `from ${min} to ${max}`} (got ${describe(value)})`, { min, max })
}
const number = (min: number, max: number): Rule => (field, value) => {
  if (typeof value !== 'number' || !(value >= min && value <= max)) throw invalid(field, `must be a number from ${min} to ${max} (got ${describe(value)})`, { min, max })
}
export const boolean: Rule = (field, value) => {
  if (typeof value !== 'boolean') throw invalid(field, `must be true or false (got ${describe(value)})`)
}
export const text = (max = Number.MAX_SAFE_INTEGER): Rule => (field, value) => {
  if (typeof value !== 'string') throw invalid(field, `must be a string (got ${describe(value)})`)
  const actual = byteLength(value)
  if (actual > max) throw invalid(field, `must be at most ${max} bytes (has ${actual})`, { limit: max, actual })
}
export const oneOf = (...values: readonly string[]): Rule => (field, value) => {
  if (!values.includes(value as string)) throw invalid(field, `must be one of ${values.join(', ')} (got ${typeof value === 'string' ? JSON.stringify(value) : describe(value)})`)
}
export const listOf = (rule: Rule, max = Number.MAX_SAFE_INTEGER): Rule => (field, value) => {
  if (!Array.isArray(value)) throw invalid(field, `must be an array (got ${describe(value)})`)
  if (value.length > max) throw invalid(field, `may have at most ${max} items (has ${value.length})`, { limit: max, actual: value.length })
  value.forEach((item, i) => rule(`${field}[${i}]`, item))
}
export const nullable = (rule: Rule): Rule => (field, value) => { if (value !== null) rule(field, value) }
export const anything: Rule = () => {}
export const name: Rule = (field, value) => { checkName(field, value, LIMITS.jobName) }

/** Checks a plain object against its rules; a field that is `undefined` counts as absent. */
export const shape = (rules: Rules): Rule => (field, value) => {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) throw invalid(field, `must be an object (got ${describe(value)})`)
  for (const [key, held] of Object.entries(value)) {
    const rule = Object.hasOwn(rules, key) ? rules[key] : undefined
    if (!rule) throw invalid(`${field}.${key}`, `is not an option here: use ${Object.keys(rules).join(', ')}`)
    if (held !== undefined) rule(`${field}.${key}`, held)
  }
}

const TIME = integer(0, 8_640_000_000_000_000)
const DURATION = integer(0, 100 * 365 * 86_400_000)

const backoff = shape({ type: oneOf('exponential', 'linear', 'fixed'), delayMs: DURATION, maxDelayMs: DURATION, jitter: number(0, 1) })

const pushRules = {
  priority: integer(-1_000_000_000, 1_000_000_000), delayMs: DURATION, runAt: TIME, maxAttempts: integer(1, 1_000_000), backoff, timeoutMs: integer(1, 2 ** 31 - 1), ttlMs: integer(1, 100 * 365 * 86_400_000),
  tags: listOf(text(LIMITS.tag), LIMITS.tags), metadata: (field: string, value: unknown) => { checkSize(field, value, LIMITS.metadata) },
  lifo: boolean, keepResult: boolean, removeOnComplete: boolean, removeOnFail: boolean,
}
const pushShape = shape(pushRules)
export const checkPushOptions = (field: string, options: { readonly delayMs?: number; readonly runAt?: number } | undefined): void => {
  if (options === undefined) return
  pushShape(field, options)
  if (options.delayMs !== undefined && options.runAt !== undefined) throw invalid(`${field}.runAt`, 'excludes delayMs: give one of the two')
}

const { delayMs: _delayMs, runAt: _runAt, lifo: _lifo, ...defaultRules } = pushRules
export const checkSettings = shape({ defaults: shape(defaultRules), concurrency: nullable(integer(1, 10_000)), needsNetwork: boolean })
export const checkPatch = shape({ data: anything, priority: pushRules.priority, runAt: TIME })
export const checkPull = shape({ leaseMs: integer(1000, 86_400_000), waitMs: integer(0, 2 ** 31 - 1) })
export const checkUntil = shape({ until: TIME })
export const checkMs: Rule = DURATION
export const checkPercent = number(0, 100)

const filterRules = {
  queue: (field: string, value: unknown) => { checkName(field, value, LIMITS.queueName) },
  state: (field: string, value: unknown) => { (Array.isArray(value) ? listOf(oneOf(...STATES)) : oneOf(...STATES))(field, value) },
  name, tag: text(LIMITS.tag), fingerprint: text(64), ids: listOf(text(64), LIMITS.pushMany),
}
export const checkFilter = shape(filterRules)
export const checkList = shape({ ...filterRules, search: text(1024), cursor: text(256), limit: integer(1, LIMITS.listPage) })

/** Text of at most `max` bytes, cut at a character and marked. */
export function cut(value: string, max: number): string {
  if (value.length <= max / 3 || byteLength(value) <= max) return value
  const mark = '…(truncated)'
  let end = Math.min(value.length, max)
  while (byteLength(value.slice(0, end)) > max - byteLength(mark)) end -= Math.max(1, Math.ceil((byteLength(value.slice(0, end)) - max) / 3))
  if (/[\ud800-\udbff]/.test(value[end - 1] ?? '')) end--
  return value.slice(0, end) + mark
}
