/**
 * A tab: a page with handlers and a worker with the engine, as `src/door` joins them, in realms of the simulated world. The engine, the runner,
 * the calls and the receipts are the real ones; what `door/client.ts`, `door/host.ts` and `door/page-processors.ts` do around them is done here in short.
 */
import { toEnvelope } from '../../src/core/envelope.ts'
import { fromEnvelope, HoldfastError } from '../../src/core/errors.ts'
import type { Runs } from '../../src/core/lane.ts'
import { ownerLock } from '../../src/core/owner.ts'
import { present } from '../../src/core/present.ts'
import { batcher } from '../../src/door/batch.ts'
import { createCalls } from '../../src/door/calls.ts'
import type { Method, ProcessorWish, Reply, ToHost, ToHostBatch, ToPage, ToProcessor, Unsettled } from '../../src/door/protocol.ts'
import { settledReplies } from '../../src/door/receipts.ts'
import { createEngine, type Engine } from '../../src/engine/engine.ts'
import type { HookName } from '../../src/core/job.ts'
import { hooksWithin } from '../../src/engine/hooks.ts'
import type { Probe } from '../../src/engine/network.ts'
import { httpAttempt } from '../../src/engine/http.ts'
import type { Port } from '../../src/engine/processor.ts'
import { keyOf } from '../../src/runner/key.ts'
import { byFetch } from '../../src/platform/send.ts'
import { createRunner, type Execute, type RunEnding, type Runner } from '../../src/runner/runner.ts'
import * as operations from '../../src/store/operations.ts'
import * as reads from '../../src/store/reads.ts'
import type { Database } from './database.ts'
import type { Realm, World } from './world.ts'

export interface ProcessorSpec { readonly queue: string; readonly names?: readonly string[]; readonly concurrency: number }

/** What all tabs of a simulation share. */
export interface Surroundings {
  readonly world: World
  readonly database: Database
  readonly name: string
  /** What runs a job in this realm. */
  readonly execute: (realm: Realm) => Execute
  /** Sees every attempt of a realm. */
  readonly watched: (realm: Realm, execute: Execute) => Execute
  readonly fetch: (realm: Realm) => typeof fetch
  /** What gets new credentials, for tabs that can. */
  readonly signIn: (realm: Realm) => Promise<void>
  /** What says whether there is a network, for the same tabs. */
  readonly probe?: ((realm: Realm) => Probe) | undefined
}

interface Call { readonly method: Method; readonly args: readonly unknown[]; resolve(value: unknown): void; reject(error: unknown): void; giveUp?: (() => void) | undefined; by?: string }
interface PageProcessor { readonly runner: Runner; readonly spec: ProcessorSpec; readonly unsettled: Map<string, RunEnding>; readonly held: Map<string, operations.Held> }
interface Host { readonly engine: Engine; take(batch: ToHostBatch): void }
interface Welcome { readonly host: Host; readonly alive: string; readonly replies: ReadonlyArray<readonly [number, Reply]> }

const START_MS = 10_000
const SETTLE_MS = 10_000
const CLOSE_MS = 2000
const HTTP_CONCURRENCY = 4
const NOTHING: operations.Held = { box: -1, token: '', seq: -1 }

// ---- the worker ----

async function openHost({ world, database, name, execute, watched, fetch, signIn, probe }: Surroundings, realm: Realm, hello: { readonly hooks: readonly HookName[];  readonly client: string; readonly unsettled: readonly Unsettled[]; readonly processors: readonly ProcessorWish[] },
  served: readonly ProcessorSpec[], receive: (messages: readonly ToPage[]) => void): Promise<Welcome> {
  const { client, unsettled, processors } = hello
  const [clock, locks, connectivity] = [world.clock(realm), world.locks(realm), world.connectivity(realm)]
  const own = realm.name
  await locks.hold(ownerLock(name, own))
  const hooks = hooksWithin(hello.hooks, clock, () => signIn(realm))
  const say = batcher<ToPage>((messages) => { receive(structuredClone(messages)) })
  const engine = createEngine({
    hooks, probe: hooks.names.length > 0 ? probe?.(realm) : undefined,
    name, client, own, durability: 'strict', factory: database.factory(realm), clock, locks, connectivity, estimate: () => Promise.resolve(undefined), channel: world.channel(realm),
    random: () => world.random.next(), token: () => world.id('token-'), generated() {}, requests(queues) { for (const queue of queues) void requests(queue) }, hear() {},
  })
  const { connection, committer } = engine.store

  function local(id: string, { queue, names, concurrency }: ProcessorSpec, runs: Runs, how: Execute): Promise<void> {
    const held = (key: string): operations.Held => engine.processors.held(id, key) ?? NOTHING
    const runner = createRunner({
      clock, task: (call) => { world.post(realm, call) },
      ended(endings) { engine.processors.ended(id, endings) },
      report(key, report) { committer.submit({ relaxed: true, run: (work) => operations.report(work, held(key), report) }).catch(() => {}) },
      heartbeat: (key) => committer.submit({ relaxed: true, run: (work) => operations.heartbeat(work, held(key)) }),
      steps: (key) => reads.readSteps(connection, held(key).seq),
      storeStep: (key, step, value) => committer.submit({ run: (work) => operations.storeStep(work, held(key), step, value) }),
    }, watched(realm, how))
    void names
    return engine.processors.add({ id, queue, owner: own, runs, concurrency, port: { run: runner.run, abort: runner.abort, giveBack: runner.giveBack, settled() {} } })
  }

  const sending = new Set<string>()
  async function requests(queue: string): Promise<void> {
    if (sending.has(queue)) return
    sending.add(queue)
    const send = byFetch(fetch(realm))
    const attempt = httpAttempt({ clock, hooks, send, upload: send, online: () => world.online, vouches: engine.network.vouches })
    // Asked again at the next look.
    await local(`${own}:${queue}`, { queue, concurrency: HTTP_CONCURRENCY }, { kind: 'requests', hooks: hooks.names }, attempt).catch(() => { sending.delete(queue) })
  }

  const { replies, receipts } = await settledReplies(connection, unsettled)
  committer.restore(receipts)
  await engine.start([own, client])
  for (const spec of served) await local(`${own}:${spec.queue}:served`, spec, present({ kind: 'handlers' as const, names: spec.names }), execute(realm))

  const port = (processor: string): Port => ({
    run(slots, runs) { say({ t: 'run', processor, slots, runs }) },
    abort(key, reason) { say({ t: 'abort', processor, key, reason: toEnvelope(reason) }) },
    giveBack() { say({ t: 'giveBack', processor }) },
    settled(keys) { say({ t: 'settled', processor, keys }) },
  })
  const calls = createCalls({ engine, claims: true, hooks: hooks.names, clock, connectivity, client, say, port, requests, cutOff: () => Promise.resolve(), leave: engine.close })
  await Promise.all(processors.map(calls.process))
  const host: Host = {
    engine,
    take({ heard, messages }) {
      committer.confirm(heard)
      calls.take(messages.filter((message) => message.t === 'call'))
      for (const message of messages) switch (message.t) {
        case 'call': break
        case 'forget': calls.forget(message.id); break
        case 'ended': engine.processors.ended(message.processor, message.endings); break
        case 'report': {
          const held = engine.processors.held(message.processor, message.key)
          if (held) committer.submit({ relaxed: true, run: (work) => operations.report(work, held, message.report) }).catch(() => {})
          break
        }
        case 'online': break
        case 'suspend': engine.suspend(message.on); break
        case 'listen': engine.listen(message.on); break
        case 'hooked': break
      }
    },
  }
  return { host, alive: locks.supported ? ownerLock(name, own) : '', replies }
}

// ---- the page ----

export class Tab {
  readonly page: Realm
  /** The page as an owner of leases. */
  me: string
  /** The engine's realm; undefined: none is attached. */
  worker: Realm | undefined
  engine: Engine | undefined
  /** When its worker crashes, the page does. */
  doomed = false
  closed = false
  readonly #calls = new Map<number, Call>()
  readonly #processors = new Map<string, PageProcessor>()
  #lastCall = 0
  #heard: number[] = []
  #attaching = false
  #starting: Realm | undefined
  #host: Host | undefined
  #releaseLock: (() => void) | undefined
  #stopWatching = (): void => {}

  constructor(private readonly around: Surroundings, private readonly served: readonly ProcessorSpec[], private readonly hooks: readonly HookName[] = []) {
    const { world } = around
    this.page = world.realm(world.id('page-'))
    this.me = this.page.name
    this.page.mourners.add(() => { for (const realm of this.realms) world.kill(realm) })
    this.#inPage(() => { void this.#start() })
  }

  /** The realms that die and freeze with it, its page excluded. */
  get realms(): Realm[] { return [this.worker, this.#starting].flatMap((realm) => realm?.alive ? [realm] : []) }
  get alive(): boolean { return this.page.alive }
  get #wishes(): ProcessorWish[] { return [...this.#processors].map(([id, { spec }]) => ({ id, queue: spec.queue, names: spec.names, options: { concurrency: spec.concurrency }, paused: false })) }

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
    } catch (error) { this.#fail(error) }
    this.#attaching = false
  }

  async #attach(): Promise<void> {
    const { around, page } = this
    const { world } = around
    const worker = world.realm(world.id('worker-'))
    this.#starting = worker
    worker.frozen = page.frozen
    worker.mourners.add(() => { if (this.doomed) world.kill(page) })
    const owner = this.me
    const hello = { client: owner, hooks: this.hooks, unsettled: [...this.#calls].map(([id, { method, by }]) => ({ id, method, by })), processors: structuredClone(this.#wishes) }
    /** A port keeps what comes before anybody listens. */
    const early: ToPage[] = []
    const receive = (messages: readonly ToPage[]): void => { this.#inPage(() => { if (this.worker === worker) for (const message of messages) this.#hear(message); else early.push(...messages) }) }
    let welcome: Welcome
    try {
      welcome = await new Promise<Welcome>((resolve, reject) => {
        world.after(page, START_MS, () => { reject(new Error('The worker did not answer')) })
        world.post(worker, () => {
          openHost(around, worker, hello, this.served, receive).then((one) => { this.#inPage(() => { resolve(one) }) }, (error: Error) => { this.#inPage(() => { reject(error) }) })
        })
      })
    } catch (error) {
      world.kill(worker)
      throw new HoldfastError('WORKER_DIED', `No worker could be started: ${String(error)}`)
    }
    this.worker = worker
    this.#starting = undefined
    this.#host = welcome.host
    this.engine = welcome.host.engine
    for (const [id, reply] of structuredClone(welcome.replies)) this.#settle(id, reply)
    const died = (): void => { this.#died(worker) }
    if (welcome.alive) this.#stopWatching = world.locks(page).whenFree(welcome.alive, died)
    else { worker.mourners.add(() => { world.after(page, 1000, died) }); if (!worker.alive) world.after(page, 1000, died) }
    if (owner === this.me) this.#resume()
    for (const message of early) this.#hear(message)
    if (owner !== this.me) this.#died(worker)
  }

  #died(worker: Realm): void {
    if (this.closed || this.worker !== worker) return
    const { world } = this.around
    this.worker = this.engine = this.#host = undefined
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
    void this.#stopHandlers(new HoldfastError('STALE_LEASE', 'The lock of this page was lost'))
    if (this.worker) this.#died(this.worker)
  }

  #resume(): void {
    for (const [id, call] of this.#calls) {
      call.giveUp?.()
      delete call.giveUp
      this.#send(id, call)
    }
    for (const [id, { unsettled }] of this.#processors) if (unsettled.size > 0) this.#say({ t: 'ended', processor: id, endings: [...unsettled.values()] })
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
    if ('processor' in message) { this.#hearProcessor(message); return }
    switch (message.t) {
      case 'reply': this.#settle(message.id, message.reply); break
      case 'pushed': message.ids.forEach((id, n) => { this.#settle(id, { value: { ...message.run, first: message.run.first + n, count: 1 } }) }); break
      case 'events': case 'generation': case 'hook': break
    }
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

  async #process(spec: ProcessorSpec): Promise<void> {
    const { world, execute, watched } = this.around
    const id = world.id('processor-')
    const unsettled = new Map<string, RunEnding>()
    const held = new Map<string, operations.Held>()
    const proof = (key: string): operations.Held => held.get(key) ?? NOTHING
    const runner = createRunner({
      clock: world.clock(this.page), task: (call) => { this.#inPage(call) },
      ended: (endings) => {
        for (const ending of endings) unsettled.set(ending.key, ending)
        if (this.#host) this.#say({ t: 'ended', processor: id, endings })
      },
      report: (key, report) => { if (this.#host) this.#say({ t: 'report', processor: id, key, report }) },
      heartbeat: async (key) => { await this.#request('heartbeat', [proof(key)]) },
      steps: async (key) => await this.#request('steps', [proof(key).seq]) as Record<string, unknown>,
      storeStep: async (key, step, value) => { await this.#request('storeStep', [proof(key), step, value]) },
    }, watched(this.page, execute(this.page)))
    this.#processors.set(id, { runner, spec, unsettled, held })
    try {
      await this.#request('process', [id, spec.queue, spec.names, { concurrency: spec.concurrency }])
      this.#ready.add(id)
    } catch (error) { this.#processors.delete(id); throw error }
  }

  #hearProcessor(message: ToProcessor): void {
    const processor = this.#processors.get(message.processor)
    if (!processor) { this.#refuse(message); return }
    const { runner, unsettled, held } = processor
    switch (message.t) {
      case 'run':
        for (const { box, token, job } of message.runs) held.set(keyOf(token, job.seq), { box, token, seq: job.seq })
        runner.run(message.slots, message.runs.filter(({ token, job }) => !unsettled.has(keyOf(token, job.seq))))
        break
      case 'abort': runner.abort(message.key, fromEnvelope(message.reason)); break
      case 'giveBack': runner.giveBack(); break
      case 'settled': for (const key of message.keys) { unsettled.delete(key); held.delete(key) } break
    }
  }

  /** What comes for a processor that was stopped is given back. */
  #refuse(message: ToProcessor): void {
    if (message.t !== 'run' || message.runs.length === 0) return
    this.#say({ t: 'ended', processor: message.processor, endings: message.runs.map(({ token, job }) => ({ key: keyOf(token, job.seq), event: { type: 'release' }, ms: 0 })) })
    this.#request('stopProcessor', [message.processor]).catch(() => {})
  }

  readonly #ready = new Set<string>()
  /** Its processors that have begun. */
  get ready(): readonly string[] { return [...this.#ready] }

  suspend(on: boolean): void { this.#inPage(() => { this.#say({ t: 'suspend', on }) }) }

  pauseProcessor(id: string, paused: boolean): Promise<unknown> { return this.call('pauseProcessor', id, paused) }

  async stopProcessor(id: string): Promise<void> {
    await this.call('stopProcessor', id)
    this.#ready.delete(id)
    this.#processors.delete(id)
  }

  #stopHandlers(reason: HoldfastError): Promise<unknown> {
    return Promise.all([...this.#processors.values()].map(({ runner }) => {
      for (const key of runner.keys()) runner.abort(key, reason)
      return runner.idle()
    }))
  }

  // ---- its end ----

  close(drainMs: number): Promise<void> { return new Promise((resolve, reject) => { this.#inPage(() => { this.#close(drainMs).then(resolve, reject) }) }) }

  async #close(drainMs: number): Promise<void> {
    if (this.closed) return
    const { world } = this.around
    const within = (ms: number, work: Promise<unknown>): Promise<unknown> => Promise.race([work, new Promise((resolve) => { world.after(this.page, ms, () => { resolve(undefined) }) })])
    const leave = async (): Promise<void> => {
      await this.#stopHandlers(new HoldfastError('CLOSED', 'The queue was closed'))
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


