import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { askAt, forgottenAt, portalIn, turnNetwork, type Network, type NetworkEvent } from '../../src/core/network.ts'
import { openQueue } from '../../src/index.ts'
import type { OpenOptions } from '../../src/queue.ts'
import { gateEvent } from '../../src/store/verbs/gates.ts'
import * as operations from '../../src/store/operations.ts'
import { forget, freshName } from './support/database.ts'
import { newJob, NOW as T, testStore } from './support/store.ts'
import 'fake-indexeddb/auto'

const NOW = 1_000_000
const after = (...events: ReadonlyArray<NetworkEvent | readonly [NetworkEvent, number]>): Network | undefined =>
  events.reduce<Network | undefined>((held, one) => { const [event, now] = 'type' in one ? [one, NOW] : one; return turnNetwork(held, event, now) }, undefined)
const sign: NetworkEvent = { type: 'sign' }
const ask: NetworkEvent = { type: 'ask', owner: 'page' }
const no: NetworkEvent = { type: 'answer', owner: 'page', reason: 'a portal', random: 0 }
const yes: NetworkEvent = { type: 'answer', owner: 'page', random: 0 }

describe('the network', () => {
  it('that nobody doubts is there', () => { expect(after(ask, yes, no, { type: 'left', owner: 'page' }, { type: 'look' })).toBeUndefined() })

  it.each<NetworkEvent>([sign, { type: 'unanswered' }])('is doubted after $type, until the probe says yes', (why) => {
    expect(after(why)).toEqual({ state: 'doubt', failures: 0, retryAt: NOW })
    expect(after(why, ask)).toMatchObject({ state: 'doubt', by: { owner: 'page', at: NOW } })
    expect(after(why, ask, yes)).toBeUndefined()
    expect(after(why, ask, no)).toEqual({ state: 'down', failures: 1, retryAt: NOW + 1000, reason: 'a portal' })
  })

  it('is asked for ever more rarely while the probe says no, at most every minute, and less by a fifth at random', () => {
    let now = NOW
    let held = after(sign)
    const waits = Array.from({ length: 9 }, () => {
      held = turnNetwork(turnNetwork(held, ask, now), no, now)
      const wait = askAt(held!, 'page', now) - now
      now += wait
      return wait / 1000
    })
    expect(waits).toEqual([1, 2, 4, 8, 16, 32, 60, 60, 60])
    expect(after(sign, ask, { ...no, random: 0.5 })).toMatchObject({ retryAt: NOW + 900 })
  })

  it('is asked for at once on a sign that it may be back, and then from the shortest wait on', () => {
    const down = after(sign, ask, no, [ask, NOW + 1000], [no, NOW + 1000], [sign, NOW + 1001])
    expect(down).toMatchObject({ state: 'down', failures: 0, retryAt: NOW + 1001 })
    expect(after(sign, ask, no, { type: 'unanswered' })).toEqual(after(sign, ask, no))
  })

  it.each<NetworkEvent>([sign, { type: 'unanswered' }])('that is doubted anew by $type while it is asked for is asked for once more, at once', (why) => {
    for (const told of [yes, no]) {
      const again = after(sign, ask, [why, NOW + 5], [told, NOW + 10])
      expect(again).toEqual({ state: 'doubt', failures: 0, retryAt: NOW + 10 })
      expect(turnNetwork(turnNetwork(again, ask, NOW + 10), yes, NOW + 11)).toBeUndefined()
    }
  })

  it('is asked for by one, and by another once that one is gone, or silent for twice as long as a probe has', () => {
    const taken = after(sign, ask)
    const other: NetworkEvent = { type: 'ask', owner: 'other' }
    expect(turnNetwork(taken, other, NOW + 19_999)).toBe(taken)
    expect(turnNetwork(taken, other, NOW + 20_000)).toMatchObject({ by: { owner: 'other' } })
    expect(turnNetwork(turnNetwork(taken, { type: 'left', owner: 'page' }, NOW), other, NOW)).toMatchObject({ by: { owner: 'other' } })
    expect(turnNetwork(taken, { type: 'left', owner: 'other' }, NOW)).toBe(taken)
    expect(turnNetwork(turnNetwork(taken, other, NOW + 20_000), no, NOW + 20_001)).toMatchObject({ state: 'doubt' })
  })

  it('waits for no clock that was set back', () => {
    for (const held of [after(sign), after(sign, ask, no)]) expect(askAt(turnNetwork(held, ask, NOW - 1_000_000)!, 'other', NOW - 1_000_000)).toBeGreaterThan(NOW - 1_000_000)
    for (const held of [after(sign), after(sign, ask), after(sign, ask, no)]) expect([askAt(held!, 'other', NOW - 1_000_000), forgottenAt(held!, NOW - 1_000_000)]).toEqual([NOW - 1_000_000, NOW - 1_000_000])
  })

  it('that nobody asks for any more is not doubted by those that cannot ask', () => {
    for (const held of [after(sign), after(sign, ask), after(sign, ask, no)]) {
      const at = forgottenAt(held!, NOW)
      expect([turnNetwork(held, { type: 'look' }, at - 1), turnNetwork(held, { type: 'look' }, at)]).toEqual([held, undefined])
    }
  })

  const event: fc.Arbitrary<NetworkEvent> = fc.oneof(
    fc.constantFrom<NetworkEvent>(sign, { type: 'unanswered' }, { type: 'look' }),
    fc.record({ type: fc.constantFrom('ask' as const, 'left' as const), owner: fc.constantFrom('page', 'other') }),
    fc.record({ type: fc.constant('answer' as const), owner: fc.constantFrom('page', 'other'), random: fc.double({ min: 0, max: 0.999, noNaN: true }) }, {}),
    fc.record({ type: fc.constant('answer' as const), owner: fc.constantFrom('page', 'other'), reason: fc.constant('no'), random: fc.double({ min: 0, max: 0.999, noNaN: true }) }),
  )
  /** Also by a clock that is set back. */
  const lives = fc.array(fc.tuple(event, fc.integer({ min: -100_000, max: 100_000 })))
  const live = (steps: ReadonlyArray<readonly [NetworkEvent, number]>): readonly [Network | undefined, number] => {
    let now = NOW
    let held: Network | undefined
    for (const [what, ms] of steps) { now += ms; held = turnNetwork(held, what, now) }
    return [held, now]
  }

  it('never keeps anybody waiting for good once it is there, whatever happened', () => {
    fc.assert(fc.property(lives, (steps) => {
      const [held, now] = live(steps)
      if (!held) return
      const at = askAt(held, 'third', now)
      expect(at).toBeLessThanOrEqual(now + 60_000)
      const asked = turnNetwork(held, { type: 'ask', owner: 'third' }, Math.max(at, now))
      expect(asked?.by?.owner).toBe('third')
      expect(turnNetwork(asked, { type: 'answer', owner: 'third', random: 0 }, Math.max(at, now))).toBeUndefined()
    }))
  })

  it('is not doubted for more than three minutes where nobody asks', () => {
    fc.assert(fc.property(lives, (steps) => {
      const [held, now] = live(steps)
      if (!held) return
      const at = forgottenAt(held, now)
      expect(at).toBeLessThanOrEqual(now + 180_000)
      expect(turnNetwork(held, { type: 'look' }, Math.max(at, now))).toBeUndefined()
    }))
  })

  it('is asked for by one at a time', () => {
    fc.assert(fc.property(lives, (steps) => {
      let now = NOW
      let held: Network | undefined
      for (const [what] of steps) {
        const next = turnNetwork(held, what, now++)
        const [before, by] = [held?.by, next?.by]
        if (before && by && before.owner !== by.owner) expect(now - before.at).toBeGreaterThan(20_000)
        held = next
      }
    }))
  })
})

it('when it is back, closed origins are tried at once, and all queues look; when it was only doubted, origins stay as they are', async () => {
  const name = freshName()
  const store = testStore(name)
  const tell = (event: NetworkEvent) => store.committer.submit({ alone: true, run: (work) => operations.networkEvent(work, event) })
  const gate = () => store.committer.submit({ run: (work) => work.get('origins', 'https://api.example') })
  await store.committer.submit({ run: async (work) => { await gateEvent(work, 'https://api.example', { type: 'trouble', reason: 'no answer', random: 0 }); await operations.push(work, 'emails', [newJob('a')]) } })
  const closed = await gate()
  expect(closed?.retryAt).toBeGreaterThan(T)
  for (const event of [sign, ask, yes]) await tell(event)
  expect([...store.heard.at(-1)!.wakes]).toEqual(['emails'])
  expect(await gate()).toEqual(closed)
  for (const event of [sign, ask, no]) await tell(event)
  expect(store.heard.at(-1)!.events).toMatchObject([{ type: 'offline', reason: 'a portal' }])
  expect(await gate()).toEqual(closed)
  for (const event of [sign, ask, yes]) await tell(event)
  expect(store.heard.findLast(({ events }) => events.length > 0)!.events).toMatchObject([{ type: 'online' }])
  expect((await gate())?.retryAt).toBe(T)
  await store.close()
  await forget(name)
})

describe('an answer to a probe', () => {
  it.each([
    [{ status: 204, redirected: false, contentType: '' }, undefined], [{ status: 200, redirected: false, contentType: 'application/json' }, undefined], [{ status: 200, redirected: false, contentType: 'text/plain' }, undefined],
    [{ status: 200, redirected: false, contentType: 'text/html; charset=utf-8' }, /web page/], [{ status: 200, redirected: false, contentType: 'application/xhtml+xml' }, /web page/],
    [{ status: 0, redirected: true, contentType: '' }, /redirected/], [{ status: 0, redirected: false, contentType: '' }, /the answer was 0/],
    [{ status: 511, redirected: false, contentType: '' }, /511/], [{ status: 304, redirected: false, contentType: '' }, /304/], [{ status: 404, redirected: false, contentType: 'text/plain' }, /404/],
  ])('%j', (answer, says) => {
    if (says) expect(portalIn(answer)).toMatch(says)
    else expect(portalIn(answer)).toBeUndefined()
  })
})

it.each<[unknown, string]>([
  [{ network: { probe: 5 } }, 'options.network.probe'], [{ network: { probe: true } }, 'options.network.probe'], [{ network: { probe: null } }, 'options.network.probe'], [{ network: { probe: {} } }, 'options.network.probe'],
  [{ network: { probe: '/no/page/here' } }, 'options.network.probe'], [{ network: { probe: 'ftp://api.example/' } }, 'options.network.probe'], [{ network: { probes: '/x' } }, 'options.network.probes'], [{ network: '/x' }, 'options.network'],
  [{ http: { beforeSend: 5 } }, 'options.http.beforeSend'], [{ http: { before() {} } }, 'options.http.before'], [{ durability: 'lax' }, 'options.durability'], [{ net: {} }, 'options.net'],
])('%j is refused', async (options, field) => {
  await expect(openQueue(freshName(), { ...options as OpenOptions, worker: false })).rejects.toMatchObject({ code: 'VALIDATION', details: { field } })
})
