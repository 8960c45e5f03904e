/** A job crosses as text only where that says all of it. */
import { isDeepStrictEqual } from 'node:util'
import fc from 'fast-check'
import { expect, it } from 'vitest'
import { textOf } from '../../src/door/text.ts'

const shared = { a: 1 }
const hung = Object.assign([1], { extra: 1 })
const holed = Object.assign([1, , 3], { extra: 1 }) // eslint-disable-line no-sparse-arrays
const cyclic: Record<string, unknown> = {}
cyclic['self'] = cyclic
let deep: unknown = 1
for (let n = 0; n < 2000; n++) deep = [deep]

it.each<[string, unknown]>([
  ['a date', new Date(0)], ['undefined within', { a: undefined }], ['NaN', NaN], ['Infinity', [Infinity]], ['-0', { a: -0 }], ['a bigint', 1n], ['a function', () => 1], ['a symbol', Symbol('a')],
  ['a Map', new Map()], ['a typed array', new Uint8Array(1)], ['a Blob', new Blob([])], ['an instance', new (class A { a = 1 })()], ['no prototype', Object.create(null)], ['a list with a hole', [1, , 3]], // eslint-disable-line no-sparse-arrays
  ['a list with more to it', hung], ['a list with both', holed], ['a thing met twice', [shared, shared]], ['a circle', cyclic], ['toJSON', { toJSON: () => 1 }], ['great depth', deep], ['a boxed string', Object('a')],
])('not with %s in its data', (_what, data) => { expect(textOf({ name: 'a', data })).toBeUndefined() })

it('with anything that JSON says, and what is not said is not there', () => {
  const item = { name: 'a', data: { list: [1, 'ü', null, true, { deep: [[]] }], ['__proto__']: 1, lone: '\ud800' }, options: undefined }
  expect(JSON.parse(textOf(item) ?? '')).toEqual({ name: 'a', data: item.data })
  expect(textOf([])).toBe('[]')
  expect(textOf([item, null])).toBeUndefined()
})

it('what comes out is what a clone would be', () => {
  const data = fc.anything({ withDate: true, withMap: true, withSparseArray: true, withNullPrototype: true, withObjectString: true, withTypedArray: true, withBoxedValues: true, withUnicodeString: true } as never)
  let plain = 0
  fc.assert(fc.property(fc.oneof(data, fc.jsonValue()), (value) => {
    const item = { name: 'a', data: value }
    const text = textOf(item)
    if (text === undefined || value === undefined) return
    plain++
    expect(isDeepStrictEqual(JSON.parse(text), structuredClone(item))).toBe(true)
  }), { numRuns: 1000 })
  expect(plain).toBeGreaterThan(100)
})
