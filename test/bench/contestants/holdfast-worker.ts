/** holdfast with an application's own worker, where its handlers live. The queue is paused unless it is being drained. */
import { openQueue, type Queue } from '../../../src/index.ts'
import { deleteDatabase, type Contestant } from '../contestant.ts'
import { calls } from './holdfast.ts'
import type { FromHandlers, ToHandlers } from './holdfast-handlers.ts'

export function create(): Contestant {
  let queue: Queue
  let name = ''
  const channel = new BroadcastChannel('holdfast-bench')
  const tell = (message: ToHandlers) => channel.postMessage(message)
  const heard = (type: FromHandlers['type']) => new Promise<FromHandlers>(resolve => {
    channel.addEventListener('message', function listen({ data }: MessageEvent<FromHandlers>) {
      if (data.type !== type) return
      channel.removeEventListener('message', listen)
      resolve(data)
    })
  })

  return {
    ...calls(() => queue),
    async open(database) {
      name = database
      queue = await openQueue(database, { worker: () => new Worker(new URL('./holdfast-handlers.ts', import.meta.url), { type: 'module' }) })
      await queue.pause('bench')
    },
    async drain(concurrency, enough) {
      await queue.configure('bench', { concurrency })
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
