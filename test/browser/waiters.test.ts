/** Many that wait for the ends of jobs hold up nobody. */
import { expect, test } from 'vitest'
import { openQueue } from '../../src/index.ts'

test('a thousand jobs are done about as fast when each is waited for', async () => {
  const took = async (waits: boolean): Promise<number> => {
    const queue = await openQueue(`waiters-${crypto.randomUUID()}`)
    const ids = await queue.pushMany('q', Array.from({ length: 1000 }, (_, n) => ({ name: 'n', data: n })))
    const ends = waits ? Promise.all(ids.map((id) => queue.waitFor(id))) : undefined
    const began = performance.now()
    let done = 0
    const all = new Promise<void>((resolve) => { void queue.process('q', async () => { await new Promise((next) => { setTimeout(next, 5) }); if (++done === 1000) resolve() }, { concurrency: 8 }) })
    await all
    await ends
    const ms = performance.now() - began
    await queue.close()
    return ms
  }
  const [alone, waitedFor] = [await took(false), await took(true)]
  // Each by a read of its own, over and over, made it stand nearly still: minutes.
  expect(waitedFor).toBeLessThan(5 * alone + 5000)
}, 120_000)
