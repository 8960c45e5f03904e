/** What options may say: a rule a field, and unknown fields are refused. */
import { invalid } from './errors.ts'
import { byteLength, checkBytes, checkCount, checkName, LIMITS, measure, wrong } from './limits.ts'
import { STATES } from './job.ts'
import { seqOf } from './seq.ts'

type Rule = (field: string, value: unknown) => void
export type Rules = Readonly<Record<string, Rule>>

const ranged = (kind: string, fits: (value: unknown) => boolean) => (min: number, max = Number.MAX_SAFE_INTEGER): Rule => (field, value) => {
  if (!fits(value) || (value as number) < min || (value as number) > max)
    throw wrong(field, `${kind} ${max === Number.MAX_SAFE_INTEGER ? `of at least ${min}` : `from ${min} to ${max}`}`, value, { min, max })
}
export const integer = ranged('an integer', Number.isInteger)
const number = ranged('a number', Number.isFinite)
export const boolean: Rule = (field, value) => { if (typeof value !== 'boolean') throw wrong(field, 'true or false', value) }
export const text = (max = Number.MAX_SAFE_INTEGER): Rule => (field, value) => {
  if (typeof value !== 'string') throw wrong(field, 'a string', value)
  checkBytes(field, byteLength(value), max)
}
export const oneOf = (...values: readonly string[]): Rule => (field, value) => { if (!values.includes(value as string)) throw wrong(field, `one of ${values.join(', ')}`, value) }
export const listOf = (rule: Rule, max = Number.MAX_SAFE_INTEGER): Rule => (field, value) => {
  if (!Array.isArray(value)) throw wrong(field, 'an array', value)
  checkCount(field, value.length, max)
  for (let i = 0; i < value.length; i++) rule(`${field}[${i}]`, value[i])
}
export const nullable = (rule: Rule): Rule => (field, value) => { if (value !== null) rule(field, value) }
export const anything: Rule = () => {}

/** Names of parents begin placeholders, so they hold no dot; those of what every object has would be taken for that. */
const parentName = (field: string, key: string): void => {
  if (!/^[A-Za-z0-9_-]{1,64}$/.test(key) || key in {}) throw invalid(field, 'is no name for a parent: use 1 to 64 of A-Z a-z 0-9 _ -')
}
const jobId: Rule = (field, value) => { if (typeof value !== 'string' || seqOf(value) === undefined) throw wrong(field, 'a job id as push returned it', value) }
const parents: Rule = (field, value) => {
  if (Array.isArray(value)) { listOf(jobId, LIMITS.parents)(field, value); return }
  if (typeof value !== 'object' || value === null) throw wrong(field, 'a list of job ids, or an object with an id for each name', value)
  const named = Object.entries(value)
  checkCount(field, named.length, LIMITS.parents)
  for (const [key, id] of named) { parentName(`${field}.${key}`, key); jobId(`${field}.${key}`, id) }
}
export const name: Rule = (field, value) => { checkName(field, value, LIMITS.jobName) }

export const object: Rule = (field, value) => { if (typeof value !== 'object' || value === null || Array.isArray(value)) throw wrong(field, 'an object', value) }

/** Checks a plain object against its rules; a field that is `undefined` counts as absent. */
export const shape = (rules: Rules): Rule => (field, value) => {
  object(field, value)
  for (const [key, held] of Object.entries(value as object)) {
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
  tags: listOf(text(LIMITS.tag), LIMITS.tags), metadata: (field: string, value: unknown) => {
    // It is rewritten with its job at every move, so its binary parts count too.
    const { bytes, binary } = measure(field, value)
    checkBytes(field, bytes + binary, LIMITS.metadata, 'about ')
  },
  group: text(LIMITS.group), onGroupDead: oneOf('hold', 'continue'), dependsOn: parents, onParentDead: oneOf('cascade', 'cancel', 'run'), lifo: boolean, keepResult: boolean, removeOnComplete: boolean, removeOnFail: boolean,
}
const { dependsOn: _dependsOn, ...retryRules } = pushRules
const optionsOf = (rules: Rules): Rule => {
  const check = shape(rules)
  return (field, options) => {
    if (options === undefined) return
    check(field, options)
    const { delayMs, runAt } = options as { readonly delayMs?: number; readonly runAt?: number }
    if (delayMs !== undefined && runAt !== undefined) throw invalid(`${field}.runAt`, 'excludes delayMs: give one of the two')
  }
}
export const checkPushOptions = optionsOf(pushRules)
/** Whose child a job is stays. */
export const checkRetry = shape({ data: anything, options: optionsOf(retryRules) })

const { delayMs: _delayMs, runAt: _runAt, lifo: _lifo, ...defaultRules } = retryRules
export const checkSettings = shape({ defaults: shape(defaultRules), concurrency: nullable(integer(1, 10_000)), needsNetwork: boolean, order: oneOf('fifo', 'fair') })
/** A function crosses as 0. */
const call: Rule = (field, value) => { if (value !== 0) throw wrong(field, 'a function', value) }
export const checkOpen = shape({
  durability: oneOf('strict', 'relaxed'), claims: boolean, http: shape({ beforeSend: call, classify: call, onUnauthorized: call }),
  network: shape({ probe: (field, value) => { if (value !== 0 && typeof value !== 'string') throw wrong(field, 'a URL or a function', value) } }),
})
export const checkPatch = shape({ data: anything, priority: pushRules.priority, runAt: TIME })
export const checkPull = shape({ leaseMs: integer(1000, 86_400_000), waitMs: integer(0, 2 ** 31 - 1) })
export const checkUser = text(LIMITS.user)
export const checkUntil = shape({ until: TIME })
export const checkMs: Rule = DURATION
export const checkPercent = number(0, 100)
export const checkStep = text(LIMITS.step)
export const checkWait = integer(1, 2 ** 31 - 1)

const filterRules = {
  queue: (field: string, value: unknown) => { checkName(field, value, LIMITS.queueName) },
  state: (field: string, value: unknown) => { (Array.isArray(value) ? listOf(oneOf(...STATES)) : oneOf(...STATES))(field, value) },
  name, group: text(LIMITS.group), tag: text(LIMITS.tag), user: text(LIMITS.user), fingerprint: text(64), ids: listOf(text(64), LIMITS.pushMany),
}
export const checkFilter = shape(filterRules)
export const checkList = shape({ ...filterRules, search: text(1024), cursor: text(256), limit: integer(1, LIMITS.listPage) })
