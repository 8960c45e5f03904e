import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { credentialsAllow, credentialsKey, mayRefresh, originOfKey, refreshAt, turnCredentials, type Credentials, type CredentialsEvent } from '../../src/core/credentials.ts'

const ORIGIN = 'https://api.example'
const NOW = 1_000_000
const after = (...events: ReadonlyArray<CredentialsEvent | readonly [CredentialsEvent, number]>): Credentials | undefined =>
  events.reduce<Credentials | undefined>((held, one) => { const [event, now] = 'type' in one ? [one, NOW] : one; return turnCredentials(held, ORIGIN, event, now) }, undefined)
const refused = (box: number, refreshable = true): CredentialsEvent => ({ type: 'refused', box, refreshable })
const refresh: CredentialsEvent = { type: 'refresh', owner: 'page', ticket: 1 }
const end = (type: 'denied' | 'delayed', ticket = 1): CredentialsEvent => ({ type, ticket })
const refreshed = (number: number, ticket = 1): CredentialsEvent => ({ type: 'refreshed', number, ticket })

describe('the credentials of an origin', () => {
  it('that has refused nobody let all through', () => { expect(credentialsAllow(undefined)).toBe(Infinity) })

  it('let nobody through once they are refused, until somebody has refreshed them; then one, and once that is answered all', () => {
    expect(credentialsAllow(after(refused(1)))).toBe(0)
    expect(credentialsAllow(after(refused(1), refresh))).toBe(0)
    const fresh = after(refused(1), refresh, refreshed(5))
    expect(credentialsAllow(fresh)).toBe(1)
    const asked = turnCredentials(fresh, ORIGIN, { type: 'asked' }, NOW)
    expect(credentialsAllow(asked)).toBe(0)
    expect(credentialsAllow(turnCredentials(asked, ORIGIN, { type: 'ended', box: 6 }, NOW))).toBe(1)
    expect(credentialsAllow(turnCredentials(asked, ORIGIN, { type: 'answered', box: 6 }, NOW))).toBe(Infinity)
  })

  it('are refreshed by one, however many were refused', () => {
    const taken = after(refused(1), refused(2), refresh)
    expect(mayRefresh(after(refused(1), refused(2))!, NOW)).toBe(true)
    expect(mayRefresh(taken!, NOW)).toBe(false)
    expect(turnCredentials(taken, ORIGIN, { type: 'refresh', owner: 'other', ticket: 2 }, NOW)).toBe(taken)
  })

  it('are refreshed by another when the first one is gone, or silent for a minute', () => {
    const taken = after(refused(1), refresh)
    expect(mayRefresh(turnCredentials(taken, ORIGIN, { type: 'left', owner: 'page' }, NOW)!, NOW)).toBe(true)
    expect(turnCredentials(taken, ORIGIN, { type: 'left', owner: 'other' }, NOW)).toBe(taken)
    expect([mayRefresh(taken!, NOW + 59_999), mayRefresh(taken!, NOW + 60_000), refreshAt(taken!, NOW)]).toEqual([false, true, NOW + 60_000])
  })

  it('once fresh, are not judged by requests that were claimed before', () => {
    const fresh = after(refused(1), refresh, refreshed(5))
    expect(turnCredentials(fresh, ORIGIN, refused(4), NOW)).toBe(fresh)
    expect(turnCredentials(fresh, ORIGIN, { type: 'answered', box: 4 }, NOW)).toBe(fresh)
    expect(turnCredentials(fresh, ORIGIN, refused(6), NOW)).toMatchObject({ state: 'stale' })
  })

  it('are refreshed by whoever was last to take that on: what comes of an earlier refresh is too late', () => {
    const taken = after(refused(1), refresh, [{ type: 'refresh', owner: 'other', ticket: 2 }, NOW + 60_000])
    for (const late of [end('denied'), end('delayed'), refreshed(4)]) expect(turnCredentials(taken, ORIGIN, late, NOW + 60_001)).toBe(taken)
    expect(turnCredentials(taken, ORIGIN, refreshed(5, 2), NOW + 60_100)).toMatchObject({ state: 'fresh', since: 5 })
  })

  it('of who signs in are good, whatever those before were; what was claimed before and is refused says nothing of them', () => {
    for (const before of [after(refused(1)), after(refused(1, false)), after(refused(1), refresh)]) {
      const renewed = turnCredentials(before, ORIGIN, { type: 'renewed', number: 7 }, NOW)
      expect(credentialsAllow(renewed)).toBe(Infinity)
      expect(turnCredentials(renewed, ORIGIN, refused(6), NOW)).toBe(renewed)
      expect(turnCredentials(renewed, ORIGIN, end('denied'), NOW)).toBe(renewed)
    }
  })

  it('that are tried are not tried by another, though one from before ends', () => {
    const asked = after(refused(1), refresh, refreshed(5), { type: 'asked' })
    expect(turnCredentials(asked, ORIGIN, { type: 'ended', box: 4 }, NOW)).toBe(asked)
  })

  it('are told apart by whether anybody can refresh them', () => {
    expect(new Set([credentialsKey({ origin: ORIGIN }), credentialsKey({ origin: ORIGIN, hooks: ['beforeSend'] }), credentialsKey({ origin: ORIGIN, hooks: ['beforeSend', 'onUnauthorized'] })])).toEqual(new Set([`${ORIGIN}|`, ORIGIN]))
    expect([originOfKey(`${ORIGIN}|`), originOfKey(ORIGIN)]).toEqual([ORIGIN, ORIGIN])
  })

  it('that help nobody are refreshed ever more rarely', () => {
    let now = NOW
    let held = after(refused(1))
    const waits = Array.from({ length: 11 }, (_, n) => {
      held = turnCredentials(turnCredentials(turnCredentials(held, ORIGIN, refresh, now), ORIGIN, refreshed(n), now), ORIGIN, refused(n), now)
      const wait = refreshAt(held!, now) - now
      now += wait
      return wait / 1000
    })
    expect(waits).toEqual([1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300])
  })

  it('wait for no clock that was set back', () => {
    for (const held of [after(refused(1)), after(refused(1), refresh), after(refused(1), refresh, end('delayed'))]) expect(mayRefresh(held!, NOW - 1_000_000)).toBe(true)
  })

  it('that could not be had for want of a network are asked for again', () => {
    expect(after(refused(1), refresh, end('delayed'))).toMatchObject({ state: 'stale', retryAt: NOW + 1000, failures: 1 })
  })

  it('that cannot be had, or that nobody may ask for, stay denied', () => {
    for (const denied of [after(refused(1), refresh, end('denied')), after(refused(1, false))]) {
      expect(denied).toMatchObject({ state: 'denied' })
      expect([credentialsAllow(denied), mayRefresh(denied!, NOW), refreshAt(denied!, NOW)]).toEqual([0, false, Infinity])
      expect(turnCredentials(denied, ORIGIN, refused(9), NOW)).toBe(denied)
    }
  })

  it('never keep anybody waiting for good unless they are denied, whatever happens', () => {
    const event: fc.Arbitrary<CredentialsEvent> = fc.oneof(
      fc.record({ type: fc.constant('refused' as const), box: fc.nat(9), refreshable: fc.constant(true) }), fc.record({ type: fc.constant('answered' as const), box: fc.nat(9) }),
      fc.constantFrom<CredentialsEvent>({ type: 'asked' }, { type: 'ended', box: 5 }, { type: 'renewed', number: 3 }, end('delayed'), refresh, { type: 'refresh', owner: 'other', ticket: 2 }, { type: 'left', owner: 'page' }), fc.record({ type: fc.constant('refreshed' as const), number: fc.nat(9), ticket: fc.nat(2) }),
    )
    fc.assert(fc.property(fc.array(fc.tuple(event, fc.nat(5000))), (steps) => {
      let now = NOW
      let held: Credentials | undefined
      for (const [what, ms] of steps) { now += ms; held = turnCredentials(held, ORIGIN, what, now) }
      held = turnCredentials(held, ORIGIN, { type: 'ended', box: 99 }, now)
      if (credentialsAllow(held) > 0) return
      const at = refreshAt(held!, now)
      expect(at).toBeLessThanOrEqual(now + 300_000)
      held = turnCredentials(turnCredentials(held, ORIGIN, { type: 'refresh', owner: 'page', ticket: 5 }, Math.max(at, now)), ORIGIN, refreshed(10, 5), Math.max(at, now))
      expect(credentialsAllow(held)).toBe(1)
    }))
  })
})
