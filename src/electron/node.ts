/** What a process of Node handlers runs: loads the app's file, runs what the engine page sends, and holds its sign of life until it has ended. */
import { createServer } from 'node:net'
import type { ParentPort } from 'electron'
import { checkPercent } from '../core/rules.ts'
import type { Context, Handler, Handlers, QueueMap } from '../queue.ts'
import type { FromNode, Outcome, ToNode } from './protocol.ts'
import { errorOf, outcomeOf, valueOf } from './thrown.ts'

/** The default export of a file for `handle`: one handler for all jobs of the queue, or one for each job name. */
export type NodeHandlers = Handler | Handlers<QueueMap, string>

/** So long what runs may take to heed that the engine page is gone. */
const HEED_MS = 1000
/** Said after so long that a file with a loose end at its top is still being loaded. */
const LOAD_MS = 10_000

interface Running { readonly stop: AbortController; readonly asked: Map<number, (outcome: Outcome) => void>; readonly steps: Map<number, () => unknown> }

const [, , file = '', alive = ''] = process.argv
const { parentPort } = process as unknown as { readonly parentPort: ParentPort }
// Whoever can connect knows that this process has not ended. That others cannot know it is no reason not to work.
if (alive) createServer().on('error', (error) => { console.error('holdfast:', error.message) }).listen(alive)

parentPort.once('message', ({ ports: [port] }) => {
  if (!port) return
  const say = (message: FromNode): void => { port.postMessage(message) }
  const running = new Map<number, Running>()
  let last = 0

  function contextOf(key: number, { stop, asked, steps }: Running, given: Pick<Context, 'attempt' | 'queue' | 'parents'>): Context {
    const ask = (message: (id: number) => FromNode): Promise<unknown> => new Promise<Outcome>((answered) => {
      asked.set(++last, answered)
      say(message(last))
    }).then(valueOf)
    return {
      ...given, signal: stop.signal,
      progress(percent, message) {
        checkPercent('progress', percent)
        say({ t: 'progress', key, percent, ...(message !== undefined && { message: String(message) }) })
      },
      log(message) { say({ t: 'log', key, message: String(message) }) },
      async heartbeat() { await ask((id) => ({ t: 'heartbeat', key, ask: id })) },
      step: <T>(name: string, fn: () => T | Promise<T>) => ask((id) => {
        steps.set(id, fn)
        return { t: 'step', key, ask: id, name: String(name) }
      }) as Promise<T>,
    }
  }

  async function run(handlerOf: (name: string) => Handler | undefined, { key, job, attempt, queue }: Extract<ToNode, { t: 'run' }>): Promise<void> {
    const one: Running = { stop: new AbortController(), asked: new Map(), steps: new Map() }
    running.set(key, one)
    const outcome = await outcomeOf(() => {
      const handler = handlerOf(job.name)
      if (!handler) throw new Error(`${file} has no handler for ${job.name}`)
      return handler(job, contextOf(key, one, { attempt, queue, parents: job.parents ?? {} }))
    })
    running.delete(key)
    tell((sent) => ({ t: 'ended', key, outcome: sent }), outcome)
  }

  /** The work was done, so that its end must not be lost with a value that cannot cross. */
  function tell(message: (outcome: Outcome) => FromNode, outcome: Outcome): void {
    try { say(message(outcome)) } catch (error) { say(message({ value: { unstorable: String(error) } })) }
  }

  async function step(one: Running, key: number, ask: number): Promise<void> {
    tell((outcome) => ({ t: 'did', key, ask, outcome }), await outcomeOf(() => one.steps.get(ask)?.()))
  }

  port.on('close', () => {
    for (const { stop } of running.values()) stop.abort(errorOf({ name: 'ClosedError', message: 'The engine page is gone' }))
    const look = (): void => { if (running.size === 0) process.exit(0) }
    look()
    setInterval(look, 20)
    setTimeout(() => process.exit(0), HEED_MS)
  })

  const late = setTimeout(() => { console.error(`holdfast: ${file} has not been loaded within ${LOAD_MS} ms: its jobs wait`) }, LOAD_MS)
  void import(file).finally(() => { clearTimeout(late) }).then(({ default: given }: { readonly default?: NodeHandlers }) => {
    const handlers = typeof given === 'function' ? undefined : new Map(Object.entries(given ?? {}))
    if (handlers?.size === 0) throw new Error(`${file} has no handlers: its default export must be a function, or an object with one for each job name`)
    const handlerOf = (name: string): Handler | undefined => handlers ? handlers.get(name) : given as Handler
    port.on('message', ({ data }: { readonly data: ToNode }) => {
      const one = running.get(data.key)
      switch (data.t) {
        case 'run': void run(handlerOf, data); break
        case 'abort': one?.stop.abort(Object.assign(errorOf(data.reason), { code: data.reason.code })); break
        case 'do': if (one) void step(one, data.key, data.ask); break
        case 'answer': one?.asked.get(data.ask)?.(data.outcome); one?.asked.delete(data.ask); break
      }
    })
    port.start()
    say({ t: 'ready', ...(handlers && { names: [...handlers.keys()] }) })
  }).catch((error: unknown) => {
    console.error(`holdfast: ${file} cannot be loaded:`, error)
    process.exit(1)
  })
})
