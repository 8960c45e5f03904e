import { serve } from 'holdfast/worker'

serve({
  queues: { q: { double: (job) => Number(job.data) * 2, fail: () => { throw new Error('in the worker') } } },
  concurrency: { q: 4 },
})
