/** holdfast with an application's own worker, where its handlers live. The queue is paused unless it is being drained. */
import { openQueue, type Queue } from '../../../src/index.ts'
import { deleteDatabase, type Contestant } from '../contestant.ts'
import { calls } from './holdfast.ts'
import type { FromHandlers, ToHandlers } from './holdfast-handlers.ts'

let serial = 0

export function create(): Contestant {
  let queue: Queue
  let name = ''
  let served = 1
  let channel: BroadcastChannel
  const tell = (message: ToHandlers) => channel.postMessage(message)
  const heard = <T extends FromHandlers['type']>(type: T) => new Promise<Extract<FromHandlers, { type: T }>>(resolve => {
    channel.addEventListener('message', ({ data }: MessageEvent<FromHandlers>) => {
      if (data.type === type) resolve(data as Extract<FromHandlers, { type: T }>)
    })
  })

  async function open(database: string, concurrency: number): Promise<void> {
    name = database
    served = concurrency
    // A worker reads from its own name where it is heard, and how many run at once.
    const spoken = `handlers-${++serial}`
    channel = new BroadcastChannel(spoken)
    queue = await openQueue(database, { worker: () => new Worker(new URL('./holdfast-handlers.ts', import.meta.url), { type: 'module', name: `${spoken} ${concurrency}` }) })
    await queue.pause('bench')
  }

  async function close(): Promise<void> {
    await queue.close()
    channel.close()
  }

  return {
    ...calls(() => queue),
    open: database => open(database, 1),
    async prepare(concurrency) {
      if (concurrency === served) return
      await close()
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
      return (await all).seen
    },
    async wipe() {
      await close()
      await deleteDatabase(`holdfast:${name}`)
    },
    close,
  }
}
