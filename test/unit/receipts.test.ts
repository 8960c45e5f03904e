/** SPEC §11: what a new worker says of the calls that a former one left unanswered. */
import { expect, it } from 'vitest'
import type { Unsettled } from '../../src/door/protocol.ts'
import { settledReplies } from '../../src/door/receipts.ts'
import { stored } from './support/database.ts'
import { engineOf, newEngine, settled } from './support/engine.ts'
import { withLocks } from './support/locks.ts'
import { push, Q } from './support/store.ts'
import { tabs } from './support/tabs.ts'

const call = (id: number, method: Unsettled['method'], by?: string): Unsettled => ({ id, method, ...(by !== undefined && { by }) })

/** A page whose worker stored push 1 and died before the answer; push 2 never reached it. */
async function left() {
  const { engine: { store: { connection, committer } } } = await engineOf('page')
  await committer.submit({ ...push('welcome'), call: { ids: [1], reply: (run) => run } })
  return { settle: (...calls: Unsettled[]) => settledReplies(connection, calls) }
}

it('what was applied is answered, and what was not is left to be made again', async () => {
  const { settle } = await left()
  const { replies, receipts } = await settle(call(1, 'push', 'page'), call(2, 'push', 'page'), call(3, 'push'))
  expect(replies).toMatchObject([[1, { value: { count: 1 } }]])
  expect(receipts).toMatchObject([[[1], { value: { count: 1 } }]])
})

it('where the receipts are forgotten, a call that must not be made twice is refused, and any other is made again', async () => {
  const { settle } = await left()
  const { replies } = await settle(call(1, 'push', 'gone'), call(2, 'get', 'gone'), call(3, 'waitFor', 'gone'), call(4, 'push'), call(5, 'ackMany', 'gone'))
  expect(replies.map(([id, reply]) => [id, 'error' in reply && reply.error.code])).toEqual([[1, 'WORKER_DIED'], [5, 'WORKER_DIED']])
})

it('an engine commits nothing before it has begun: the receipts of the former one would be gone', async () => {
  const { name } = newEngine({ connectivity: { online: true, hint() {}, watch(changed) { changed(true); return () => {} }, close() {} } })
  await settled()
  expect((await indexedDB.databases()).map((one) => one.name)).not.toContain(`holdfast:${name}`)
})

it('where the engine runs in the page, pushes that are under way when the lock of the page is lost are stored once', { timeout: 30_000 }, async () => {
  const locks = withLocks()
  for (let round = 0; round < 8; round++) {
    const { name, queues: [queue] } = await tabs()
    const pushes: Array<Promise<unknown>> = []
    for (let n = 0; n < 30; n++) {
      pushes.push(queue!.push(Q, 'welcome', n))
      if (n === 15 + round) locks.steal(locks.names.find((lock) => lock.includes('owner:page-'))!)
      await new Promise((resolve) => { setImmediate(resolve) })
    }
    await Promise.all(pushes)
    const kept = (await stored(name)).waiting.flatMap(({ jobs }) => jobs.map(({ data }) => data as number))
    expect(kept.sort((a, b) => a - b)).toEqual(Array.from({ length: 30 }, (_, n) => n))
    await queue!.close()
  }
})

it('what was done in parts is not made again when part of it may be done, if that would do it twice', async () => {
  const { settle } = await left()
  const { replies } = await settle(call(6, 'retryAll', 'page'), call(7, 'removeAll', 'page'), call(8, 'retryAll'))
  expect(replies).toMatchObject([[6, { error: { code: 'WORKER_DIED', message: expect.stringContaining('part of it') as string } }]])
})
