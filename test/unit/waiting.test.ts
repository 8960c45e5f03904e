/** Who has waited is forgotten: an app may wait for every job of a long day. */
import { getEventListeners } from 'node:events'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { expect, it } from 'vitest'
import type { Job } from '../../src/core/job.ts'
import type { Client } from '../../src/door/client.ts'
import { eventStream } from '../../src/door/event-stream.ts'
import { waitUntil } from '../../src/door/wait-for.ts'
import { createWaiters } from '../../src/engine/waiters.ts'
import { systemClock } from '../../src/platform/clock.ts'
import type { Connection } from '../../src/store/connection.ts'

setFlagsFromString('--expose-gc')
const gc = runInNewContext('gc') as () => void

/** Whether nothing holds what `make` made, once it has come to its end. */
async function letsGo(make: () => Promise<object>): Promise<boolean> {
  const held = new WeakRef(await make())
  for (let n = 0; n < 10 && held.deref(); n++) {
    await new Promise((resolve) => { setTimeout(resolve, 10) })
    gc()
  }
  return held.deref() === undefined
}

const broken = (): Connection => { throw new Error('no database') }
const jobOf = (id: string): Job => ({ id } as Job)

it('an engine lets go of a job that was waited for', async () => {
  const waiters = createWaiters(broken, systemClock, () => {})
  expect(await letsGo(async () => {
    const waited = waiters.wait('a', new AbortController().signal)
    waiters.ended(jobOf('a'))
    return waited
  })).toBe(true)
  expect(waiters.any).toBe(false)
})

it('who waits is told when the engine closes, and nobody waits after that', async () => {
  const waiters = createWaiters(broken, systemClock, () => {})
  const signal = new AbortController()
  const waits = [waiters.wait('a', signal.signal), waiters.wait('a', new AbortController().signal), waiters.wait('b', new AbortController().signal)]
  signal.abort(new Error('enough'))
  waiters.close()
  expect((await Promise.allSettled(waits)).map((one) => one.status === 'rejected' && (one.reason as Error).message)).toEqual(['enough', 'The queue was closed', 'The queue was closed'])
  await expect(waiters.wait('c', new AbortController().signal)).rejects.toMatchObject({ code: 'CLOSED' })
  expect(waiters.any).toBe(false)
})

it('a page lets go of a result, though the signal that was given for it lives on', async () => {
  const { signal } = new AbortController()
  const client = { begin: () => ({ answer: Promise.resolve({ the: 'result' }), forget() {} }) } as unknown as Client
  expect(await letsGo(async () => await waitUntil(client, 'a', { signal, timeoutMs: 60_000 }) as object)).toBe(true)
  expect(signal.aborted).toBe(false)
})

it('a stream of events that was left listens no more', async () => {
  const { signal: closed } = new AbortController()
  for await (const { type } of eventStream([{ type: 'online', at: 0 }], () => {}, closed)) {
    expect(type).toBe('online')
    expect(getEventListeners(closed, 'abort')).toHaveLength(1)
    break
  }
  expect(getEventListeners(closed, 'abort')).toHaveLength(0)
})
