/** What only holdfast has to answer for. */
import { openQueue, type Queue } from '../../src/index.ts'
import { jobData } from './contestant.ts'
import { median, TOLERANCE, type Result } from './measures.ts'

const open = new Map<string, Queue>()
async function opened(database: string): Promise<Queue> {
  const queue = open.get(database) ?? await openQueue(database)
  open.set(database, queue)
  return queue
}

async function timed(times: number, once: () => Promise<number>): Promise<number> {
  const took: number[] = []
  for (let i = 0; i < times; i++) took.push(await once())
  return median(took)
}

export const own = {
  async stats(database: string, level: number, times: number): Promise<Result> {
    const queue = await opened(database)
    return {
      stats: await timed(times, async () => {
        const start = performance.now()
        const { counts } = await queue.stats()
        const ms = performance.now() - start
        if (Math.abs(counts.waiting - level) > level * TOLERANCE) throw new Error(`stats: ${counts.waiting} waiting instead of ${level}`)
        return ms
      }),
    }
  },

  /** A queue that begins with `ahead` requests to an origin that has refused one of them. */
  async closeOrigin(database: string, ahead: number, url: string): Promise<void> {
    const queue = await opened(database)
    const closed = new Promise<void>(resolve => { const off = queue.on('origin-closed', () => { off(); resolve() }) })
    await queue.fetch(url, {}, { queue: 'bench' })
    await closed
    for (let at = 1; at < ahead; at += 1000)
      await Promise.all(Array.from({ length: Math.min(1000, ahead - at) }, (_, i) => queue.fetch(url, { method: 'POST', json: jobData(at + i) }, { queue: 'bench' })))
  },

  /** The claim of one job pushed behind them, and a request to an origin that answers, from `fetch` to its result. */
  async behind(database: string, ahead: number, liveUrl: string, times: number): Promise<Result> {
    const queue = await opened(database)
    const claim = await timed(times, async () => {
      await queue.push('bench', 'job', jobData(0))
      for (;;) {
        const start = performance.now()
        const [job] = await queue.pull('bench', 1)
        const ms = performance.now() - start
        if (job?.name === 'job') {
          await queue.ack(job)
          return ms
        }
        // The origin's own trial fell due.
        if (job) await queue.release(job)
      }
    })
    const request = await timed(times, async () => {
      const start = performance.now()
      await queue.waitFor(await queue.fetch(liveUrl, {}, { queue: 'bench' }))
      return performance.now() - start
    })
    const { counts } = await queue.stats('bench')
    if (counts.waiting + counts.active !== ahead) throw new Error(`origin: ${counts.waiting} waiting instead of ${ahead}`)
    return { claim, request }
  },

  async close(database: string): Promise<void> {
    await open.get(database)?.close()
    open.delete(database)
  },
}
