/** holdfast called from the page with its built-in worker; handlers run in the page. */
import { openQueue, type Job, type Queue } from '../../../src/index.ts'
import { deleteDatabase, jobData, tally, type Contestant } from '../contestant.ts'

const numberOf = (job: Job): number => (job.data as { n: number }).n

export function create(): Contestant<Job> {
  let queue: Queue
  let name = ''
  return {
    ...calls(() => queue),
    async open(database) {
      name = database
      queue = await openQueue(database)
    },
    pull: count => queue.pull('bench', count),
    async ack(jobs) {
      const { done, refused } = await queue.ackMany(jobs)
      if (done !== jobs.length) throw new Error(`${refused.length} acks refused: ${refused[0]?.message}`)
    },
    numberOf,
    async drain(concurrency, enough) {
      const { seen, saw } = tally(enough)
      let processor: Awaited<ReturnType<Queue['process']>>
      await new Promise<void>((resolve, reject) => {
        const handler = (job: Job) => { if (saw(numberOf(job))) resolve() }
        queue.process('bench', handler, { concurrency }).then(it => {
          processor = it
          return it.idle()
        }).then(resolve, reject)
      })
      await processor!.stop()
      return seen
    },
    async wipe() {
      await queue.close()
      await deleteDatabase(`holdfast:${name}`)
    },
    close: () => queue.close(),
  }
}

/** What does not depend on where the handlers are. */
export function calls(queue: () => Queue): Pick<Contestant, 'push' | 'pushMany' | 'waiting'> {
  return {
    push: n => queue().push('bench', 'job', jobData(n)),
    pushMany: numbers => queue().pushMany('bench', numbers.map(n => ({ name: 'job', data: jobData(n) }))),
    async waiting() {
      const { counts } = await queue().stats('bench')
      if (counts.active > 0) throw new Error(`${counts.active} jobs are still leased`)
      return counts.waiting
    },
  }
}
