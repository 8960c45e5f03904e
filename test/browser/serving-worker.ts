import { serve } from 'holdfast/worker'

serve({
  queues: {
    q: {
      double: (job) => Number(job.data) * 2,
      sum: (_job, { parents }) => Object.values(parents).reduce<number>((sum, n) => sum + Number(n), 0),
      fail: () => { throw new Error('in the worker') },
      large: (_job, { step }) => step('large', () => 'x'.repeat(2_000_000)),
    },
  },
  concurrency: { q: 4 },
})
