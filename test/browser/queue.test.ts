import { afterEach, expect, test } from 'vitest'
import { openQueue, type Queue } from 'holdfast'

const opened: Queue[] = []
let n = 0
async function fresh(): Promise<Queue> {
  const queue = await openQueue(`t-${Date.now()}-${n++}`)
  opened.push(queue)
  return queue
}
afterEach(async () => { for (const queue of opened.splice(0)) await queue.close() })

test('a pushed job is pulled, acknowledged and remembered', async () => {
  const queue = await fresh()
  const id = await queue.push('emails', 'welcome', { to: 'ada@example.org' })
  const [job] = await queue.pull('emails')
  expect(job).toMatchObject({ id, queue: 'emails', name: 'welcome', data: { to: 'ada@example.org' }, state: 'active' })
  await queue.ack(job!, { sent: true })
  expect(await queue.get(id)).toMatchObject({ id, state: 'completed', result: { sent: true } })
  expect((await queue.stats()).counts).toMatchObject({ waiting: 0, active: 0, completed: 1 })
})

test('a handler in the page runs what is pushed before and after', async () => {
  const queue = await fresh()
  const ids = await queue.pushMany('q', Array.from({ length: 300 }, (_, i) => ({ name: 'n', data: i })))
  const seen: unknown[] = []
  await queue.process('q', async (job) => { seen.push(job.data); await Promise.resolve(); return job.data })
  const last = await queue.push('q', 'n', 300)
  expect(await queue.waitFor(last)).toBe(300)
  expect(seen).toEqual(Array.from({ length: 301 }, (_, i) => i))
  expect((await queue.get(ids[0]!))?.state).toBe('completed')
  expect((await queue.stats()).counts).toMatchObject({ waiting: 0, active: 0, completed: 301 })
})

test('a failed attempt is retried after its backoff, and dies at its last', async () => {
  const queue = await fresh()
  const id = await queue.push('q', 'n', null, { maxAttempts: 2, backoff: { type: 'fixed', delayMs: 50, jitter: 0 } })
  await queue.process('q', () => { throw new Error('no') })
  await expect(queue.waitFor(id)).rejects.toThrow('dead (failed): no')
  expect(await queue.get(id)).toMatchObject({ state: 'dead', failures: 2, reason: 'failed' })
})
