/** When a service worker has something to send. */
import { afterEach, expect, it } from 'vitest'
import type { HookName, HttpRequest } from '../../src/core/job.ts'
import type { NetworkEvent } from '../../src/core/network.ts'
import type { PushOptions } from '../../src/core/push.ts'
import * as operations from '../../src/store/operations.ts'
import { requestsDueAt } from '../../src/store/reads.ts'
import { forget, freshName } from './support/database.ts'
import { newJob, NOW, proofs, push, testStore, type TestStore } from './support/store.ts'

const HTTP: HttpRequest = { url: 'https://api.example/x', method: 'POST', headers: {}, okStatuses: [], idempotency: { header: 'Idempotency-Key', quoted: true } }
let name = ''
let store: TestStore
const open = (): void => { name = freshName(); store = testStore(name) }
afterEach(async () => { await store.close(); await forget(name) })
const request = (options: PushOptions = {}, http: HttpRequest = HTTP): Promise<unknown> => store.committer.submit({ run: (work) => operations.push(work, 'http', [newJob('fetch', 1, options, http)]) })
const due = (...hooks: HookName[]): Promise<number> => requestsDueAt(store.connection, NOW, hooks)
const claim = (): Promise<operations.Claim> => store.committer.submit({ needs: [['queues', 'http']], run: (work) => operations.claim(work, { queue: 'http', owner: 'page', leaseMs: 30_000, online: true, count: 1 }) })

it('never, where there are no requests, whatever else waits', async () => {
  open()
  expect(await due()).toBe(Infinity)
  await store.committer.submit(push('welcome'))
  await store.committer.submit(push('welcome', 1, { delayMs: 50 }))
  expect(await due()).toBe(Infinity)
})

it('now, when one waits or is being sent; never, when it has ended or its queue is paused', async () => {
  open()
  await request()
  expect(await due()).toBe(NOW)
  await store.committer.submit({ run: (work) => operations.pause(work, 'http') })
  expect(await due()).toBe(Infinity)
  await store.committer.submit({ run: (work) => operations.resume(work, 'http'), alone: true })
  const claimed = await claim()
  expect(await due()).toBe(NOW)
  await store.committer.submit({ ending: true, run: (work) => operations.settle(work, proofs(claimed).map((held) => ({ ...held, event: { type: 'complete' as const } }))) })
  expect(await due()).toBe(Infinity)
})

it('when a delayed one is due, or its closed origin may be tried', async () => {
  open()
  await request({ delayMs: 5000 })
  expect(await due()).toBe(NOW + 5000)
  await request()
  const claimed = await claim()
  await store.committer.submit({ ending: true, run: (work) => operations.settle(work, proofs(claimed).map((held) => ({ ...held, event: { type: 'release' as const }, origin: { closed: { reason: 'down', afterMs: 3000 } } }))) })
  expect(await due()).toBe(NOW + 3000)
})

it('never here, for those that need a hook that is elsewhere, or another user', async () => {
  open()
  await request({}, { ...HTTP, hooks: ['beforeSend'] })
  expect([await due(), await due('classify'), await due('beforeSend', 'classify')]).toEqual([Infinity, Infinity, NOW])
  await store.committer.submit({ alone: true, run: (work) => operations.setUser(work, 'ann') })
  await request()
  await store.committer.submit({ alone: true, run: (work) => operations.setUser(work, undefined) })
  expect(await due()).toBe(Infinity)
})

it('never, while its credentials are denied, or nobody here can refresh them', async () => {
  open()
  await request({}, { ...HTTP, hooks: ['onUnauthorized'] })
  const claimed = await claim()
  await store.committer.submit({ ending: true, run: (work) => operations.settle(work, proofs(claimed).map((held) => ({ ...held, event: { type: 'fail' as const, error: { name: 'HttpError', message: '401' }, owner: 'page', random: 0 }, origin: { unauthorized: true as const } }))) })
  expect([await due(), await due('onUnauthorized')]).toEqual([Infinity, NOW])
  await store.committer.submit({ alone: true, run: (work) => operations.takeRefreshes(work, 'other') })
  expect(await due('onUnauthorized')).toBe(NOW + 60_000)
  await store.committer.submit({ alone: true, run: (work) => work.tx.all('credentials').then(([row]) => operations.refreshed(work, { key: row!.origin, ticket: row!.by!.ticket }, 'denied')) })
  expect(await due('onUnauthorized')).toBe(Infinity)
  await store.committer.submit({ alone: true, run: (work) => operations.resume(work, 'http') })
  expect(await due('onUnauthorized')).toBe(NOW)
})

it('not before the probe may be asked again, while it says that there is no network', async () => {
  open()
  await request()
  const tell = (event: NetworkEvent): Promise<unknown> => store.committer.submit({ alone: true, run: (work) => operations.networkEvent(work, event) })
  await tell({ type: 'sign' })
  await tell({ type: 'ask', owner: 'page' })
  await tell({ type: 'answer', owner: 'page', reason: 'a portal', random: 0 })
  expect(await due()).toBe(NOW + 1000)
})
