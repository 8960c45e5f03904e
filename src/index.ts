/** `holdfast`: a durable job queue in the browser. `openQueue(name)` is all it takes. */
import { createClient, wasClosed, type Client } from './door/client.ts'
import type { FetchInput, Method } from './door/protocol.ts'
import type { Claim, Ends } from './door/pulled.ts'
import { optionsOf } from './door/options.ts'
import { outgoing } from './door/outgoing.ts'
import { snapshot, Uncopied } from './door/snapshot.ts'
import { textOf } from './door/text.ts'
import { HoldfastError, invalid } from './core/errors.ts'
import { idsOf, type IdRun } from './core/id.ts'
import type { OpenOptions, Queue, QueueEvent, QueueMap } from './queue.ts'

const open = new Map<string, { readonly client: Client; readonly options: OpenOptions; users: number }>()

const NAME = /^[\w.-]{1,256}$/

/** Options with their defaults. What they say the engine checks. */
function checked(name: string, options: OpenOptions): OpenOptions {
  if (typeof name !== 'string' || !NAME.test(name)) throw invalid('name', 'must be 1 to 256 of A-Z a-z 0-9 . _ -')
  const { worker, durability = 'strict', http, network, claims = true } = optionsOf(options, 'options', 'worker', 'durability', 'http', 'network', 'claims')
  if (worker !== undefined && worker !== false && typeof worker !== 'function' && typeof (worker as Worker | null)?.postMessage !== 'function') throw invalid('options.worker', 'must be a Worker, function or false')
  return { worker, durability, http, network, claims } as OpenOptions
}

/** One client a name and page: opening it twice shares the worker. */
function clientOf(name: string, given: OpenOptions): Client {
  const options = checked(name, given)
  if (typeof indexedDB === 'undefined' || !crypto.randomUUID) throw new HoldfastError('STORAGE', 'IndexedDB and a secure context are needed')
  const known = open.get(name)
  if (!known) {
    const client = createClient(name, options)
    open.set(name, { client, options, users: 1 })
    return client
  }
  for (const key of Object.keys(options) as Array<keyof OpenOptions>) if (known.options[key] !== options[key] && (key === 'worker' || options[key] !== undefined)) throw invalid(`options.${key}`, `differs from what ${name} was opened with here`)
  known.users++
  return known.client
}

async function closeClient(name: string, client: Client, drainMs: number): Promise<void> {
  const known = open.get(name)
  if (known?.client === client && --known.users > 0) return
  if (known?.client === client) open.delete(name)
  await client.close(drainMs)
}

/** Opens the queue of this name, made at first use. Resolves when it can be used; rejects when its storage or worker cannot be had. */
export async function openQueue<M extends QueueMap = QueueMap>(name: string, options: OpenOptions = {}): Promise<Queue<M>> {
  const queue = createQueue<M>(name, options)
  try { await queue.queues() } catch (error) {
    await queue.close().catch(() => {})
    throw error
  }
  return queue
}

/** The same handle at once; it opens at its first call. Importing and creating are harmless on a server, where each call rejects. */
export function createQueue<M extends QueueMap = QueueMap>(name: string, options: OpenOptions = {}): Queue<M> {
  let client: Client | undefined
  let closed = false
  const use = (): Client => {
    if (closed) throw wasClosed(name)
    return client ??= clientOf(name, options)
  }
  /** A call of the worker's. Its arguments are copied now, and named as they are in `fields`. */
  const forward = <T>(method: Method, ...fields: readonly string[]) => async (...args: readonly unknown[]): Promise<T> => use().call<T>(method, ...args.map((arg, i) => snapshot(fields[i] ?? 'arguments', arg)))
  /** Once something was pulled this is at once, so that arguments are copied as they are at the call. */
  const byHand = (method: keyof Ends) => async (...args: readonly unknown[]): Promise<never> => {
    const pulled = use().pulled()
    return ((pulled instanceof Promise ? await pulled : pulled)[method] as (...args: readonly unknown[]) => Promise<never>)(...args)
  }
  const pull = forward<Claim>('pull', 'queue', 'count', 'options')
  /** Rare and large, so neither the page nor the worker carries it. */
  const maintenance = () => (use(), import('./door/maintenance.ts'))
  const handle: Queue = {
    name,
    async push(queue, job, data, pushOptions) {
      return only(await use().call<IdRun>('push', snapshot('queue', queue), textOf({ name: job, data, options: pushOptions }) ?? { name: snapshot('name', job), data: snapshot('data', data), options: snapshot('options', pushOptions) }))
    },
    async pushMany(queue, items) {
      if (!Array.isArray(items)) throw invalid('items', 'must be an array')
      return idsOf(await use().call<IdRun>('pushMany', snapshot('queue', queue), textOf(items) ?? snapshot('items', items)))
    },
    async pull(queue, count = 1, pullOptions = {}) {
      const [claim, { taken }] = await Promise.all([pull(queue, count, pullOptions), use().pulled()])
      return taken(claim)
    },
    ack: byHand('ack'), ackMany: byHand('ackMany'), fail: byHand('fail'), heartbeat: byHand('heartbeat'), progress: byHand('progress'), release: byHand('release'), snooze: byHand('snooze'),
    async process(queue, handlers, processOptions) { return use().process(queue, handlers, processOptions) },
    async fetch(input, init, fetchOptions) {
      const made = outgoing(input, init, fetchOptions)
      // What need not be read is sent at once, so that calls count in the order in which they are made. The rest comes later, and is of who is the user now.
      const [request, whose] = made instanceof Promise ? await Promise.all([made, use().call<Pick<FetchInput, 'user'>>('user')]) : [made]
      return only(await use().call<IdRun>('push', undefined, { ...request, ...whose }))
    },
    async waitFor(id, waitOptions) {
      const client = use()
      return (await import('./door/wait-for.ts')).waitUntil(client, snapshot('id', id), waitOptions)
    },
    cancel: forward('cancel', 'id', 'options'), promote: forward('promote', 'id'), remove: forward('remove', 'id'), retryAll: forward('retryAll', 'filter'), removeAll: forward('removeAll', 'filter'),
    update: forward('update', 'id', 'patch'), retry: forward('retry', 'id', 'edit'),
    get: forward('get', 'id'), list: forward('list', 'filter'), stats: forward('stats', 'queue'), queues: forward('queues'),
    configure: forward('configure', 'queue', 'settings'), pause: forward('pause', 'queue', 'options'), resume: forward('resume', 'queue'), setUser: forward('setUser', 'id'), forgetUser: forward('forgetUser', 'id'),
    verify: async (verifyOptions) => (await maintenance()).verifyDatabase(name, verifyOptions),
    salvage: async () => (await maintenance()).salvageDatabase(name),
    reset: async () => (await maintenance()).resetDatabase(name),
    storage: async (storageOptions) => (await maintenance()).storageHealth(use(), storageOptions),
    on: (type, listener) => use().on(snapshot('type', type), listener),
    async* events(eventsOptions) {
      const { closed: ended, on } = use()
      const heard: QueueEvent[] = []
      let wake = (): void => {}
      // At once, not only when the rest is loaded, by when it may be closed.
      const off = on('*', (event) => { heard.push(event); wake() })
      try { yield* (await import('./door/event-stream.ts')).eventStream(heard, (call) => { wake = call }, ended, eventsOptions) } finally { off() }
    },
    async close(closeOptions) {
      const { drainMs = 0 } = optionsOf(closeOptions, 'options', 'drainMs')
      if (!(drainMs >= 0)) throw invalid('options.drainMs', 'must be 0 or more ms')
      if (closed) return
      closed = true
      if (client) await closeClient(name, client, drainMs)
    },
  }
  for (const [method, call] of Object.entries(handle)) if (typeof call === 'function' && method !== 'on' && method !== 'events') Object.assign(handle, { [method]: (...args: readonly never[]) => (call as (...args: readonly never[]) => Promise<unknown>)(...args).catch(told) })
  return handle as unknown as Queue<M>
}

/** What was refused, with its reason. */
async function told(error: unknown): Promise<never> {
  throw error instanceof Uncopied ? (await import('./door/uncopied.ts')).explained(error) : error
}

/** The id of a push of one. */
const only = (run: IdRun): string => idsOf(run)[0]!

export { Cancel, HoldfastError, NetworkError, RetryAfter, Snooze, Unrecoverable } from './core/errors.ts'
export { ref } from './door/ref.ts'
export type { ErrorCode } from './core/errors.ts'
export type * from './queue.ts'
