/**
 * A tab: a page with handlers and a worker with the engine, in realms of the simulated world. The worker's side of the door and the page's
 * processors are the real ones; what `door/client.ts` does around them is done here in short.
 */
import type { HookName } from '../../src/core/job.ts'
import { fromEnvelope, HoldfastError } from '../../src/core/errors.ts'
import { ownerLock } from '../../src/core/owner.ts'
import { batcher } from '../../src/door/batch.ts'
import { answerHook } from '../../src/door/hooks.ts'
import { openHost, type Host } from '../../src/door/host.ts'
import { pageProcessors } from '../../src/door/page-processors.ts'
import type { Hello, Method, Reply, ToHost, ToPage } from '../../src/door/protocol.ts'
import type { Platform } from '../../src/platform/platform.ts'
import type { Handler, Processor } from '../../src/queue.ts'
import { handlerAttempt } from '../../src/runner/handler.ts'
import type { Execute } from '../../src/runner/runner.ts'
import type { Database } from './database.ts'
import type { Realm, World } from './world.ts'

export interface ProcessorSpec { readonly queue: string; readonly names?: readonly string[]; readonly concurrency: number }

/** What all tabs of a simulation share. */
export interface Surroundings {
  readonly world: World
  readonly database: Database
  readonly name: string
  /** What runs a job in this realm. */
  readonly handler: (realm: Realm) => Handler
  /** Sees every attempt of a realm. */
  readonly watched: (realm: Realm, execute: Execute) => Execute
  readonly fetch: (realm: Realm) => typeof fetch
  /** What gets new credentials, for tabs that can. */
  readonly signIn: (realm: Realm) => Promise<void>
  /** What says whether there is a network, for the same tabs. */
  readonly probe?: string | undefined
}

interface Call { readonly method: Method; readonly args: readonly unknown[]; resolve(value: unknown): void; reject(error: unknown): void; giveUp?: (() => void) | undefined; by?: string }

const START_MS = 10_000
const SETTLE_MS = 10_000
const CLOSE_MS = 2000
const RETRY_MS = 1000
const LONGEST_RETRY_MS = 30_000

/** `token`: the first that is drawn, by which the engine names itself. */
function platformOf({ world, database, fetch }: Surroundings, realm: Realm, token: string): Platform {
  const tokens = [token]
  return {
    clock: world.clock(realm), locks: world.locks(realm), connectivity: world.connectivity(realm), channel: world.channel(realm), estimate: () => Promise.resolve(undefined), factory: database.factory(realm),
    fetch: fetch(realm), task: (call) => { world.post(realm, call) }, random: () => world.random.next(), token: () => tokens.pop() ?? world.id('token-'),
  }
}

// ---- the page ----

export class Tab {
  readonly page: Realm
  /** The page as an owner of leases. */
  me: string
  /** The engine's realm; undefined: none is attached. */
  worker: Realm | undefined
  /** When its worker crashes, the page does. */
  doomed = false
  closed = false
  readonly #calls = new Map<number, Call>()
  readonly #processors
  #lastCall = 0
  #heard: number[] = []
  #attaching = false
  #starting: Realm | undefined
  #host: Host | undefined
  #suspended = false
  readonly #options: Hello['options']
  #releaseLock: (() => void) | undefined
  #stopWatching = (): void => {}
  #retryMs = 0
  #stopRetry = (): void => {}

  constructor(private readonly around: Surroundings, private readonly served: readonly ProcessorSpec[], hooks: readonly HookName[] = []) {
    const { world, probe } = around
    this.#options = { durability: 'strict', http: Object.fromEntries(hooks.map((hook) => [hook, 0])), ...(hooks.length > 0 && probe !== undefined && { network: { probe } }) }
    this.page = world.realm(world.id('page-'))
    this.me = this.page.name
    this.page.mourners.add(() => { for (const realm of this.realms) world.kill(realm) })
    this.#processors = pageProcessors((method, args) => this.#request(method, args), (message) => { this.#say(message) }, {
      clock: world.clock(this.page), task: (call) => { this.#inPage(call) }, through: (execute) => around.watched(this.page, execute),
    })
    this.#inPage(() => { void this.#start() })
  }

  /** The realms that die and freeze with it, its page excluded. */
  get realms(): Realm[] { return [this.worker, this.#starting].flatMap((realm) => realm?.alive ? [realm] : []) }
  get alive(): boolean { return this.page.alive }

  freeze(frozen: boolean): void { for (const realm of [this.page, ...this.realms]) realm.frozen = frozen }

  #inPage(call: () => void): void { this.around.world.post(this.page, call) }

  // ---- the worker ----

  async #start(): Promise<void> {
    if (this.#attaching) return
    this.#attaching = true
    const { world, name } = this.around
    try {
      while (!this.#host && !this.closed) {
        this.#releaseLock ??= await world.locks(this.page).hold(ownerLock(name, this.me), () => { this.#lockLost() })
        await this.#attach()
      }
    } catch (error) { this.#fail(error); this.#retry() }
    this.#attaching = false
  }

  #retry(): void {
    if (this.closed) return
    this.#retryMs = Math.min(2 * this.#retryMs || RETRY_MS, LONGEST_RETRY_MS)
    this.#stopRetry()
    this.#stopRetry = this.around.world.after(this.page, this.#retryMs, () => { void this.#start() })
  }

  async #attach(): Promise<void> {
    const { around, page } = this
    const { world } = around
    const token = world.id('token-')
    const worker = world.realm(`worker-${token}`)
    this.#starting = worker
    worker.frozen = page.frozen
    worker.mourners.add(() => { if (this.doomed) world.kill(page) })
    const owner = this.me
    const hello: Hello = structuredClone({
      name: around.name, client: owner, options: this.#options, page: 'https://one.example/', online: world.online, suspended: this.#suspended, generation: undefined,
      processors: this.#processors.all(), unsettled: [...this.#calls].map(([id, { method, by }]) => ({ id, method, by })),
    })
    /** A port keeps what comes before anybody listens. */
    const early: ToPage[] = []
    const receive = (said: readonly ToPage[]): void => { const messages = structuredClone(said); this.#inPage(() => { if (this.worker === worker) for (const message of messages) this.#hear(message); else early.push(...messages) }) }
    let host: Host
    try {
      host = await new Promise<Host>((resolve, reject) => {
        world.after(page, START_MS, () => { reject(new Error('The worker did not answer')) })
        world.post(worker, () => {
          const served = this.served.map((spec) => ({ ...spec, execute: handlerAttempt(() => around.handler(worker)) }))
          openHost(hello, served, platformOf(around, worker, token), receive, (execute) => around.watched(worker, execute)).then((one) => { this.#inPage(() => { resolve(one) }) }, (error: Error) => { this.#inPage(() => { reject(error) }) })
        })
      })
    } catch (error) {
      world.kill(worker)
      throw new HoldfastError('WORKER_DIED', `No worker could be started: ${String(error)}`)
    }
    this.worker = worker
    this.#starting = undefined
    this.#host = host
    this.#retryMs = 0
    for (const [id, reply] of structuredClone(host.welcome.replies)) this.#settle(id, reply)
    const died = (): void => { this.#died(worker) }
    const { alive } = host.welcome
    if (alive) this.#stopWatching = world.locks(page).whenFree(alive, died)
    else { worker.mourners.add(() => { world.after(page, 1000, died) }); if (!worker.alive) world.after(page, 1000, died) }
    if (owner !== this.me) { this.#died(worker); return }
    this.#resume()
    for (const message of early) this.#hear(message)
  }

  #died(worker: Realm): void {
    if (this.closed || this.worker !== worker) return
    const { world } = this.around
    this.worker = this.#host = undefined
    this.#stopWatching()
    world.kill(worker)
    for (const [id, call] of this.#calls) call.giveUp ??= world.after(this.page, SETTLE_MS, () => { this.#settle(id, { error: { code: 'WORKER_DIED', message: `No worker could say whether ${call.method} was applied` } }) })
    void this.#start()
  }

  #lockLost(): void {
    if (this.closed || !this.#releaseLock) return
    const { world } = this.around
    this.me = world.id('page-')
    this.#releaseLock = undefined
    void this.#processors.stop(new HoldfastError('STALE_LEASE', 'The lock of this page was lost'))
    if (this.worker) this.#died(this.worker)
  }

  #resume(): void {
    for (const [id, call] of this.#calls) {
      call.giveUp?.()
      delete call.giveUp
      this.#send(id, call)
    }
    this.#say({ t: 'suspend', on: this.#suspended })
    this.#processors.resume()
  }

  #fail(error: unknown): void {
    for (const call of this.#calls.values()) call.reject(error)
    this.#calls.clear()
  }

  readonly #say = batcher<ToHost>((messages) => {
    const { worker } = this
    const host = this.#host
    if (!worker || !host) return
    const batch = structuredClone({ heard: this.#heard.splice(0), messages })
    this.around.world.post(worker, () => { host.take(batch) })
  })

  // ---- calls ----

  #request(method: Method, args: readonly unknown[], onId?: (id: number) => void): Promise<unknown> {
    return this.closed ? Promise.reject(new HoldfastError('CLOSED', 'The queue was closed')) : this.#ask(method, args, onId)
  }

  #ask(method: Method, args: readonly unknown[], onId?: (id: number) => void): Promise<unknown> {
    const id = ++this.#lastCall
    return new Promise((resolve, reject) => {
      const call: Call = { method, args, resolve, reject }
      this.#calls.set(id, call)
      onId?.(id)
      if (this.#host) this.#send(id, call)
      else void this.#start()
    })
  }

  #send(id: number, call: Call): void {
    call.by = this.me
    this.#say({ t: 'call', id, method: call.method, args: call.args })
  }

  #settle(id: number, reply: Reply): void {
    const call = this.#calls.get(id)
    this.#calls.delete(id)
    this.#heard.push(id)
    call?.giveUp?.()
    if ('error' in reply) call?.reject(fromEnvelope(reply.error))
    else call?.resolve(reply.value)
  }

  #hear(message: ToPage): void {
    if ('processor' in message) { this.#processors.hear(message); return }
    switch (message.t) {
      case 'reply': this.#settle(message.id, message.reply); break
      case 'pushed': message.ids.forEach((id, n) => { this.#settle(id, { value: { ...message.run, first: message.run.first + n, count: 1 } }) }); break
      case 'hook': void this.#answer(this.#host, message); break
      case 'events': case 'generation': break
    }
  }

  async #answer(asker: Host | undefined, { id, hook, args }: Extract<ToPage, { t: 'hook' }>): Promise<void> {
    const reply = await answerHook({ http: { onUnauthorized: () => this.around.signIn(this.page) } }, hook, args)
    if (this.#host === asker) this.#say({ t: 'hooked', id, reply })
  }

  /** A call as the page makes it, in a task of the page's. */
  call<T>(method: Method, ...args: readonly unknown[]): Promise<T> {
    return new Promise((resolve, reject) => { this.#inPage(() => { this.#request(method, structuredClone(args)).then((value) => { resolve(value as T) }, reject) }) })
  }

  /** Waits for a job's end, and gives up after so long. */
  waitFor(id: string, timeoutMs: number): Promise<unknown> {
    return new Promise((resolve, reject) => {
      this.#inPage(() => {
        let number = 0
        this.around.world.after(this.page, timeoutMs, () => {
          if (!this.#calls.has(number)) return
          this.#settle(number, { error: { code: 'TIMEOUT', message: 'Nothing came' } })
          this.#say({ t: 'forget', id: number })
        })
        this.#request('waitFor', [id], (given) => { number = given }).then(resolve, reject)
      })
    })
  }

  // ---- handlers in the page ----

  process(spec: ProcessorSpec): Promise<void> {
    return new Promise((resolve, reject) => { this.#inPage(() => { this.#process(spec).then(resolve, reject) }) })
  }

  async #process({ queue, names, concurrency }: ProcessorSpec): Promise<void> {
    const handler = this.around.handler(this.page)
    const processor = await this.#processors.process(queue, names ? Object.fromEntries(names.map((name) => [name, handler])) : handler, { concurrency })
    this.#ready.set(this.around.world.id('processor-'), processor)
  }

  readonly #ready = new Map<string, Processor>()
  /** Its processors that have begun. */
  get ready(): readonly string[] { return [...this.#ready.keys()] }

  suspend(on: boolean): void { this.#inPage(() => { this.#suspended = on; this.#say({ t: 'suspend', on }) }) }

  pauseProcessor(id: string, paused: boolean): Promise<void> {
    const { pause, resume } = this.#ready.get(id)!
    return new Promise((resolve, reject) => { this.#inPage(() => { (paused ? pause() : resume()).then(resolve, reject) }) })
  }

  stopProcessor(id: string): Promise<void> {
    const { stop } = this.#ready.get(id)!
    return new Promise((resolve, reject) => { this.#inPage(() => { stop().then(() => { this.#ready.delete(id); resolve() }, reject) }) })
  }

  // ---- its end ----

  close(drainMs: number): Promise<void> { return new Promise((resolve, reject) => { this.#inPage(() => { this.#close(drainMs).then(resolve, reject) }) }) }

  async #close(drainMs: number): Promise<void> {
    if (this.closed) return
    const { world } = this.around
    const within = (ms: number, work: Promise<unknown>): Promise<unknown> => Promise.race([work, new Promise((resolve) => { world.after(this.page, ms, () => { resolve(undefined) }) })])
    const leave = async (): Promise<void> => {
      await this.#processors.stop(new HoldfastError('CLOSED', 'The queue was closed'))
      if (this.#host) await within(CLOSE_MS, this.#ask('close', [])).catch(() => {})
      this.#stopWatching()
      for (const realm of this.realms) world.kill(realm)
      this.#releaseLock?.()
    }
    try { if (this.#host) await within(drainMs + CLOSE_MS, this.#request('drain', [drainMs])) } finally {
      this.closed = true
      this.#fail(new HoldfastError('CLOSED', 'The queue was closed'))
      await within(CLOSE_MS, leave())
    }
  }
}
