/** The handle in main: its calls are done by the engine page. Those that were not answered when it died are made again where that does no harm. */
import type { MessagePortMain } from 'electron'
import { fromEnvelope, HoldfastError } from '../core/errors.ts'
import { withoutPlaces } from '../core/fill.ts'
import { eventStream } from '../door/event-stream.ts'
import type { EventType, Queue, QueueEvent } from '../queue.ts'
import type { RemoteMethod, ToEngine, ToMain } from './protocol.ts'

/** The engine page is to be there within so long. */
const START_MS = 30_000

/** What may be done twice. */
const AGAIN: ReadonlySet<RemoteMethod> = new Set<RemoteMethod>([
  'waitFor', 'get', 'list', 'stats', 'queues', 'storage', 'verify', 'salvage', 'pull', 'heartbeat', 'progress', 'configure', 'pause', 'resume', 'setUser', 'forgetUser',
])

interface Call { readonly method: RemoteMethod; readonly args: readonly unknown[]; sent: boolean; resolve(value: unknown): void; reject(error: unknown): void; late?: ReturnType<typeof setTimeout> }

export interface Remote {
  readonly queue: Omit<Queue, 'process' | 'close'>
  /** The engine page is there. */
  connect(port: MessagePortMain): void
  /** It is gone; another will come. */
  lost(): void
  hear(message: ToMain): void
  /** Nothing more is asked. */
  close(): void
}

export function remote(name: string): Remote {
  const calls = new Map<number, Call>()
  const listeners = new Map<EventType | '*', Set<(event: QueueEvent) => void>>()
  const closed = new AbortController()
  let port: MessagePortMain | undefined
  let last = 0

  const wasClosed = (): HoldfastError => new HoldfastError('CLOSED', `The queue ${name} was closed`)
  const say = (message: ToEngine): void => { port?.postMessage(message) }

  function send(id: number, call: Call): void {
    call.sent = true
    clearTimeout(call.late)
    try { say({ t: 'call', id, method: call.method, args: call.args }) } catch (error) {
      calls.delete(id)
      call.reject(new HoldfastError('VALIDATION', `arguments cannot cross from main: ${String(error)}. Of a file give its path`, { field: 'arguments' }, error))
    }
  }

  /** So long it waits for an engine page. */
  function limit(id: number, call: Call): void {
    call.late = setTimeout(() => {
      calls.delete(id)
      call.reject(new HoldfastError('WORKER_DIED', `The engine page did not open ${name} within ${START_MS} ms`))
    }, START_MS)
  }

  function request(method: RemoteMethod, args: readonly unknown[], signal?: AbortSignal): Promise<unknown> {
    if (closed.signal.aborted) return Promise.reject(wasClosed())
    signal?.throwIfAborted()
    const id = ++last
    // The caller's signal may outlive many calls.
    const heard = new AbortController()
    return new Promise((resolve, reject) => {
      const call: Call = { method, args, sent: false, resolve, reject }
      calls.set(id, call)
      signal?.addEventListener('abort', () => {
        clearTimeout(call.late)
        if (calls.delete(id)) say({ t: 'forget', id })
        reject(signal.reason as Error)
      }, { signal: heard.signal })
      if (port) send(id, call)
      else limit(id, call)
    }).finally(() => { heard.abort() })
  }

  const listen = (): void => { say({ t: 'listen', on: listeners.size > 0 }) }
  const on: Queue['on'] = (type, listener) => {
    const set = listeners.get(type) ?? new Set()
    listeners.set(type, set.add(listener))
    listen()
    return () => {
      set.delete(listener)
      if (set.size === 0 && listeners.get(type) === set) listeners.delete(type)
      listen()
    }
  }

  const forward = <T>(method: RemoteMethod) => async (...args: readonly unknown[]): Promise<T> => await request(method, args) as T
  const queue: Remote['queue'] = {
    name, on,
    push: forward('push'), pushMany: forward('pushMany'), pull: forward('pull'), ack: forward('ack'), ackMany: forward('ackMany'), heartbeat: forward('heartbeat'), progress: forward('progress'),
    release: forward('release'), snooze: forward('snooze'), cancel: forward('cancel'), promote: forward('promote'), update: forward('update'), retry: forward('retry'), remove: forward('remove'),
    retryAll: forward('retryAll'), removeAll: forward('removeAll'), get: forward('get'), list: forward('list'), stats: forward('stats'), queues: forward('queues'), configure: forward('configure'),
    pause: forward('pause'), resume: forward('resume'), setUser: forward('setUser'), forgetUser: forward('forgetUser'), storage: forward('storage'), verify: forward('verify'), salvage: forward('salvage'), reset: forward('reset'),
    async fail(job, error) {
      const { name: kind, message, stack, ms } = Object(error) as Error & { readonly ms?: number }
      return await request('fail', [job, error instanceof Error ? { name: kind, message, stack, ms } : error]) as Awaited<ReturnType<Queue['fail']>>
    },
    async fetch(input, { headers, ...init } = {}, options) {
      if (input instanceof Request) return queue.fetch(new URL(input.url), { method: input.method, headers: input.headers, ...(input.body && { body: await input.arrayBuffer() }), ...init, ...(headers && { headers }) }, options)
      const plain = headers && [...new Headers(headers as HeadersInit)]
      return await request('fetch', [input instanceof URL ? options?.fill ? withoutPlaces(input.href) : input.href : input, { ...init, ...(plain && { headers: plain }) }, options]) as string
    },
    waitFor: async (id, { signal, ...options } = {}) => request('waitFor', [id, options], signal),
    async* events(options) {
      const heard: QueueEvent[] = []
      let wake = (): void => {}
      const off = on('*', (event) => { heard.push(event); wake() })
      try { yield* eventStream(heard, (call) => { wake = call }, closed.signal, options) } finally { off() }
    },
  }

  return {
    queue,
    connect(given) {
      port = given
      listen()
      for (const [id, call] of calls) send(id, call)
    },
    lost() {
      port = undefined
      for (const [id, call] of calls) {
        if (!call.sent) continue
        if (AGAIN.has(call.method)) {
          call.sent = false
          limit(id, call)
          continue
        }
        calls.delete(id)
        call.reject(new HoldfastError('WORKER_DIED', `The engine page died: it cannot be said whether ${call.method} was applied`, { unknown: true }))
      }
    },
    hear(message) {
      if (message.t === 'events') {
        for (const event of message.events) for (const type of [event.type, '*'] as const) for (const listener of listeners.get(type) ?? []) {
          try { listener(event) } catch (error) { console.error(error) }
        }
      }
      if (message.t !== 'reply') return
      const call = calls.get(message.id)
      calls.delete(message.id)
      if ('error' in message.reply) call?.reject(fromEnvelope(message.reply.error))
      else call?.resolve(message.reply.value)
    },
    close() {
      closed.abort()
      for (const { late, reject } of calls.values()) {
        clearTimeout(late)
        reject(wasClosed())
      }
      calls.clear()
    },
  }
}
