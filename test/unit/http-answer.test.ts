/** SPEC §9: what an HTTP answer means for its job. */
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { classify, defaultOkStatuses, retryAfterMs } from '../../src/core/http-answer.ts'

const NOW = Date.UTC(2026, 0, 31, 12, 0, 0)
const kindOf = (status: number, okStatuses: readonly number[] = [], unknownOutcome = false): string => classify({ status }, okStatuses, unknownOutcome, NOW, Date.parse).kind

// ---- the table ----

const TABLE = {
  done: [200, 201, 202, 204, 206, 226, 299],
  retry: [408, 500, 501, 505, 507, 508, 511, 599],
  origin: [429, 502, 503, 504],
  dead: [300, 301, 302, 304, 307, 308, 400, 402, 403, 404, 405, 406, 409, 410, 412, 413, 415, 418, 422, 423, 425, 428, 431, 451],
} as const

describe('the table', () => {
  it.each(Object.entries(TABLE).flatMap(([kind, statuses]) => statuses.map((status) => [status, kind] as const)))('%i → %s', (status, kind) => { expect(kindOf(status)).toBe(kind) })

  it('409 is still being processed when an earlier outcome is unknown', () => {
    expect(kindOf(409, [], true)).toBe('retry')
    expect(kindOf(422, [], true)).toBe('dead')
  })

})

describe('okStatuses', () => {
  it('complete whatever the table says', () => { for (const status of [301, 404, 409, 429, 500, 503]) expect(kindOf(status, [status])).toBe('done') })
  it('say that what is to be deleted is gone', () => {
    expect(defaultOkStatuses('DELETE')).toEqual([404, 410])
    for (const method of ['GET', 'POST', 'PUT', 'PATCH']) expect(defaultOkStatuses(method)).toEqual([])
  })
})

it('every status has one meaning', () => {
  fc.assert(fc.property(fc.integer({ min: 200, max: 599 }), fc.boolean(), (status, unknown) => { expect(['done', 'retry', 'origin', 'unauthorized', 'dead']).toContain(kindOf(status, [], unknown)) }))
  expect([kindOf(401), kindOf(401, [401])]).toEqual(['unauthorized', 'done'])
})

// ---- Retry-After ----

describe('Retry-After', () => {
  it.each([429, 503, 500, 408])('of %i overrides the backoff', (status) => { expect(classify({ status, retryAfter: '7' }, [], false, NOW, Date.parse)).toMatchObject({ afterMs: 7000 }) })
  it('says of a 409 that it may be tried again', () => {
    expect(classify({ status: 409, retryAfter: '1' }, [], false, NOW, Date.parse)).toEqual({ kind: 'retry', afterMs: 1000 })
    for (const status of [400, 422, 425]) expect(classify({ status, retryAfter: '1' }, [], false, NOW, Date.parse)).toEqual({ kind: 'dead' })
  })
  it.each(['0', 'Sat, 31 Jan 2026 11:00:00 GMT'])('of no time, as %s, leaves the wait to the backoff', (retryAfter) => {
    for (const status of [409, 408, 500]) expect(classify({ status, retryAfter }, [], false, NOW, Date.parse)).toEqual({ kind: 'retry' })
    for (const status of [429, 503]) expect(classify({ status, retryAfter }, [], false, NOW, Date.parse)).toEqual({ kind: 'origin' })
  })
  it('counts for a 409 that is tried again', () => { expect(classify({ status: 409, retryAfter: '7' }, [], true, NOW, Date.parse)).toEqual({ kind: 'retry', afterMs: 7000 }) })
  it('is not there when it was not sent', () => { for (const status of [429, 500]) expect(classify({ status }, [], false, NOW, Date.parse)).not.toHaveProperty('afterMs') })

  it.each([
    ['120', 120_000], ['0', 0], [' 3 ', 3000], ['99999999999', 86_400_000],
    ['Sat, 31 Jan 2026 12:00:30 GMT', 30_000], ['Sat, 31 Jan 2026 12:00:00 GMT', 0], ['Sat, 31 Jan 2026 11:00:00 GMT', 0], ['Sun, 01 Feb 2026 00:00:00 GMT', 43_200_000], ['Thu, 31 Jan 2036 12:00:00 GMT', 86_400_000],
  ])('%j is %i ms', (header, ms) => { expect(retryAfterMs(header, NOW, Date.parse)).toBe(ms) })

  it.each([undefined, '', ' ', '-5', '1.5', '1e3', 'soon', '0x10', 'Infinity', 'Sat, 31 Foo 2026 12:00:30 GMT', '2026-01-31T12:00:30Z', 'Sat, 31 Jan 2026 12:00:30 CET', 'Sat, 31 Jan 26 12:00:30 GMT'])('%j says nothing', (header) => {
    expect(retryAfterMs(header, NOW, Date.parse)).toBeUndefined()
  })

  it('reads any date as the platform writes it', () => {
    fc.assert(fc.property(fc.date({ min: new Date('1970-01-01'), max: new Date('9999-12-31'), noInvalidDate: true }), fc.integer({ min: 0, max: 86_399 }), (date, seconds) => {
      const at = Math.floor(date.getTime() / 1000) * 1000
      expect(retryAfterMs(new Date(at).toUTCString(), at - seconds * 1000, Date.parse)).toBe(seconds * 1000)
    }))
  })
})
