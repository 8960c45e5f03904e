/** The page's side of the door: one worker a queue, replaced when it dies; calls that survive it; handlers that run here. */
import { transfer, wrap, type Remote } from 'comlink'
import { fromEnvelope, HoldfastError, invalid } from '../core/errors.ts'
import { ownerLock } from '../core/owner.ts'
import { webLocks } from '../platform/locks.ts'
import { after, now, within } from '../platform/timer.ts'
import type { EventType, Handler, OpenOptions, Processor, ProcessOptions, QueueEvent } from '../queue.ts'
import { batcher } from './batch.ts'
import type { PageProcessors } from './page-processors.ts'
import type { Pulled } from './pulled.ts'
import type { Hello, HostApi, Method, Reply, ToHost, ToHostBatch, ToPage, Welcome } from './protocol.ts'
import { urlWorker } from './spawn.ts'

const START_MS = 10_000
const RESTART_MS = 2000
const SETTLE_MS = 10_000
const CLOSE_MS = 2000
const RETRY_MS = 1000
const LONGEST_RETRY_MS = 30_000

interface Call { readonly method: Method; readonly args: readonly unknown[]; resolve(value: unknown): void; reject(error: unknown): void; giveUp?: () => void; by?: string }

/** Where the engine is: a worker, or a port to this realm. */
type Engine = Worker | MessagePort
interface Link { readonly port: MessagePort; readonly end: () => unknown }

export interface Client {
  call<T>(method: Method, ...args: readonly unknown[]): Promise<T>
  /** The same as a call that may be given up. */
  begin(method: Method, ...args: readonly unknown[]): { readonly answer: Promise<unknown>; forget(): void }
  process(queue: string, handlers: Handler<never> | Readonly<Record<string, Handler<never>>>, options?: ProcessOptions): Promise<Processor>
  /** What was pulled here; a promise until it is loaded. */
  pulled(): Pulled | Promise<Pulled>
  /** Aborted when it is closed. */
  readonly closed: AbortSignal
  on(type: EventType | '*', listener: (event: QueueEvent) => void): () => void
  close(drainMs: number): Promise<void>
}

export const wasClosed = (name: string): HoldfastError => new HoldfastError('CLOSED', `The queue ${name} was closed`)

export function createClient(name: string, options: OpenOptions): Client {
  const locks = webLocks()
  const pageId = (): string => `page-${crypto.randomUUID()}`
  /** This page as an owner of leases: another one whenever its lock was lost. */
  let me = pageId()
  const mirror = `holdfast:${name}`
  const calls = new Map<number, Call>()
  let processors: Promise<PageProcessors> | undefined
  let pageProcessors: PageProcessors | undefined
  let pulled: Pulled | Promise<Pulled> | undefined
  const listeners = new Map<EventType | '*', Set<(event: QueueEvent) => void>>()
  let lastCall = 0
  /** Calls whose answers have come: their receipts need not be kept. */
  let heard: number[] = []
  let link: Link | undefined
  /** One in this realm is not terminated: the next waits until it has ended. */
  let ending: unknown
  let closed = false
  /** Put aside or frozen: nothing is claimed for it. */
  let suspended = false
  let releaseLock: (() => void) | undefined
  let stopWatching = (): void => {}
  /** How long after the last failed start the next one comes; 0: none has failed. */
  let retryMs = 0
  let stopRetry: (() => void) | undefined

  const say = batcher<ToHost>((messages) => {
    try { link?.port.postMessage({ heard, messages } satisfies ToHostBatch) } catch (error) {
      // Each has been copied, so all can be: unless they are too large together.
      for (const message of messages) if (message.t === 'call') settle(message.id, { error: { code: 'VALIDATION', message: `Cannot be sent: ${String(error)}` } })
    }
    heard = []
  })

  let attaching = false
  let worked = false
  /** Starts an engine unless one is there or on its way; when none can be had the calls are refused, and the next one tries again. */
  async function start(): Promise<void> {
    if (attaching || closed) return
    attaching = true
    try {
      while (!link && !closed) {
        releaseLock ??= await locks.hold(ownerLock(name, me), lockLost)
        await attach()
      }
    } catch (error) { fail(error); if (!closed) retry(error) }
    attaching = false
    if (closed) void leave()
  }
  void start()

  /** The next call tries at once, but there may be none: handlers, listeners and requests that are stored wait for an engine too. */
  function retry(error: unknown): void {
    if (!retryMs) tell({ type: 'degraded', at: now(), message: (error as Error).message })
    retryMs = Math.min(2 * retryMs || RETRY_MS, LONGEST_RETRY_MS)
    stopRetry?.()
    stopRetry = after(retryMs, () => void start())
  }

  /** Without its lock this page counts as dead, and what it runs is given to others: it goes on as another owner. */
  function lockLost(): void {
    if (closed || !releaseLock) return
    me = pageId()
    releaseLock = undefined
    void pageProcessors?.stop(new HoldfastError('STALE_LEASE', 'The lock of this page was lost'))
    if (link) died(link)
  }

  // ---- the worker ----

  /** Ways to start the engine, best first. */
  function ways(): Array<() => Engine | Promise<Engine>> {
    const { worker } = options
    const fallback = () => import('./fallback.ts')
    const realm = async (): Promise<Engine> => (await import('./realm.ts')).realmHost()
    if (worker) return [typeof worker === 'function' ? worker : () => worker]
    if (worker === false) return [realm]
    return [urlWorker, async () => (await fallback()).trustedWorker(), async () => (await fallback()).blobWorker(), realm]
  }

  /** Outside of the database, so that its loss can be noticed. */
  function remembered(): string | undefined {
    try { return localStorage[mirror] as string } catch { return undefined }
  }

  async function attach(): Promise<void> {
    const all = ways()
    const causes: string[] = []
    // One that has worked will again; should it die while it starts, that is known by its silence only.
    const tries = worked ? [all[0], all[0], ...all] : all
    for (const [n, start] of tries.entries()) {
      try {
        await ending
        await greet(await start!(), worked ? Math.min(START_MS, RESTART_MS * 2 ** n) : START_MS)
        if (start !== all[0]) tell({ type: 'degraded', at: now(), message: causes.join('; ') })
        else if (retryMs) tell({ type: 'recovered', at: now() })
        retryMs = 0
        return
      } catch (error) {
        // The engine did start, and said so itself.
        if (closed || error instanceof HoldfastError) throw error
        causes.push((error as Error | null)?.message ?? String(error))
      }
    }
    throw new HoldfastError('WORKER_DIED', `No worker could be started: ${causes.join('; ')}`)
  }

  async function greet(engine: Engine, withinMs: number): Promise<void> {
    const worker = 'terminate' in engine ? engine : undefined
    const end = (): unknown => worker ? worker.terminate() : (engine as MessagePort).close()
    const api = wrap<HostApi>(engine)
    const starting = new AbortController()
    const failed = new Promise<never>((_resolve, reject) => {
      worker?.addEventListener('error', (event) => { event.preventDefault(); reject(new Error(`The worker failed to start: ${event.message || 'no script'}`)) }, starting)
      after(withinMs, () => { reject(new Error(`The worker did not answer within ${withinMs} ms`)) })
    })
    failed.catch(() => {})
    const owner = me
    const { port1: port, port2: remote } = new MessageChannel()
    let welcome: Welcome
    try {
      const answer = await Promise.race([failed, api.connect({
        name, client: owner, online: globalThis.navigator?.onLine !== false, page: globalThis.document?.baseURI ?? globalThis.location?.href,
        options: JSON.parse(JSON.stringify({ ...options, worker: undefined }, (_key, value: unknown) => typeof value === 'function' ? 0 : value === 0 ? null : value)) as Hello['options'],
        unsettled: [...calls].map(([id, { method, by }]) => ({ id, method, by })),
        processors: pageProcessors?.all() ?? [], suspended, generation: remembered(),
      }, transfer(remote, [remote]))])
      if (closed) throw wasClosed(name)
      if ('error' in answer) throw fromEnvelope(answer.error)
      welcome = answer
    } catch (error) { ending = end(); throw error } finally { starting.abort() }
    const current: Link = { port, end }
    link = current
    worked = true
    port.onmessage = ({ data }: MessageEvent<readonly ToPage[]>) => { if (link === current) data.forEach(hear) }
    for (const [id, reply] of welcome.replies) settle(id, reply)
    watchLife(current, welcome.alive, worker && api)
    if (owner === me) resume()
    else died(current)
  }

  /** A worker's end is known by its lock; where there are no locks, by its silence. */
  function watchLife(current: Link, alive: string, api: Remote<HostApi> | undefined): void {
    if (!api) return
    if (alive) { stopWatching = locks.whenFree(alive, () => { died(current) }); return }
    void import('./ping.ts').then(({ whenSilent }) => { if (link === current) stopWatching = whenSilent(() => api.ping(), () => { died(current) }) })
  }

  function died(old: Link): void {
    if (closed || link !== old) return
    link = undefined
    stopWatching()
    ending = old.end()
    for (const [id, call] of calls) call.giveUp ??= after(SETTLE_MS, () => { settle(id, { error: { code: 'WORKER_DIED', message: `No worker could say within ${SETTLE_MS} ms whether ${call.method} was applied` } }) })
    void start()
  }

  /** What a former worker left open is said again to the new one. */
  function resume(): void {
    for (const [id, call] of calls) {
      call.giveUp?.()
      delete call.giveUp
      send(id, call)
    }
    say({ t: 'suspend', on: suspended })
    if (listeners.size > 0) say({ t: 'listen', on: true })
    pageProcessors?.resume()
  }

  function fail(error: unknown): void {
    for (const call of calls.values()) call.reject(error)
    calls.clear()
  }

  // ---- calls ----

  function request(method: Method, args: readonly unknown[], onId?: (id: number) => void): Promise<unknown> {
    if (closed && method !== 'close') return Promise.reject(wasClosed(name))
    const id = ++lastCall
    return new Promise((resolve, reject) => {
      const call: Call = { method, args, resolve, reject }
      calls.set(id, call)
      onId?.(id)
      if (link) send(id, call)
      else void start()
    })
  }

  function send(id: number, call: Call): void {
    call.by = me
    say({ t: 'call', id, method: call.method, args: call.args })
  }

  function settle(id: number, reply: Reply): void {
    const call = calls.get(id)
    calls.delete(id)
    heard.push(id)
    call?.giveUp?.()
    if ('error' in reply) call?.reject(fromEnvelope(reply.error))
    else call?.resolve(reply.value)
  }

  function hear(message: ToPage): void {
    if ('processor' in message) { pageProcessors?.hear(message); return }
    switch (message.t) {
      case 'reply': settle(message.id, message.reply); break
      case 'pushed': message.ids.forEach((id, n) => { settle(id, { value: { ...message.run, first: message.run.first + n, count: 1 } }) }); break
      case 'hook': void answer(link, message); break
      case 'events': message.events.forEach(tell); break
      case 'generation': try { localStorage[mirror] = message.generation } catch { /* there is none here */ }
    }
  }

  /** Whoever asked hears it, and no worker after it, which has other questions under the same numbers. */
  async function answer(asker: Link | undefined, { id, hook, args }: Extract<ToPage, { t: 'hook' }>): Promise<void> {
    const reply = await (await import('./hooks.ts')).answerHook(options, hook, args)
    if (link === asker) say({ t: 'hooked', id, reply })
  }

  function tell(event: QueueEvent): void {
    for (const type of [event.type, '*'] as const) for (const listener of listeners.get(type) ?? []) {
      // One listener's error is not another's, nor ours: the page hears of it as of any uncaught error.
      try { listener(event) } catch (error) { reportError(error) }
    }
  }

  /** A handler that still runs keeps its owner's lock, and the engine that beats for it, so that its job is not started elsewhere meanwhile. */
  async function leave(): Promise<void> {
    await pageProcessors?.stop(wasClosed(name))
    if (link) await within(CLOSE_MS, request('close', [])).catch(() => {})
    stopWatching()
    link?.end()
    releaseLock?.()
  }

  // ---- the page ----

  const online = (): void => {
    say({ t: 'online', online: globalThis.navigator?.onLine !== false })
    void start()
  }
  const suspend = (on: boolean): void => { suspended = on; say({ t: 'suspend', on }) }
  const hide = (): void => { suspend(true) }
  /** A page that was put aside may have lost its lock meanwhile. */
  const show = (): void => {
    locks.isHeld(ownerLock(name, me)).then((held) => { if (!held) lockLost() }, () => {})
    suspend(false)
    online()
  }
  const watching = new AbortController()
  const watch = (target: EventTarget | undefined, calls: Readonly<Record<string, () => void>>): void => { for (const [type, call] of Object.entries(calls)) target?.addEventListener?.(type, call, watching) }
  watch(globalThis, { online, offline: online, pagehide: hide, pageshow: show })
  watch(globalThis.document, { visibilitychange: () => { if (!document.hidden) online() }, freeze: hide, resume: show })

  return {
    closed: watching.signal,
    call: <T>(method: Method, ...args: readonly unknown[]) => request(method, args) as Promise<T>,

    begin(method, ...args) {
      let id = 0
      const answer = request(method, args, (given) => { id = given })
      return { answer, forget() { if (calls.has(id)) { settle(id, { value: undefined }); say({ t: 'forget', id }) } } }
    },

    async process(queue, handlers, processOptions) {
      // Only a page that runs handlers loads what runs them.
      processors ??= import('./page-processors.ts').then((loaded) => pageProcessors = loaded.pageProcessors(request, say))
      return (await processors).process(queue, handlers, processOptions)
    },

    // Only a page that pulls loads what ends that.
    pulled: () => pulled ??= import('./pulled.ts').then((loaded) => pulled = loaded.pulledJobs(request)),

    on(type, listener) {
      if (typeof listener !== 'function') throw invalid('listener', 'must be a function')
      const set = listeners.get(type) ?? new Set()
      listeners.set(type, set)
      set.add(listener)
      say({ t: 'listen', on: true })
      // Only the worker knows what events there are: an error that nobody can catch, as of a listener.
      request('listen', [type]).catch((error: HoldfastError) => { if (error.code === 'VALIDATION') reportError(error) })
      return () => {
        set.delete(listener)
        if (set.size === 0) listeners.delete(type)
        if (listeners.size === 0) say({ t: 'listen', on: false })
      }
    },

    async close(drainMs) {
      if (closed) return
      try { if (link) await within(drainMs + CLOSE_MS, request('drain', [drainMs])) } finally {
        closed = true
        watching.abort()
        listeners.clear()
        fail(wasClosed(name))
        await within(CLOSE_MS, leave())
      }
    },
  }
}
