/** SPEC §3: what may come in, and how big; each refusal names field, limit and actual. */
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { isDeeper } from '../../src/core/clone.ts'
import { HoldfastError } from '../../src/core/errors.ts'
import { byteLength, checkName, checkQueue, checkSize, cut, LIMITS, measure } from '../../src/core/limits.ts'
import { checkFilter, checkList, checkPatch, checkPull, checkPushOptions, checkSettings } from '../../src/core/rules.ts'
import { uncloneable } from '../../src/core/uncloneable.ts'
import { snapshot, Uncopied } from '../../src/door/snapshot.ts'
import { explained } from '../../src/door/uncopied.ts'
import { systemClock } from '../../src/platform/clock.ts'
import { toEnvelope } from '../../src/core/envelope.ts'
import { describeError } from '../../src/runner/outcome.ts'
import { handlerAttempt } from '../../src/runner/handler.ts'
import { Attempt, type RunnerHost } from '../../src/runner/runner.ts'
import { jobOf } from './support/job.ts'
import { anyText } from './support/text.ts'

/** What a check threw; fails when it let the value pass. */
function refusal(check: () => unknown): HoldfastError {
  try { check() } catch (thrown) {
    const error = thrown instanceof Uncopied ? explained(thrown) : thrown
    expect(error).toBeInstanceOf(HoldfastError)
    expect(error).toMatchObject({ code: 'VALIDATION', name: 'ValidationError' })
    return error as HoldfastError
  }
  throw new Error('it was not refused')
}
const options = (given: object) => (): void => { checkPushOptions('options', given) }
const parsed = (json: string): unknown => JSON.parse(json)

// ---- limits ----

describe('each limit', () => {
  const metadata = (bytes: number) => ({ metadata: 'x'.repeat(bytes - 2) })
  const tags = (n: number, bytes: number) => ({ tags: Array.from({ length: n }, () => 'ä'.repeat(bytes / 2)) })
  it.each<[string, number, number, (n: number) => () => unknown]>([
    ['queue', 256, 257, (n) => () => checkQueue('q'.repeat(n))],
    ['name', 1024, 1025, (n) => () => checkName('name', 'n'.repeat(n), LIMITS.jobName)],
    ['data', 1_048_576, 1_048_577, (n) => () => checkSize('data', 'x'.repeat(n - 2), LIMITS.data)],
    ['data', 268_435_456, 268_435_457, (n) => () => checkSize('data', { file: { [Symbol.toStringTag]: 'Blob', size: n } }, LIMITS.data)],
    ['result', 1_048_576, 1_048_577, (n) => () => checkSize('result', 'x'.repeat(n - 2), LIMITS.result)],
    ['options.metadata', 65_536, 65_537, (n) => options(metadata(n))],
    ['options.tags', 32, 33, (n) => options(tags(n, 4))],
    ['options.tags[0]', 128, 130, (n) => options(tags(1, n))],
  ])('%s may be %i and not %i', (field, limit, actual, at) => {
    expect(at(limit)).not.toThrow()
    const error = refusal(at(actual))
    expect(error.details).toEqual({ field, limit, actual })
    expect(error.message).toContain(field)
    expect(error.message).toContain(String(limit))
    expect(error.message).toContain(String(actual))
  })

  it('metadata is rewritten with its job at every move, so its binary parts count too', () => {
    expect(refusal(options({ metadata: new ArrayBuffer(65_537) })).details).toMatchObject({ field: 'options.metadata', limit: 65_536 })
  })
})

describe('names', () => {
  it.each(['a', 'welcome-email', 'http.upload', 'A_b-9.z'])('%s will do', (name) => { expect(checkQueue(name)).toBe(name) })
  it.each(['', ' ', 'a b', 'a/b', 'a|b', 'ä', 'a\n', '😀', '__proto__ '])('%j will not', (name) => { expect(refusal(() => checkQueue(name)).details).toEqual({ field: 'queue' }) })
  it.each([undefined, null, 5, {}, ['a']])('%j is not even text', (name) => { expect(refusal(() => checkQueue(name)).message).toMatch(/^queue must be a string/) })
})

describe('options', () => {
  it.each<[string, object]>([
    ['priority', { priority: 1.5 }], ['priority', { priority: Infinity }], ['priority', { priority: '1' }], ['delayMs', { delayMs: -1 }], ['runAt', { runAt: NaN }],
    ['maxAttempts', { maxAttempts: 0 }], ['timeoutMs', { timeoutMs: 0 }], ['ttlMs', { ttlMs: 0 }], ['lifo', { lifo: 1 }], ['keepResult', { keepResult: 'yes' }], ['tags', { tags: 'a' }], ['tags[1]', { tags: ['a', 5] }],
    ['backoff', { backoff: 'fixed' }], ['backoff.type', { backoff: { type: 'random' } }], ['backoff.delayMs', { backoff: { delayMs: -1 } }], ['backoff.jitter', { backoff: { jitter: 1.1 } }], ['backoff.jitter', { backoff: { jitter: NaN } }],
    ['backoff.factor', { backoff: { factor: 2 } }], ['runAt', { runAt: 1, delayMs: 1 }],
  ])('%s is refused in %j', (field, given) => { expect(refusal(options(given)).details).toMatchObject({ field: `options.${field}` }) })

  it('a field that is undefined counts as absent', () => { expect(options({ priority: undefined, delayMs: undefined, runAt: 5, backoff: undefined })).not.toThrow() })
  it('a field of every object is no option for that', () => {
    for (const json of ['{"__proto__": 1}', '{"constructor": 1}', '{"toString": 1}']) expect(refusal(() => { checkPushOptions('options', parsed(json)) }).message).toContain('is not an option')
  })
  it.each<[string, () => unknown]>([
    ['settings.concurrency', () => { checkSettings('settings', { concurrency: 0 }) }], ['settings.defaults.delayMs', () => { checkSettings('settings', { defaults: { delayMs: 5 } }) }],
    ['settings.order', () => { checkSettings('settings', { order: 'lifo' }) }],
    ['patch.name', () => { checkPatch('patch', { name: 'x' }) }], ['options.leaseMs', () => { checkPull('options', { leaseMs: 5 }) }], ['filter.state', () => { checkFilter('filter', { state: 'failed' }) }],
    ['filter.limit', () => { checkList('filter', { limit: 1001 }) }], ['filter', () => { checkFilter('filter', null) }],
  ])('%s', (field, check) => { expect(refusal(check).details).toMatchObject({ field }) })
})

// ---- sizes ----

describe('byteLength', () => {
  it('is what Buffer says', () => { fc.assert(fc.property(anyText(), (value) => { expect(byteLength(value)).toBe(Buffer.byteLength(value)) })) })
})

describe('measure', () => {
  const bytes = (value: unknown): number => measure('data', value).bytes

  it('never says less than the text and the binary parts that are in there', () => {
    const leaf = fc.oneof(anyText(), fc.integer(), fc.boolean(), fc.constant(null))
    const tree = fc.letrec<{ node: unknown }>((tie) => ({ node: fc.oneof({ depthSize: 'small' }, leaf, fc.array(tie('node')), fc.dictionary(anyText(5).filter((key) => key !== '__proto__'), tie('node'))) })).node
    fc.assert(fc.property(tree, (value) => {
      const texts: string[] = []
      JSON.stringify(value, (key, held: unknown) => { texts.push(key); if (typeof held === 'string') texts.push(held); return held })
      expect(bytes(value)).toBeGreaterThanOrEqual(texts.reduce((sum, each) => sum + Buffer.byteLength(each), 0))
    }))
  })

  it('looks into maps and sets, keys included', () => {
    expect(bytes(new Map([['k'.repeat(100), 'v'.repeat(100)]]))).toBeGreaterThan(200)
    expect(bytes(new Set(['s'.repeat(100)]))).toBeGreaterThan(100)
  })

  it('counts a thing once, so that a cycle ends', () => {
    const cyclic: { name: string; self?: unknown; list: unknown[] } = { name: 'x'.repeat(1000), list: [] }
    cyclic.self = cyclic
    cyclic.list.push(cyclic, cyclic)
    expect(bytes(cyclic)).toBeGreaterThan(1000)
    expect(bytes(cyclic)).toBeLessThan(1100)
  })

  it('counts blobs and buffers apart', () => {
    expect(measure('data', { file: new Blob(['x'.repeat(500)]), buffer: new ArrayBuffer(300), view: new Uint8Array(200) })).toEqual({ bytes: expect.any(Number), binary: 1000 })
    expect(bytes(new Blob(['x'.repeat(5000)]))).toBeLessThan(20)
  })

  it('counts the whole buffer of a view, since all of it is cloned and stored', () => {
    expect(structuredClone(new Uint8Array(new ArrayBuffer(1000), 0, 1)).buffer.byteLength).toBe(1000)
    expect(measure('data', new Uint8Array(new ArrayBuffer(1000), 0, 1)).binary).toBe(1000)
  })

  it('counts the text of an error, which is cloned with it', () => { expect(bytes({ error: new Error('x'.repeat(5000)) })).toBeGreaterThan(5000) })

  it.each<[string, unknown]>([
    ['data.__proto__', parsed('{"__proto__": {"isAdmin": true}}')], ['data.list[1].deep.__proto__', { list: [0, { deep: parsed('{"__proto__": 1}') }] }],
    ['data<value>.__proto__', new Map([['k', parsed('{"__proto__": 1}')]])], ['data<key>.__proto__', new Map([[parsed('{"__proto__": 1}'), 1]])], ['data<item>.__proto__', new Set([parsed('{"__proto__": 1}')])],
  ])('refuses the key %s', (field, value) => { expect(refusal(() => measure('data', structuredClone(value))).details).toEqual({ field }) })
})

describe('cut', () => {
  it('leaves short text alone, and cuts long text at a character, marked, within its bytes', () => {
    fc.assert(fc.property(anyText(200), fc.integer({ min: 32, max: 200 }), (value, max) => {
      const out = cut(value, max)
      if (Buffer.byteLength(value) <= max) { expect(out).toBe(value); return }
      expect(Buffer.byteLength(out)).toBeLessThanOrEqual(max)
      expect(out.endsWith('…(truncated)')).toBe(true)
      const kept = out.slice(0, -'…(truncated)'.length)
      expect(value.startsWith(kept)).toBe(true)
      expect(kept.isWellFormed()).toBe(true)
      // No more is lost than the mark, a character and the last step.
      expect(Buffer.byteLength(kept)).toBeGreaterThan(max - 32)
    }), { numRuns: 500 })
  })
})

// ---- values that cannot be cloned ----

describe('a value that cannot be cloned', () => {
  const nameOf = (value: unknown): string => uncloneable('data', value, structuredClone)
  const run = (): void => {}

  it.each<[string, unknown]>([
    ['data is a function', run],
    ['data is a symbol', Symbol('x')],
    ['data.items[3].onClick is a function', { items: [1, {}, null, { onClick: run }] }],
    ['data["first name"] is a symbol', { 'first name': Symbol('x') }],
    ['data[0][1] is a function', [[0, run]]],
    ['data.ok.work is a Promise', { ok: { fine: 1, work: Promise.resolve() } }],
    ['data.seen is a WeakSet', { seen: new WeakSet() }],
  ])('%s', (said, value) => { expect(nameOf(value)).toBe(said) })

  it('is named past a cycle', () => {
    const cyclic: Record<string, unknown> = { name: 'x' }
    cyclic.self = cyclic
    cyclic.onClick = run
    expect(nameOf(cyclic)).toBe('data.onClick is a function')
  })

  it.each<[string, () => unknown]>([
    ['a function', () => ({ items: [{ onClick: run }] })],
    ['a getter that throws', () => ({ get x() { throw new Error('boom') } })],
    ['a tree deeper than the platform can clone', () => { let tree: unknown = 1; for (let i = 0; i < 20_000; i++) tree = { a: tree }; return tree }],
  ])('%s is a ValidationError, and nothing else', (_what, make) => {
    const value = make()
    expect(refusal(() => snapshot('data', value)).details).toEqual({ field: 'data' })
  })

  it('counts what sets and maps hold as levels like any other', () => {
    const nest = (levels: number, wrap: (inner: unknown) => unknown): unknown => { let value: unknown = {}; for (let i = 0; i < levels; i++) value = wrap(value); return value }
    for (const wrap of [(inner: unknown) => new Set([[inner]]), (inner: unknown) => new Map([['key', [inner]]]), (inner: unknown) => [[inner]]]) {
      expect(isDeeper(nest(5, wrap), 10)).toBe(false)
      expect(isDeeper(nest(5, wrap), 9)).toBe(true)
    }
  })

  it('what is nested deeper than 500 levels is refused by whoever would have to walk it', () => {
    const nested = (levels: number): unknown => { let tree: unknown = 1; for (let i = 0; i < levels; i++) tree = i % 2 ? [tree] : { a: tree }; return tree }
    expect(() => measure('data', nested(500))).not.toThrow()
    expect(refusal(() => measure('data', nested(502))).details).toMatchObject({ field: 'data', limit: 500 })
  })

  it('what can be cloned is a copy made now', () => {
    const given = { to: 'ann', at: new Date(5), map: new Map([[1, { deep: true }]]) }
    const copy = snapshot('data', given)
    expect(copy).toEqual(given)
    given.to = 'bob'
    expect(copy.to).toBe('ann')
  })
})

// ---- what a handler leaves: its end is never refused ----

describe('a handler’s result', () => {
  const endOf = (result: unknown): unknown => handlerAttempt(() => () => result)(new Attempt({ box: 1, token: 't', job: jobOf() }, { clock: systemClock } as RunnerHost, () => {}))

  it('is a copy', () => {
    const result = { sent: true }
    expect(endOf(result)).toEqual({ event: { type: 'complete', result: { sent: true } } })
    expect((endOf(result) as { event: { result: unknown } }).event.result).not.toBe(result)
  })
  it('that cannot be cloned becomes a marker that says why', () => { expect(endOf({ close() {} })).toMatchObject({ event: { type: 'complete', result: { unstorable: 'result.close is a function' }, unstorable: { name: 'ValidationError', message: 'result.close is a function' } } }) })
})

describe('what a handler throws', () => {
  it.each<[string, unknown, object]>([
    ['an error', new TypeError('boom'), { name: 'TypeError', message: 'boom', stack: expect.stringContaining('boom') }],
    ['text', 'boom', { name: 'Error', message: 'boom' }],
    ['an object', { code: 7 }, { name: 'Error', message: '{"code":7}' }],
    ['nothing', undefined, { name: 'Error', message: 'undefined' }],
    ['a symbol', Symbol('x'), { name: 'Error', message: 'Symbol(x)' }],
  ])('is stored as text: %s', (_what, error, stored) => { expect(describeError(error)).toEqual(stored) })

  it('is stored as text even when JSON cannot hold it', () => {
    const cyclic: Record<string, unknown> = {}
    cyclic.self = cyclic
    expect(typeof describeError(10n).message).toBe('string')
    const get = (): never => { throw new Error('not to be looked at') }
    for (const unreadable of [Object.create(null), new Proxy({}, { get, has: get, getPrototypeOf: get, ownKeys: get }), Object.defineProperty(new Error('x'), 'message', { get })]) {
      expect(typeof describeError(unreadable).message).toBe('string')
      expect(typeof toEnvelope(unreadable).message).toBe('string')
    }
    expect(typeof describeError(cyclic).message).toBe('string')
  })

  it('is cut at 8 KiB and marked, never refused', () => {
    const { message, stack } = describeError(new Error('ä'.repeat(100_000)))
    for (const text of [message, stack ?? '']) expect(byteLength(text)).toBeLessThanOrEqual(LIMITS.errorText)
    expect(message).toMatch(/…\(truncated\)$/)
  })
})
