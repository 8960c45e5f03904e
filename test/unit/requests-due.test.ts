/** When a service worker has something to send. */
import { afterEach, expect, it } from 'vitest'
import type { HttpRequest } from '../../src/core/job.ts'
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
const request = (options: PushOptions = {}): Promise<unknown> => store.committer.submit({ run: (work) => operations.push(work, 'http', [newJob('fetch', 1, options, HTTP)]) })
const due = (): Promise<number> => requestsDueAt(store.connection, NOW)
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
  await store.committer.submit({ run: (work) => operations.resume(work, 'http') })
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
