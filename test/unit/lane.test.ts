/** SPEC §4: a realm claims only what it can run; a lane is what a job needs to run. */
import { expect, it } from 'vitest'
import { canRun, laneOf, originOf, parseLane } from '../../src/core/lane.ts'

const http = (url: string) => ({ url, method: 'GET', headers: {}, idempotency: false as const, okStatuses: [] })

it('a job needs a handler of its name', () => {
  expect(laneOf({ name: 'welcome-email.v2' })).toBe('welcome-email.v2')
  expect(parseLane('welcome-email.v2')).toEqual({ name: 'welcome-email.v2' })
})

it('a request needs its origin too', () => {
  const lane = laneOf({ name: 'fetch', http: http('https://api.example:8443/v1/users?q=a|b#x') })
  expect(parseLane(lane)).toEqual({ name: 'fetch', origin: 'https://api.example:8443' })
})

it('requests to one origin share a lane; others have their own', () => {
  const lane = (url: string): string => laneOf({ name: 'fetch', http: http(url) })
  expect(lane('https://a.example/x')).toBe(lane('https://a.example/y/z?q'))
  expect(lane('https://A.example/x')).toBe(lane('https://a.example'))
  expect(new Set(['https://a.example/', 'http://a.example/', 'https://a.example:444/', 'https://b.example/'].map(lane)).size).toBe(4)
})

it('a request needs the hooks it was pushed under, and a job of somebody’s that they are the user', () => {
  const request = { ...http('https://a.example/x'), hooks: ['beforeSend', 'onUnauthorized'] as const }
  const jobs: ReadonlyArray<Parameters<typeof laneOf>[0]> = [{ name: 'a', http: request }, { name: 'a', http: request, user: 'a|b' }, { name: 'a', http: http('https://a.example'), user: '' }, { name: 'a', user: '|' }]
  for (const job of jobs) {
    const { name, origin, hooks, user } = parseLane(laneOf(job))
    expect({ name, origin, hooks, user }).toEqual({ name: 'a', origin: job.http && 'https://a.example', hooks: job.http?.hooks, user: job.user })
  }
  const lane = parseLane(laneOf({ name: 'a', http: request, user: 'ann' }))
  expect(canRun({ kind: 'requests', hooks: ['beforeSend', 'classify', 'onUnauthorized'] }, lane, 'ann')).toBe(true)
  expect(canRun({ kind: 'requests', hooks: ['beforeSend', 'classify', 'onUnauthorized'] }, lane, 'bob')).toBe(false)
  expect(canRun({ kind: 'requests', hooks: ['beforeSend'] }, lane, 'ann')).toBe(false)
  expect(canRun({ kind: 'handlers' }, lane, 'ann')).toBe(false)
  expect(canRun({ kind: 'handlers', names: ['b'] }, parseLane('a'), undefined)).toBe(false)
  expect([canRun(undefined, lane, 'ann'), canRun(undefined, lane, undefined)]).toEqual([true, false])
})

it.each([
  ['https://a.example', 'https://a.example'], ['https://a.example/', 'https://a.example'], ['https://a.example?x=/y', 'https://a.example'], ['https://a.example#/y', 'https://a.example'],
  ['http://[::1]:8080/x', 'http://[::1]:8080'],
])('the origin of %s is %s', (url, origin) => { expect(originOf(url)).toBe(origin) })
