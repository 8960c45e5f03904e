/** SPEC §3: ids are UUIDv7 (48 bits of ms, 34 random bits, 40 bits of the database's sequence), so that an id leads to its job. */
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { idMaker, idsOf, MAX_SEQ } from '../../src/core/id.ts'
import { seqOf } from '../../src/core/seq.ts'

const ms = fc.integer({ min: 0, max: 2 ** 48 - 1 })
const random = fc.integer({ min: 0, max: 2 ** 34 - 1 })
const seq = fc.integer({ min: 0, max: MAX_SEQ })
const bits = (id: string): string => Array.from(id.replaceAll('-', ''), (digit) => parseInt(digit, 16).toString(2).padStart(4, '0')).join('')

it('looks like this', () => {
  expect(idMaker(0x0123456789ab, 0)(1)).toBe('01234567-89ab-7000-8000-000000000001')
  expect(idMaker(0x0123456789ab, 2 ** 34 - 1)(MAX_SEQ)).toBe('01234567-89ab-7fff-bfff-ffffffffffff')
})

describe('any id', () => {
  it('has the fields of RFC 9562: time, version 7, variant 10, and ours in the rest', () => {
    fc.assert(fc.property(ms, random, seq, (time, chance, number) => {
      const b = bits(idMaker(time, chance)(number))
      expect(b).toHaveLength(128)
      expect(parseInt(b.slice(0, 48), 2)).toBe(time)
      expect(b.slice(48, 52)).toBe('0111')
      expect(b.slice(64, 66)).toBe('10')
      expect(parseInt(b.slice(52, 64) + b.slice(66, 88), 2)).toBe(chance)
      expect(parseInt(b.slice(88), 2)).toBe(number)
    }))
  })

  it('leads back to its sequence number', () => { fc.assert(fc.property(ms, random, seq, (time, chance, number) => { expect(seqOf(idMaker(time, chance)(number))).toBe(number) })) })

  it('sorts by its time, and within one commit by its number', () => {
    fc.assert(fc.property(ms, ms, random, random, seq, (a, b, one, other, number) => {
      fc.pre(a !== b)
      expect(idMaker(a, one)(number) < idMaker(b, other)(number)).toBe(a < b)
      if (number < MAX_SEQ) expect(idMaker(a, one)(number) < idMaker(a, one)(number + 1)).toBe(true)
    }))
  })
})

it('unfolds a run of ids as they were numbered', () => {
  const ids = idsOf({ ms: 5, random: 9, first: 250, count: 10 })
  expect(ids.map(seqOf)).toEqual([250, 251, 252, 253, 254, 255, 256, 257, 258, 259])
  expect(new Set(ids).size).toBe(10)
  expect(ids).toEqual([...ids].sort())
})

it.each([
  '', 'x', '01234567-89ab-7000-8000-00000000000', '01234567-89ab-7000-8000-0000000000010', '01234567-89ab-4000-8000-000000000001', '01234567-89ab-7000-c000-000000000001',
  '01234567-89AB-7000-8000-000000000001', '01234567-89ab-7000-8000-000000000001\n', ' 01234567-89ab-7000-8000-000000000001',
])('%j is no id of ours', (text) => { expect(seqOf(text)).toBeUndefined() })
