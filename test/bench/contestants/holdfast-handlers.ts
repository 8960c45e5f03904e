import { serve } from '../../../src/worker.ts'
import { tally, type Enough } from '../contestant.ts'

export type ToHandlers = { readonly type: 'start'; readonly enough: Enough } | { readonly type: 'report' }
export type FromHandlers = { readonly type: 'ready' } | { readonly type: 'full' } | { readonly type: 'seen'; readonly seen: readonly number[] }

let drain = tally({ count: 0, ms: 0 })
const [spoken = '', concurrency = '1'] = self.name.split(' ')
const channel = new BroadcastChannel(spoken)
const tell = (message: FromHandlers) => channel.postMessage(message)
channel.onmessage = ({ data }: MessageEvent<ToHandlers>) => {
  if (data.type === 'report') { tell({ type: 'seen', seen: drain.seen }); return }
  drain = tally(data.enough)
  tell({ type: 'ready' })
}

serve({
  queues: { bench: job => { if (drain.saw((job.data as { n: number }).n)) tell({ type: 'full' }) } },
  concurrency: { bench: Number(concurrency) },
})
