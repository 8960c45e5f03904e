import { serve, type Job } from '../../../src/worker.ts'
import { tally, type Enough } from '../contestant.ts'

export type ToHandlers = { readonly type: 'start'; readonly enough: Enough } | { readonly type: 'report' }
export type FromHandlers = { readonly type: 'ready' } | { readonly type: 'full' } | { readonly type: 'seen'; readonly seen: readonly number[] }

let drain = tally({ count: 0, ms: 0 })
let full = true
const [spoken = '', concurrency = '1'] = self.name.split(' ')
const channel = new BroadcastChannel(spoken)
const tell = (message: FromHandlers) => channel.postMessage(message)
channel.onmessage = ({ data }: MessageEvent<ToHandlers>) => {
  if (data.type === 'report') { tell({ type: 'seen', seen: drain.seen }); return }
  drain = tally(data.enough)
  full = false
  tell({ type: 'ready' })
}

function handle(job: Job): void {
  if (!drain.saw((job.data as { n: number }).n) || full) return
  full = true
  tell({ type: 'full' })
}

serve({ queues: { bench: handle }, concurrency: { bench: Number(concurrency) } })
