/** holdfast with an application's own worker, where its handlers live. The queue is paused unless it is being drained. */
import { openQueue, type Queue } from '../../../src/index.ts'
import { deleteDatabase, type Contestant } from '../contestant.ts'
import { calls } from './holdfast.ts'
import type { FromHandlers, ToHandlers } from './holdfast-handlers.ts'

export function create(): Contestant {
  let queue: Queue
  let name = ''
  let served = 1
  const channel = new BroadcastChannel('holdfast-bench')
  const tell = (message: ToHandlers) => channel.postMessage(message)
  const heard = (type: FromHandlers['type']) => new Promise<FromHandlers>(resolve => {
    channel.addEventListener('message', function listen({ data }: MessageEvent<FromHandlers>) {
      if (data.type !== type) return
      channel.removeEventListener('message', listen)
      resolve(data)
    })
  })

  async function open(database: string, concurrency: number): Promise<void> {
    name = database
    served = concurrency
    // The worker reads how many at once from its own name.
    queue = await openQueue(database, { worker: () => new Worker(new URL('./holdfast-handlers.ts', import.meta.url), { type: 'module', name: String(concurrency) }) })
    await queue.pause('bench')
  }

  return {
    ...calls(() => queue),
    open: database => open(database, 1),
    async prepare(concurrency) {
      if (concurrency === served) return
      await queue.close()
      await open(name, concurrency)
    },
    async drain(_concurrency, enough) {
      const ready = heard('ready')
      tell({ type: 'start', enough })
      await ready
      const full = heard('full')
      await queue.resume('bench')
      await full
      await queue.pause('bench')
      while ((await queue.stats('bench')).counts.active > 0) await new Promise(resolve => setTimeout(resolve))
      const all = heard('seen')
      tell({ type: 'report' })
      return (await all as Extract<FromHandlers, { type: 'seen' }>).seen
    },
    async wipe() {
      await queue.close()
      await deleteDatabase(`holdfast:${name}`)
    },
    close: () => queue.close(),
  }
}
