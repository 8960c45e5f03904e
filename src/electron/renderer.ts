/** `holdfast/electron/renderer`: the same handle in every window. Jobs run in the engine page only, so that they go on when the windows are closed. */
import { HoldfastError } from '../core/errors.ts'
import { createQueue as create, openQueue as open } from '../index.ts'
import type { HttpHooks, OpenOptions, Queue, QueueMap } from '../queue.ts'
import { serveMain } from './engine-page.ts'
import { BRIDGE, VIA_WORKER, type Bridge } from './protocol.ts'

export interface WindowOptions extends Omit<OpenOptions, 'claims' | 'http'> {
  /** `via: 'main'`: requests to the origins that main names by its own `via` are sent by main: no CORS, and no progress of uploads. Counts in the engine page. */
  readonly http?: HttpHooks & { readonly via?: 'main' }
}

const bridge = (globalThis as { readonly [BRIDGE]?: Bridge })[BRIDGE]

/** As that of `holdfast`. In the engine page it runs jobs, and serves the handle in main; elsewhere it pushes, looks and waits. */
export async function openQueue<M extends QueueMap = QueueMap>(name: string, options: WindowOptions = {}): Promise<Queue<M>> {
  const queue = await open<M>(name, bridged(options))
  return joined(queue)
}

/** As that of `holdfast`: the same handle at once. */
export function createQueue<M extends QueueMap = QueueMap>(name: string, options: WindowOptions = {}): Queue<M> {
  return joined(create<M>(name, bridged(options)))
}

const viaMain = (): Worker => new Worker(VIA_WORKER, { type: 'module' })

function bridged({ http, ...options }: WindowOptions): OpenOptions {
  const { via, ...hooks } = http ?? {}
  return { ...(via && bridge && { worker: viaMain }), ...options, ...(Object.keys(hooks).length > 0 && { http: via ? hooks : http as HttpHooks }), claims: bridge !== undefined }
}

function joined<M extends QueueMap>(queue: Queue<M>): Queue<M> {
  if (bridge) {
    serveMain(queue as unknown as Queue, bridge)
    return queue
  }
  const refuse = (what: string) => (): Promise<never> => Promise.reject(new HoldfastError('VALIDATION', `${what}: jobs do not run in a window, which may be closed. Handlers belong in the engine page (\`engine\` of main()), or in Node: handle(queue, file) in main`, { field: what }))
  return { ...queue, process: refuse('process'), pull: refuse('pull') }
}

export { Cancel, HoldfastError, NetworkError, RetryAfter, Snooze, Unrecoverable } from '../index.ts'
export type * from '../queue.ts'
