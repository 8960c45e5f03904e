/** `holdfast/worker`: run handlers in the application's own worker, where throughput is highest. */
import { exposeHost, type Served } from './door/host.ts'
import { handlerAttempt } from './runner/handler.ts'
import type { Handler, QueueMap, Handlers, JobOf, QueueName } from './queue.ts'

export interface ServeOptions<M extends QueueMap = QueueMap> {
  /** Per queue a handler for all its jobs, or one a job name. */
  readonly queues?: { readonly [Q in QueueName<M>]?: Handler<JobOf<M, Q>> | Handlers<M, Q> }
  /** How many jobs of a queue run at once in all tabs together. Default 1. */
  readonly concurrency?: Readonly<Record<string, number>>
}

/**
 * Call once in a worker that a page gives to `openQueue(name, {worker: () => new Worker(…)})`. The engine then runs in that worker, beside its handlers.
 */
export function serve<M extends QueueMap = QueueMap>({ queues = {}, concurrency = {} }: ServeOptions<M> = {}): void {
  const served = Object.entries(queues).map(([queue, given]): Served => {
    const handlers = given as Handler<never> | Readonly<Record<string, Handler<never>>>
    const table = typeof handlers === 'function' ? undefined : new Map(Object.entries(handlers))
    const execute = handlerAttempt(table ? (name) => table.get(name) : () => handlers as Handler<never>)
    return { queue, execute, concurrency: concurrency[queue] ?? 1, ...(table ? { names: [...table.keys()] } : {}) }
  })
  exposeHost(served)
}

export type { Context, Handler, Handlers, Job, QueueMap } from './queue.ts'
export { Cancel, HoldfastError, NetworkError, RetryAfter, Snooze, Unrecoverable } from './core/errors.ts'
