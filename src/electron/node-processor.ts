/** Runs a queue's jobs in a process of Node: here is the lease, there is the handler. An attempt ends here when it has ended there. */
import { HoldfastError, Snooze, Unrecoverable } from '../core/errors.ts'
import type { Context, Handler, Job, Processor, Queue } from '../queue.ts'
import type { FromNode, Outcome, Thrown, ToEngine, ToNode } from './protocol.ts'
import { outcomeOf, thrownOf, valueOf } from './thrown.ts'

export interface NodeProcessor {
  /** The process has ended, and with it what ran there. */
  gone(how: Extract<ToEngine, { t: 'gone' }>): void
  /** Claims no more, waits up to `drainMs` for what runs; what does not end by then goes back. */
  drain(drainMs: number): Promise<void>
}

interface Running {
  readonly ctx: Context
  readonly end: (outcome: Outcome) => void
  /** Steps that the process is doing. */
  readonly steps: Map<number, (outcome: Outcome) => void>
}

/** So long an attempt has to heed its signal before its process is ended. */
const HEED_MS = 5000
/** Kept of a drain to store what is given back. */
const STORE_MS = 300

const reasonOf = (error: HoldfastError): Thrown & { readonly code: string } => ({ ...thrownOf(error), code: error.code })

export function nodeProcessor(queue: Queue, port: MessagePort, { queue: lane, concurrency }: { readonly queue: string; readonly concurrency: number }, stuck: () => void): NodeProcessor {
  const say = (message: ToNode): void => { port.postMessage(message) }
  const running = new Map<number, Running>()
  let last = 0
  let leaving = false
  let processor: Promise<Processor> | undefined

  function attempt(job: Job, ctx: Context): Promise<unknown> {
    const key = ++last
    let timer: ReturnType<typeof setTimeout> | undefined
    const stop = (): void => {
      say({ t: 'abort', key, reason: reasonOf(ctx.signal.reason as HoldfastError) })
      timer = setTimeout(stuck, HEED_MS)
    }
    return new Promise<Outcome>((end) => {
      running.set(key, { ctx, end, steps: new Map() })
      try { say({ t: 'run', key, job, attempt: ctx.attempt, queue: ctx.queue }) } catch (error) { end({ thrown: thrownOf(new Unrecoverable(`Its data cannot cross to Node: ${String(error)}`)) }); return }
      if (ctx.signal.aborted) stop()
      ctx.signal.addEventListener('abort', stop)
    }).finally(() => {
      clearTimeout(timer)
      ctx.signal.removeEventListener('abort', stop)
      running.delete(key)
    }).then((outcome) => {
      // What is stopped because the app quits has not failed.
      if (leaving && 'thrown' in outcome && !ctx.signal.aborted) throw new Snooze(0)
      return valueOf(outcome)
    })
  }

  async function step({ ctx, steps }: Running, key: number, ask: number, name: string): Promise<void> {
    const outcome = await outcomeOf(() => ctx.step(name, async () => valueOf(await new Promise<Outcome>((did) => {
      steps.set(ask, did)
      say({ t: 'do', key, ask })
    }))))
    say({ t: 'answer', key, ask, outcome })
  }

  function ready(names: readonly string[] | undefined): void {
    const handler: Handler = attempt
    processor = queue.process(lane, names ? Object.fromEntries(names.map((name) => [name, handler])) : handler, { concurrency })
    processor.catch((error: unknown) => { console.error(`holdfast: the handlers of ${lane} cannot be used:`, error) })
  }

  port.onmessage = ({ data }: MessageEvent<FromNode>) => {
    if (data.t === 'ready') { ready(data.names); return }
    const one = running.get(data.key)
    if (!one) return
    switch (data.t) {
      case 'progress': one.ctx.progress(data.percent, data.message); break
      case 'log': one.ctx.log(data.message); break
      case 'heartbeat': void outcomeOf(() => one.ctx.heartbeat()).then((outcome) => { say({ t: 'answer', key: data.key, ask: data.ask, outcome }) }); break
      case 'step': void step(one, data.key, data.ask, data.name); break
      case 'did': one.steps.get(data.ask)?.(data.outcome); one.steps.delete(data.ask); break
      case 'ended': one.end(data.outcome); break
    }
  }

  return {
    gone({ meant, why }) {
      const thrown = thrownOf(meant ? new Snooze(0) : new Error(`The process of its handler ended: ${why}`))
      for (const { end } of running.values()) end({ thrown })
      port.close()
      processor?.then((one) => one.stop()).catch(() => {})
    },
    async drain(drainMs) {
      const stopped = processor?.then((one) => one.stop()) ?? Promise.resolve()
      await Promise.race([stopped, new Promise((resolve) => { setTimeout(resolve, Math.max(0, drainMs - 2 * STORE_MS)) })])
      leaving = true
      const reason = reasonOf(new HoldfastError('CLOSED', 'The app quits'))
      for (const key of running.keys()) say({ t: 'abort', key, reason })
      await Promise.race([stopped, new Promise((resolve) => { setTimeout(resolve, STORE_MS) })])
      for (const { end } of running.values()) end({ thrown: thrownOf(new Snooze(0)) })
      await stopped
    },
  }
}

