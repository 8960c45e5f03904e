/** Runs handlers in the page: what they say crosses to the worker. Loaded by the first `process`. */
import { HoldfastError } from '../core/errors.ts'
import { systemClock as clock } from '../platform/clock.ts'
import { taskQueue } from '../platform/task.ts'
import type { Handler } from '../queue.ts'
import { createRunner, handlerAttempt, type Runner, type RunnerHost } from '../runner/runner.ts'
import type { Held } from './client.ts'
import type { Method } from './protocol.ts'

export interface PageRunnerHost extends Pick<RunnerHost, 'ended' | 'report'> {
  /** The proof of a claimed job. */
  held(key: string): Held
  request(method: Method, args: readonly unknown[]): Promise<unknown>
}

/** Handlers by job name; undefined for one that takes all. */
export function handlerTable(handlers: Handler<never> | Readonly<Record<string, Handler<never>>>): Map<string, Handler<never>> | undefined {
  if (typeof handlers === 'function') return undefined
  const entries = Object.entries(handlers ?? {})
  if (entries.length === 0) throw invalid('handler', 'must be a function, or an object with a function for each job name')
  for (const [name, handler] of entries) if (typeof handler !== 'function') throw invalid(`handler.${name}`, 'must be a function')
  return new Map(entries)
}

const invalid = (field: string, problem: string): HoldfastError => new HoldfastError('VALIDATION', `${field} ${problem}`, { field })

const task = taskQueue()

export const pageRunner = (handlerOf: (name: string) => Handler<never> | undefined, { held, request, ended, report }: PageRunnerHost): Runner => createRunner({
  clock, task, ended, report,
  heartbeat: async (key) => { await request('heartbeat', [held(key)]) },
  steps: async (key) => await request('steps', [held(key).seq]) as Record<string, unknown>,
  storeStep: async (key, step, value) => { await request('storeStep', [held(key), step, value]) },
}, handlerAttempt(handlerOf))
