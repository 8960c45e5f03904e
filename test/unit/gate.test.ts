import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { allowance, turn, type Gate, type GateEvent } from '../../src/core/gate.ts'

const ORIGIN = 'https://api.example'
const NOW = 1_000_000
const trouble = (more: Partial<Extract<GateEvent, { type: 'trouble' }>> = {}): GateEvent => ({ type: 'trouble', reason: '503', random: 0, ...more })
const after = (...events: ReadonlyArray<readonly [GateEvent, number]>): Gate | undefined =>
  events.reduce<Gate | undefined>((gate, [event, now]) => turn(gate, ORIGIN, event, now), undefined)

describe('a gate', () => {
  it('that nothing is known of is open', () => { expect(allowance(undefined, NOW)).toBe(Infinity) })

  it('closes for a second, then for twice as long each time, at most 5 min', () => {
    let now = NOW
    let gate: Gate | undefined
    const waits = Array.from({ length: 12 }, () => {
      gate = turn(gate, ORIGIN, trouble(), now)
      const wait = gate!.retryAt - now
      now = gate!.retryAt
      return wait / 1000
    })
    expect(waits).toEqual([1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300, 300])
  })

  it('takes requests that were out together as one trouble', () => {
    expect(after([trouble(), NOW], [trouble(), NOW + 5], [trouble(), NOW + 9])).toMatchObject({ failures: 1, retryAt: NOW + 1000 })
  })

  it('keeps the longest wait that a server named', () => {
    expect(after([trouble(), NOW], [trouble({ afterMs: 7000 }), NOW + 5])).toMatchObject({ retryAt: NOW + 7005, told: true })
    expect(after([trouble({ afterMs: 7000 }), NOW], [trouble(), NOW + 5])).toMatchObject({ retryAt: NOW + 7000, told: true })
  })

  it('is tried at once when the network may be back, but not before the time that its server named', () => {
    expect(allowance(after([trouble(), NOW], [{ type: 'hint' }, NOW + 5]), NOW + 5)).toBe(1)
    expect(allowance(after([trouble({ afterMs: 2000 }), NOW], [{ type: 'hint' }, NOW + 5]), NOW + 5)).toBe(0)
  })

  it('lets one through, and no other before that one has ended', () => {
    const asked = after([trouble(), NOW], [{ type: 'asked', count: 1 }, NOW + 1000])
    expect(allowance(asked, NOW + 1000)).toBe(0)
    expect(allowance(turn(asked, ORIGIN, { type: 'ended' }, NOW + 1010), NOW + 1010)).toBe(1)
    expect(allowance(turn(asked, ORIGIN, { type: 'answered' }, NOW + 1010), NOW + 1010)).toBe(2)
  })

  it('comes back by steps: twice as many each time, then all', () => {
    let gate = after([trouble(), NOW], [{ type: 'answered' }, NOW + 1000])
    let now = NOW + 1000
    const steps: number[][] = []
    while (gate && steps.length < 10) {
      const count = allowance(gate, now)
      steps.push([now - NOW - 1000, count])
      gate = turn(gate, ORIGIN, { type: 'asked', count }, now)
      expect(allowance(gate, now + 349)).toBe(0)
      for (let n = 0; n < count; n++) gate = turn(gate, ORIGIN, { type: 'answered' }, now + 5)
      now += 350
    }
    expect(steps).toEqual([[0, 2], [350, 4], [700, 8], [1050, 16], [1400, 32]])
    expect(gate).toBeUndefined()
  })

  it('that has few requests is open some time after it came back', () => {
    const back = after([trouble(), NOW], [{ type: 'answered' }, NOW + 1000], [{ type: 'asked', count: 1 }, NOW + 1001], [{ type: 'answered' }, NOW + 1100])
    expect(allowance(back, NOW + 1100)).toBe(1)
    expect(turn(back, ORIGIN, { type: 'answered' }, NOW + 4001)).toBeUndefined()
  })

  it('that comes back and is in trouble again closes anew', () => {
    expect(after([trouble(), NOW], [{ type: 'answered' }, NOW + 1000], [trouble(), NOW + 1001])).toMatchObject({ failures: 1, allow: 1, retryAt: NOW + 2001 })
    expect(after([trouble(), NOW], [{ type: 'answered' }, NOW + 1000], [trouble(), NOW + 1001])).not.toHaveProperty('left')
  })

  it('begins its wait anew when the clock was set back', () => {
    expect(after([trouble({ afterMs: 7000 }), NOW], [{ type: 'look' }, NOW - 100_000])).toMatchObject({ retryAt: NOW - 93_000 })
    expect(after([trouble({ afterMs: 7000 }), NOW], [{ type: 'look' }, NOW + 10])).toMatchObject({ retryAt: NOW + 7000 })
  })

  it('never stays shut for good, whatever happens', () => {
    const event: fc.Arbitrary<GateEvent> = fc.oneof(
      fc.record({ type: fc.constant('trouble' as const), reason: fc.constant(''), random: fc.double({ min: 0, max: 0.999, noNaN: true }) }),
      fc.constantFrom({ type: 'answered' as const }, { type: 'ended' as const }, { type: 'hint' as const }),
      fc.record({ type: fc.constant('asked' as const), count: fc.integer({ min: 1, max: 8 }) }),
    )
    fc.assert(fc.property(fc.array(fc.tuple(event, fc.nat(5000))), (steps) => {
      let now = NOW
      let gate: Gate | undefined
      let out = 0
      for (const [what, ms] of steps) {
        now += ms
        if (what.type === 'asked') { if (allowance(gate, now) < what.count) continue; out += what.count }
        else if (what.type !== 'hint') out = Math.max(0, out - 1)
        gate = turn(gate, ORIGIN, what, now)
      }
      for (; out > 0; out--) gate = turn(gate, ORIGIN, { type: 'ended' }, now)
      expect(allowance(gate, now + 300_000)).toBeGreaterThan(0)
    }))
  })
})
