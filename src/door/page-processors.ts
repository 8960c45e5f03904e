/** Handlers in the page: what they are given comes from the worker, what they say crosses to it. Loaded by the first `process`. */
import { fromEnvelope, invalid, type HoldfastError } from '../core/errors.ts'
import { systemClock } from '../platform/clock.ts'
import type { Platform } from '../platform/platform.ts'
import { taskQueue } from '../platform/task.ts'
import type { Handler, Processor, ProcessOptions } from '../queue.ts'
import { handlerAttempt } from '../runner/handler.ts'
import { keyOf } from '../runner/key.ts'
import { createRunner, type Execute, type RunEnding, type Runner } from '../runner/runner.ts'
import type { Held } from '../store/operations.ts'
import { snapshot } from './snapshot.ts'
import type { Method, ProcessorWish, ToHost, ToProcessor } from './protocol.ts'

type Handlers = Handler<never> | Readonly<Record<string, Handler<never>>>

interface PageProcessor {
  readonly runner: Runner
  readonly queue: string
  readonly names: readonly string[] | undefined
  readonly options: ProcessOptions
  paused: boolean
  /** Endings that no commit has confirmed: said again to a new worker. */
  readonly unsettled: Map<string, RunEnding>
  readonly held: Map<string, Held>
}

export interface PageProcessors {
  process(queue: string, handlers: Handlers, options?: ProcessOptions): Promise<Processor>
  hear(message: ToProcessor): void
  /** What a new worker has to know before anything else. */
  all(): ProcessorWish[]
  /** A new worker hears again of what has ended meanwhile. */
  resume(): void
  /** Aborts what runs; resolves when it has ended. */
  stop(reason: HoldfastError): Promise<unknown>
}

/** Where handlers run. */
interface Around extends Pick<Platform, 'clock' | 'task'> {
  /** By this a simulated world looks on at each attempt. */
  through?(execute: Execute): Execute
}
const browser: Around = { clock: systemClock, task: taskQueue() }
const NOTHING: Held = { box: -1, token: '', seq: -1 }

/** `say` is dropped while there is no worker: what must not be lost is said again. */
export function pageProcessors(request: (method: Method, args: readonly unknown[]) => Promise<unknown>, say: (message: ToHost) => void, { clock, task, through = (execute) => execute } = browser): PageProcessors {
  const processors = new Map<string, PageProcessor>()
  let last = 0

  async function process(name: string, handlers: Handlers, given: ProcessOptions = {}): Promise<Processor> {
    const [queue, options] = [snapshot('queue', name), snapshot('options', given)]
    const id = String(++last)
    const table = handlerTable(handlers)
    const unsettled = new Map<string, RunEnding>()
    const held = new Map<string, Held>()
    const proof = (key: string): Held => held.get(key) ?? NOTHING
    const runner = createRunner({
      clock, task,
      ended(endings) {
        for (const ending of endings) unsettled.set(ending.key, ending)
        say({ t: 'ended', processor: id, endings })
      },
      report(key, report) { say({ t: 'report', processor: id, key, report }) },
      heartbeat: async (key) => { await request('heartbeat', [proof(key)]) },
      steps: async (key) => await request('steps', [proof(key).seq]) as Record<string, unknown>,
      storeStep: async (key, step, value) => { await request('storeStep', [proof(key), step, value]) },
    }, through(handlerAttempt(table ? (name) => table.get(name) : () => handlers as Handler<never>)))
    const names = table && [...table.keys()]
    const processor: PageProcessor = { runner, queue, names, options, paused: false, unsettled, held }
    processors.set(id, processor)
    try { await request('process', [id, queue, names, options]) } catch (error) { processors.delete(id); throw error }
    const pause = async (paused: boolean): Promise<void> => {
      processor.paused = paused
      await request('pauseProcessor', [id, paused])
    }
    return {
      pause: () => pause(true),
      resume: () => pause(false),
      idle: async () => { await request('idle', [id]) },
      async stop() { await request('stopProcessor', [id]); processors.delete(id) },
    }
  }

  function hear(message: ToProcessor): void {
    const processor = processors.get(message.processor)
    if (!processor) {
      // One that this page gave up while its worker had it: what it claimed goes back.
      if (message.t === 'run' && message.runs.length > 0) {
        say({ t: 'ended', processor: message.processor, endings: message.runs.map(({ token, job }) => ({ key: keyOf(token, job.seq), event: { type: 'release' }, ms: 0 })) })
        request('stopProcessor', [message.processor]).catch(() => {})
      }
      return
    }
    const { runner, unsettled, held } = processor
    switch (message.t) {
      case 'run':
        for (const { box, token, job } of message.runs) held.set(keyOf(token, job.seq), { box, token, seq: job.seq })
        // What ended here already is only waiting for a worker to hear of it.
        runner.run(message.slots, message.runs.filter(({ token, job }) => !unsettled.has(keyOf(token, job.seq))))
        break
      case 'abort': runner.abort(message.key, fromEnvelope(message.reason)); break
      case 'giveBack': runner.giveBack(); break
      case 'settled': for (const key of message.keys) { unsettled.delete(key); held.delete(key) } break
    }
  }

  return {
    process, hear,
    all: () => [...processors].map(([id, { queue, names, options, paused }]) => ({ id, queue, names, options, paused })),
    resume() {
      for (const [id, { unsettled }] of processors) if (unsettled.size > 0) say({ t: 'ended', processor: id, endings: [...unsettled.values()] })
    },
    stop: (reason) => Promise.all([...processors.values()].map(({ runner }) => {
      for (const key of runner.keys()) runner.abort(key, reason)
      return runner.idle()
    })),
  }
}

/** Handlers by job name; undefined for one that takes all. */
function handlerTable(handlers: Handlers): Map<string, Handler<never>> | undefined {
  if (typeof handlers === 'function') return undefined
  const entries = Object.entries(handlers ?? {})
  if (entries.length === 0) throw invalid('handler', 'must be a function, or an object with a function for each job name')
  for (const [name, handler] of entries) if (typeof handler !== 'function') throw invalid(`handler.${name}`, 'must be a function')
  return new Map(entries)
}
