/** One life of a queue, drawn from a seed: tabs come, work, sleep and die over one database, and after all that everything is where it must be. */
import { isHoldfastError } from '../../src/core/envelope.ts'
import { idsOf, type IdRun } from '../../src/core/id.ts'
import { isFinal, type Job } from '../../src/core/job.ts'
import { present } from '../../src/core/present.ts'
import type { PushOptions } from '../../src/core/push.ts'
import type { FetchInput, PushInput } from '../../src/door/protocol.ts'
import type { RequestInput } from '../../src/door/request.ts'
import type { Held } from '../../src/store/operations.ts'
import { groupOf } from '../../src/store/verbs/groups.ts'
import { openStore } from '../../src/store/store.ts'
import { verify } from '../../src/store/verify.ts'
import { faults } from '../unit/support/database.ts'
import { Database, FAIR, GIVEN_UP_MS, type CommitFate, type Fate, type Weather } from './database.ts'
import { createHandlers, createServer, planOf, type Data } from './handlers.ts'
import { Monitor } from './monitor.ts'
import { Tab, type ProcessorSpec, type Surroundings } from './tab.ts'
import { World, type Realm } from './world.ts'

export interface Outcome { readonly ok: boolean; readonly error?: string; readonly trace: readonly string[]; readonly hash: string; readonly commits: number }

const NAME = 'simulated'
const QUEUES = ['alpha', 'beta'] as const
const PROBE = 'https://one.example/probe'
const NAMES = ['x', 'y', 'z'] as const
const USERS = ['ann', 'bob'] as const
/** Longer than this `setUser` waits for nobody. */
const USER_MS = 5000
const YEAR = 365 * 86_400_000
const WAIT_MS = 20_000
const HEALED_MS = 1_200_000

/** A call of a page, and whether it was answered. */
interface Issued { readonly what: string; readonly tab: Tab; settled: boolean }
interface Pulled { readonly tab: Tab; readonly held: Held; readonly job: Job; busy: boolean; unknown?: true }

const STEPS = {
  push: 22, pushMany: 6, request: 4, pull: 8, end: 14, cancel: 3, remove: 2, promote: 3, retry: 4, update: 3, pause: 1, resume: 2, process: 4, pass: 20, wait: 6,
  jump: 1, sleep: 1, freeze: 2, thaw: 4, crashTab: 2, crashWorker: 3, closeTab: 1, newTab: 4, steal: 1, network: 2, dropConnections: 1, waitFor: 4, bulk: 1, verify: 1, user: 1,
} as const
/** Some lives have these as well, and more of what is done to many. */
const MORE_STEPS = { ...STEPS, bulk: 5, suspend: 3, goOn: 6, pauseProcessor: 3, resumeProcessor: 5, stopProcessor: 2 } as const
type Step = keyof typeof MORE_STEPS

class Life {
  readonly world: World
  readonly database: Database
  readonly monitor: Monitor
  readonly #around: Surroundings
  readonly #handlers: ReturnType<typeof createHandlers>
  readonly #server: ReturnType<typeof createServer>
  readonly #concurrency: ReadonlyMap<string, number>
  /** Whether alpha is fair, and whether jobs depend on others: not drawn, so that the lives of other seeds are what they were. */
  readonly #fair: boolean
  readonly #families: boolean
  /** Whether jobs are edited, processors paused and stopped, and lists take many slices. */
  readonly #edits: boolean
  readonly #issued: Issued[] = []
  readonly #acked = new Set<string>()
  readonly #refused = new Set<string>()
  /** Those that may be gone in the very commit that stores them: their parent is dead already. */
  readonly #fleeting = new Set<string>()
  #tabs: Tab[] = []
  #pulled: Pulled[] = []
  #tokens = 0
  #signedIn = 0
  #maxWall = 0
  #well = false

  constructor(seed: number, probes: boolean) {
    const world = this.world = new World(seed)
    this.#fair = seed % 7 % 5 === 0
    // No seed that found something once is among them.
    this.#families = [1, 5, 6, 7, 8, 12, 13, 14].includes(seed % 16)
    this.#edits = [1, 6, 8, 13].includes(seed % 16)
    if (this.#edits) world.sliceMs = 21
    const { random } = world
    this.database = new Database(world)
    this.monitor = new Monitor(world, this.database, NAME)
    const wrong = (what: string): void => { this.monitor.wrong(what) }
    this.#handlers = createHandlers(world, wrong)
    this.#server = createServer(world)
    this.#concurrency = new Map(QUEUES.map((queue) => [queue, random.between(1, 3)]))
    for (const [queue, limit] of this.#concurrency) this.monitor.limits.set(queue, limit)
    this.monitor.limits.set('http', 4)
    world.locksSupported = !random.chance(0.1)
    world.deafness = random.pick([0, 0, 0, 0.1, 0.5])
    this.#around = {
      world, database: this.database, name: NAME, handler: (realm) => this.#handlers.handler(realm), signIn: (realm) => this.#server.signIn(realm), probe: probes ? PROBE : undefined,
      fetch: (realm) => (url, init) => url === PROBE ? this.#probed(realm, init?.signal) : this.#server.fetch(realm)(url, init),
      watched: (realm, execute) => (attempt) => {
        const { box, job } = attempt.run
        const run = this.monitor.started(realm, box, job)
        const outcome = execute(attempt)
        if (!(outcome instanceof Promise)) { this.monitor.ended(run); return outcome }
        return outcome.finally(() => { this.monitor.ended(run) })
      },
    }
  }

  // ---- the network ----

  /** Behind a captive portal for a third of the time, until all is well. */
  get #portal(): boolean { return !this.#well && Math.floor(this.world.awake / 7000) % 3 === 0 }

  /** Some probes never get an answer. */
  #probed(realm: Realm, signal: AbortSignal | null | undefined): Promise<Response> {
    const { world } = this
    return new Promise((resolve, reject) => {
      signal?.addEventListener('abort', () => { reject(signal.reason as Error) })
      world.after(realm, world.random.pick([20, 20, 20, 500, 30_000]), () => { resolve(this.#portal ? new Response('sign in', { headers: { 'content-type': 'text/html' } }) : new Response(null, { status: 204 })) })
    })
  }

  // ---- the weather ----

  #weather(): Weather {
    const { random } = this.world
    /** Most seeds have one or two kinds of trouble, and some have all. */
    const wild = random.pick([0, 0.3, 1, 1, 3])
    const rate = (base: number): number => random.chance(0.5) ? 0 : base * wild
    const rates = { fail: rate(0.002), quota: rate(0.001), never: rate(0.0004), late: rate(0.003), crash: rate(0.0015), lies: rate(0.01), silent: rate(0.002), opening: rate(0.1) }
    const ms = (): number => random.chance(0.7) ? random.between(1, 3000) : random.between(3000, 30_000)
    const doom = (realm: Realm): void => { if (random.chance(0.5)) for (const tab of this.#tabs) if (tab.realms.includes(realm)) tab.doomed = true }
    const drawn = <K extends string>(weights: Readonly<Record<K, number>>): K | 'ok' => {
      let at = random.next()
      for (const [kind, weight] of Object.entries(weights) as Array<[K, number]>) if ((at -= weight) < 0) return kind
      return 'ok'
    }
    return {
      request: (realm, write): Fate => {
        const kind = drawn({ fail: rates.fail, quota: write ? rates.quota : 0, never: rates.never, late: rates.late, crash: rates.crash })
        if (kind === 'crash') doom(realm)
        return kind === 'late' ? { kind, ms: ms() } : { kind }
      },
      commit: (realm): CommitFate => {
        const kind = drawn({ 'fail': rates.fail * 5, 'quota': rates.quota * 3, 'lies': rates.lies, 'silent': rates.silent, 'never': rates.never * 4, 'late': rates.late * 2, 'crash before': rates.crash * 3, 'crash after': rates.crash * 3 })
        if (kind === 'crash before' || kind === 'crash after') doom(realm)
        return kind === 'late' ? { kind, ms: ms() } : { kind }
      },
      open: (realm): Fate => {
        const kind = drawn({ fail: rates.opening, never: rates.opening / 4, late: rates.opening / 2, crash: rates.crash })
        if (kind === 'crash') doom(realm)
        return kind === 'late' ? { kind, ms: ms() } : { kind }
      },
    }
  }

  // ---- tabs ----

  get #living(): Tab[] { return this.#tabs.filter((tab) => tab.alive && !tab.closed) }

  #spec(queue: string): ProcessorSpec {
    const { random } = this.world
    const names = random.chance(0.5) ? undefined : NAMES.filter(() => random.chance(0.6))
    return { queue, concurrency: this.#concurrency.get(queue) ?? 1, ...(names && names.length > 0 && { names }) }
  }

  #open(served: readonly ProcessorSpec[] = QUEUES.filter(() => this.world.random.chance(0.3)).map((queue) => this.#spec(queue)), signsIn = this.world.random.chance(0.7)): Tab {
    const tab = new Tab(this.#around, served, signsIn ? ['onUnauthorized'] : [])
    this.#tabs.push(tab)
    this.world.log(`${tab.me} opens`)
    return tab
  }

  /** Notes a call and whatever comes of it. */
  #call(tab: Tab, what: string, call: Promise<unknown>, answered: (value: never) => void = () => {}, refused: (error: unknown) => void = () => {}): void {
    const issued: Issued = { what: `${what} of ${tab.me}`, tab, settled: false }
    this.#issued.push(issued)
    this.world.log(`${tab.me}: ${what}`)
    call.then((value) => {
      issued.settled = true
      this.world.log(`${tab.me}: ${what}: done`)
      answered(value as never)
    }, (error: unknown) => {
      issued.settled = true
      this.world.log(`${tab.me}: ${what}: ${isHoldfastError(error) ? error.code : ''} ${String(error)}`)
      if (!isHoldfastError(error)) this.monitor.wrong(`${what} was refused with ${String(error)}`)
      refused(error)
    })
  }

  /** Whether an error says for certain that nothing was done. */
  #isNo(error: unknown): boolean { return isHoldfastError(error) && error.details.unknown !== true && error.code !== 'WORKER_DIED' && error.code !== 'CLOSED' }

  // ---- pushing ----

  /** Every third job depends on one or two others, mostly on such as have not ended. Their names say what they leave. */
  #parents(): PushOptions {
    const [n, known] = [this.#tokens, [...this.monitor.known.values()]]
    const open = known.filter(({ state }) => !isFinal(state))
    const chosen = [open.length > 0 && n % 4 > 0 ? open[n * 7 % open.length] : undefined, n % 2 ? known[n * 13 % known.length] : undefined].filter((job) => job !== undefined)
    if (!this.#families || n % 3 > 0 || chosen.length === 0) return {}
    const onParentDead = ([undefined, 'cancel', 'run'] as const)[n / 3 % 3]
    return { dependsOn: Object.fromEntries(chosen.map((job) => [(job.metadata as { token: string }).token, job.id])), ...(onParentDead && { onParentDead }) }
  }

  #input(request = false): { readonly token: string; readonly input: PushInput | FetchInput } {
    const { random } = this.world
    const token = `job${++this.#tokens}`
    const options: PushOptions = {
      metadata: { token }, ...this.#parents(),
      ...(random.chance(0.3) && { priority: random.between(-1, 2) }), ...(random.chance(0.2) && { delayMs: random.between(1, 60_000) }), ...(random.chance(0.1) && { lifo: true }), ...(random.chance(0.1) && { ttlMs: random.between(100, 60_000) }),
      ...(random.chance(0.1) && { removeOnComplete: true }), ...(random.chance(0.1) && { removeOnFail: true }), ...(random.chance(0.3) && { maxAttempts: random.between(1, 4) }),
      ...(random.chance(0.3) && { group: random.pick(['a', 'b', 'c']), ...(random.chance(0.3) && { onGroupDead: random.pick(['hold', 'continue'] as const) }) }),
      ...(random.chance(0.3) && { timeoutMs: random.between(500, 20_000) }), ...(random.chance(0.5) && { backoff: { type: 'fixed', delayMs: random.between(0, 3000) } }),
    }
    const data: Data = { token, plan: planOf(random), ...(random.chance(0.05) && { ballast: 'b'.repeat(20_000) }) }
    const http: RequestInput = { url: `https://${random.pick(['one', 'two'])}.example/`, method: 'POST', headers: [], body: 'json', unknown: [] }
    const name = random.pick(NAMES)
    if (options.dependsOn && options.removeOnFail) this.#fleeting.add(token)
    return { token, input: request ? { data, options: { ...options, name }, http } : { name, data, options } }
  }

  #push(tab: Tab, request = false): void {
    const queue = request ? 'http' : this.world.random.pick(QUEUES)
    const { token, input } = this.#input(request)
    this.#call(tab, `push ${token} into ${queue}`, tab.call<IdRun>('push', queue, input), (run: IdRun) => { this.#stored([token], run) }, (error) => { if (this.#isNo(error)) this.#refused.add(token) })
  }

  #pushMany(tab: Tab, count: number): void {
    const inputs = Array.from({ length: count }, () => this.#input())
    const tokens = inputs.map(({ token }) => token)
    this.#call(tab, `pushMany ${tokens[0]}-${tokens[count - 1]}`, tab.call<IdRun>('pushMany', this.world.random.pick(QUEUES), inputs.map(({ input }) => input)),
      (run: IdRun) => { this.#stored(tokens, run) }, (error) => { if (this.#isNo(error)) for (const token of tokens) this.#refused.add(token) })
  }

  #stored(tokens: readonly string[], run: IdRun): void {
    idsOf(run).forEach((id, i) => {
      const token = tokens[i] ?? ''
      this.#acked.add(token)
      if (!this.monitor.byToken.get(token)?.has(id) && !this.#fleeting.has(token)) this.monitor.wrong(`${token} was acknowledged as ${id}, which is not stored`)
    })
  }

  // ---- pulling ----

  #pull(tab: Tab): void {
    const { random } = this.world
    const options = { ...(random.chance(0.5) && { leaseMs: random.between(1000, 20_000) }), ...(random.chance(0.3) && { waitMs: random.between(100, 5000) }) }
    this.#call(tab, 'pull', tab.call('pull', random.pick(QUEUES), random.between(1, 4), options), (claim: { box?: number; token?: string; jobs: readonly Job[] }) => {
      for (const job of claim.jobs) this.#pulled.push({ tab, job, busy: false, held: { box: claim.box ?? -1, token: claim.token ?? '', seq: job.seq } })
    })
  }

  /** Ends something that was pulled, or says that it is still worked on. */
  #end(): void {
    const { random } = this.world
    const ready = this.#pulled.filter(({ tab, busy }) => tab.alive && !tab.closed && !busy)
    if (ready.length === 0) return
    const one = random.pick(ready)
    const { tab, held, job } = one
    const what = random.weighted({ ack: 8, fail: 3, release: 1, snooze: 1, heartbeat: 3, report: 1, forget: 1 })
    const over = (): void => { this.#pulled = this.#pulled.filter((other) => other !== one) }
    const left = () => this.monitor.left.get(`${held.box}:${held.seq}`)?.how
    const accepted = (...states: readonly string[]) => (): void => {
      const how = left()
      if (!how || !['gone', 'cancelled', ...states].includes(how)) this.monitor.wrong(`${what} of ${job.seq} in ${held.box} was accepted, but it ${how === undefined ? 'is still held' : `was ${how}`}`)
      over()
    }
    const no = (...states: readonly string[]) => (error: unknown): void => {
      one.busy = false
      if (!this.#isNo(error)) { one.unknown = true; return }
      // What nobody could say may have been done, and is refused now.
      if (!one.unknown && states.includes(left() ?? '')) this.monitor.wrong(`${what} of ${job.seq} in ${held.box} was refused, and done (${String(error)})`)
      if (isHoldfastError(error) && error.code === 'STALE_LEASE' && this.monitor.holds(held.box, held.seq)) this.monitor.wrong(`${what} of ${job.seq} was told that its lease is over, and it is not`)
    }
    if (what === 'forget') { over(); return }
    one.busy = true
    const name = `${what} ${(job.metadata as { token: string }).token} in ${held.box}`
    switch (what) {
      case 'ack': this.#call(tab, name, tab.call('ackMany', [{ held, result: (job.metadata as { token: string }).token }]), ([{ ok }]: ReadonlyArray<{ ok: boolean }> & [{ ok: boolean }]) => {
        if (ok) { accepted('completed')(); return }
        if ((left() === 'completed' && !one.unknown) || this.monitor.holds(held.box, held.seq)) this.monitor.wrong(`ack of ${job.seq} in ${held.box} was refused, but it ${left() ?? 'is still held'}`)
        over()
      }, no('completed')); break
      case 'fail': this.#call(tab, name, tab.call('fail', held, { name: 'Error', message: 'no' }), accepted('delayed', 'dead', 'released'), no('delayed', 'dead', 'released')); break
      case 'release': this.#call(tab, name, tab.call('release', held), accepted('released'), no('released')); break
      case 'snooze': this.#call(tab, name, tab.call('snooze', held, random.between(0, 3000)), accepted('released', 'delayed'), no('delayed', 'released')); break
      case 'heartbeat': this.#call(tab, name, tab.call('heartbeat', held), () => { one.busy = false }, no()); break
      case 'report': this.#call(tab, name, tab.call('report', held, 50, 'half'), () => { one.busy = false }, no()); break
    }
  }

  // ---- what a person does ----

  #act(tab: Tab, what: 'cancel' | 'remove' | 'promote' | 'retry' | 'update'): void {
    const { random } = this.world
    const known = [...this.monitor.known.values()]
    if (known.length === 0) return
    const job = random.pick(known)
    const token = `${(job.metadata as { token: string }).token}`
    if (what === 'remove') this.monitor.removable.add(job.id)
    if (what === 'retry') this.monitor.retried.set(job.id, (this.monitor.retried.get(job.id) ?? 0) + 1)
    const edit = this.#edits && random.chance(0.5)
    const args = what === 'update' ? [edit ? { data: this.#edited(token) } : random.chance(0.5) ? { priority: random.between(-1, 2) } : { runAt: this.world.wall + random.between(-1000, 20_000) }]
      : what === 'retry' && edit ? [present({ data: random.chance(0.3) && !job.http ? this.#edited(token) : undefined, options: this.#options() })] : []
    this.#call(tab, `${what} ${token}`, tab.call(what, job.id, ...args))
  }

  /** Other data for a job, sometimes so large that it is kept apart. */
  #edited(token: string): object {
    return { token, plan: ['fails', 'ok'], ...(this.world.random.chance(0.5) && { ballast: 'b'.repeat(20_000) }) }
  }

  #options(): object {
    const { random } = this.world
    return {
      ...(random.chance(0.5) && { group: random.pick(['a', 'b', 'c']) }), ...(random.chance(0.3) && { lifo: true }), ...(random.chance(0.3) && { ttlMs: random.between(100, 30_000) }),
      ...(random.chance(0.3) && { delayMs: random.between(1, 10_000) }), ...(random.chance(0.3) && { priority: random.between(-1, 2) }),
    }
  }

  // ---- one step ----

  async #step(step: Step): Promise<void> {
    const { world, monitor } = this
    const { random } = world
    const tabs = this.#living
    const tab = tabs.length > 0 ? random.pick(tabs) : this.#open()
    switch (step) {
      case 'push': for (let n = random.between(1, 3); n > 0; n--) this.#push(tab); break
      case 'pushMany': this.#pushMany(tab, random.chance(0.1) ? random.between(60, 90) : random.between(2, 8)); break
      case 'request': this.#push(tab, true); break
      case 'pull': this.#pull(tab); break
      case 'end': this.#end(); break
      case 'cancel': case 'remove': case 'promote': case 'retry': case 'update': this.#act(tab, step); break
      case 'pause': this.#call(tab, 'pause', tab.call('pause', random.pick(QUEUES), random.chance(0.7) ? { until: world.wall + random.between(100, 30_000) } : {})); break
      case 'resume': this.#call(tab, 'resume', tab.call('resume', random.pick(QUEUES))); break
      case 'process': { const spec = this.#spec(random.pick(QUEUES)); this.#call(tab, `process ${spec.queue} ${spec.names?.join() ?? 'all'}`, tab.process(spec)); break }
      case 'pass': await world.advance(random.between(1, 1500)); break
      case 'wait': await world.advance(random.between(1500, 35_000)); break
      case 'jump': { const ms = random.pick([-YEAR, YEAR, -60_000, 60_000]); world.jump(ms); world.log(`the clock jumps by ${ms}`); break }
      case 'sleep': { const ms = random.between(1000, 12 * 3_600_000); world.jump(ms); world.log(`it sleeps for ${ms}`); break }
      case 'freeze': if (random.chance(0.3) || !tab.realms.some((realm) => this.database.busy(realm))) { this.#freeze(tab) } break
      case 'thaw': for (const one of tabs) if (one.page.frozen) { one.freeze(false); world.log(`${one.me} thaws`); break } break
      case 'crashTab': world.kill(tab.page); break
      case 'crashWorker': for (const realm of tab.realms) world.kill(realm); break
      case 'closeTab': this.#call(tab, 'close', tab.close(random.pick([0, 1000]))); break
      case 'newTab': if (tabs.length < 4) this.#open(); break
      case 'steal': if (world.locksSupported) world.steal(random.chance(0.7) ? `holdfast:${NAME}:owner:${tab.me}` : `holdfast:${NAME}:upkeep`); break
      case 'network': world.network(!world.online); break
      case 'dropConnections': if (tab.worker) { world.log(`${tab.worker.name} loses its connections`); this.database.closeAll(tab.worker) } break
      case 'waitFor': { const known = [...monitor.known.keys()]; if (known.length > 0) this.#call(tab, 'waitFor', tab.waitFor(random.pick(known), random.between(1000, WAIT_MS))); break }
      case 'bulk': {
        if (random.chance(0.5)) {
          monitor.retriedAll++
          this.#call(tab, 'retryAll', tab.call('retryAll', this.#edits ? { queue: random.pick(QUEUES) } : { state: 'dead' }))
        } else {
          monitor.endedRemovable = true
          this.#call(tab, 'removeAll', tab.call('removeAll', { name: 'x', state: ['cancelled', 'completed'] }))
        }
        break
      }
      case 'user': {
        if (random.chance(0.1)) { const user = random.pick(USERS); monitor.forgotten.add(user); this.#call(tab, `forgetUser ${user}`, tab.call('forgetUser', user)) }
        else this.#setUser(tab, random.pick([null, ...USERS]))
        break
      }
      case 'suspend': case 'goOn': tab.suspend(step === 'suspend'); world.log(`${tab.me}: ${step}`); break
      case 'pauseProcessor': case 'resumeProcessor': { const { ready } = tab; if (ready.length > 0) this.#call(tab, step, tab.pauseProcessor(random.pick(ready), step === 'pauseProcessor')); break }
      case 'stopProcessor': { const { ready } = tab; if (ready.length > 0) this.#call(tab, step, tab.stopProcessor(random.pick(ready))); break }
      case 'verify': await this.#verify(); break
    }
    this.#maxWall = Math.max(this.#maxWall, world.wall)
  }

  #setUser(tab: Tab, user: string | null): void {
    const { world, monitor } = this
    const [nth, since] = [++this.#signedIn, world.awake]
    this.#call(tab, `setUser ${user}`, tab.call('setUser', user), () => {
      if (nth !== this.#signedIn || world.awake - since >= USER_MS) return
      for (const run of monitor.runningForOthers(user ?? undefined)) monitor.wrong(`the user is ${user}, and ${run.seq} of ${run.user} still runs in ${run.realm.name}`)
    })
  }

  /** A frozen tab may hold up the others, until the browser ends what it has under way. */
  #freeze(tab: Tab): void {
    const { world, database } = this
    tab.freeze(true)
    world.log(`${tab.me} freezes`)
    world.after(world.storage, GIVEN_UP_MS, () => { for (const realm of tab.realms) if (realm.frozen) database.abortAll(realm) })
  }

  /** What the store itself says of what is stored; in a realm of its own, in fair weather. */
  async #verify(): Promise<void> {
    const { world, database, monitor } = this
    const { weather } = database
    const realm = world.realm(world.id('checker-'))
    database.weather = FAIR
    const store = openStore(NAME, {
      factory: database.factory(realm), client: realm.name, durability: 'strict', after: (ms, call) => world.after(realm, ms, call), committed() {}, health() {}, outdated() {}, full() {},
      env: () => ({ now: world.wall, random: () => 0.5, token: () => world.id('token-'), heard: false }),
    })
    let done = false
    world.post(realm, () => {
      verify(store.connection).then(({ ok, faults: found }) => { done = true; if (!ok) monitor.wrong(`verify: ${found.join('; ')}`) }, (error: unknown) => { done = true; world.log(`verify: ${String(error)}`) })
    })
    for (let n = 0; n < 40 && !done; n++) await world.advance(2000)
    if (!done) monitor.wrong('verify hangs')
    store.connection.close()
    world.kill(realm)
    database.weather = weather
  }

  // ---- the whole life ----

  async live(): Promise<void> {
    const { world, database, monitor } = this
    const { random } = world
    this.#tabs = []
    for (let n = random.between(2, 3); n > 0; n--) {
      const tab = this.#open()
      if (random.chance(0.7)) { const spec = this.#spec(random.pick(QUEUES)); this.#call(tab, `process ${spec.queue} ${spec.names?.join() ?? 'all'}`, tab.process(spec)) }
    }
    if (random.chance(0.3)) {
      const cap = random.between(1, 2)
      this.#call(this.#tabs[0]!, `configure beta to ${cap}`, this.#tabs[0]!.call('configure', 'beta', { concurrency: cap }))
    }
    if (this.#fair) this.#call(this.#tabs[0]!, 'configure alpha to be fair', this.#tabs[0]!.call('configure', 'alpha', { order: 'fair' }))
    await world.run()
    database.weather = this.#weather()
    for (let n = random.between(30, 90); n > 0 && monitor.problems.length === 0; n--) {
      await this.#step(this.#edits ? random.weighted(MORE_STEPS) : random.weighted(STEPS))
      await world.run(random.chance(0.5) ? random.int(40) : Infinity)
    }
    if (monitor.problems.length === 0) await this.#heal()
    if (monitor.problems.length === 0) this.#final()
  }

  /** From now on nothing goes wrong: what was begun must come to its end. */
  async #heal(): Promise<void> {
    const { world, database, monitor } = this
    world.log('all is well from here on')
    this.#well = true
    database.weather = FAIR
    world.deafness = 0
    this.#handlers.heal()
    this.#server.heal()
    world.jump(Math.max(0, this.#maxWall - world.wall))
    for (const tab of this.#living) {
      tab.freeze(false)
      tab.doomed = false
      if (!this.#edits) continue
      tab.suspend(false)
      for (const id of tab.ready) tab.pauseProcessor(id, false).catch(() => {})
    }
    if (!world.online) world.network(true)
    // What hangs is given up by the browser at last.
    for (let n = 0; n < 13 && database.pending.length > 0; n++) await world.advance(5000)
    const healer = this.#open(QUEUES.map((queue) => ({ queue, concurrency: this.#concurrency.get(queue) ?? 1 })), true)
    await world.advance(1000)
    // A page that could start no worker tries again at its next call.
    for (const tab of this.#living) this.#call(tab, 'queues', tab.call('queues'))
    /** A group whose dead job holds it up waits for a person, and so do all who wait for its members. */
    const held = (job: Job | undefined): boolean => {
      if (job?.state !== 'blocked') return false
      const head = job.group === undefined ? undefined : database.rows().groups.find((row) => row.position === -Infinity && row.queue === job.queue && row.group === groupOf(job))
      const holder = head && head.seq !== job.seq ? monitor.now.get(head.seq)?.job : undefined
      return holder?.state === 'dead' || held(holder) || (job.waitsFor ?? []).some((seq) => held(monitor.now.get(seq)?.job))
    }
    const open = (): Job[] => [...monitor.now.values()].flatMap(({ job }) => isFinal(job.state) || held(job) ? [] : [job])
    const until = world.awake + HEALED_MS
    while (world.awake < until && monitor.problems.length === 0 && open().length > 0) {
      // Each user has their turn, and may sign in again.
      const { user } = database.rows().meta[0]!
      const [other] = open()
      if (other && open().every((job) => job.user !== undefined && job.user !== user)) this.#setUser(healer, other.user ?? null)
      if (database.rows().credentials.some(({ state }) => state === 'denied')) { this.#server.signedIn(); this.#call(healer, 'resume http', healer.call('resume', 'http')) }
      // A call to pause may still have been on its way.
      for (const { queue, paused } of database.rows().queues) if (paused) this.#call(healer, `resume ${queue}`, healer.call('resume', queue))
      await world.advance(5000)
    }
    if (open().length > 0) for (const row of this.database.rows().queues) world.log(JSON.stringify(row))
    if (open().length > 0) for (const one of this.database.pending) world.log(one)
    for (const job of open()) monitor.wrong(`${(job.metadata as { token: string }).token} is still ${job.state} after ${HEALED_MS / 1000} s in which nothing went wrong`)
    await world.advance(WAIT_MS + 10_000)
    for (const tab of this.#living) this.#call(tab, 'close', tab.close(0))
    await world.advance(15_000)
    await this.#verify()
  }

  #final(): void {
    const { monitor } = this
    for (const { what, settled, tab } of this.#issued) if (!settled && tab.alive) monitor.wrong(`${what} was never answered`)
    for (const token of this.#acked) if (!monitor.byToken.has(token) && !this.#fleeting.has(token)) monitor.wrong(`${token} was acknowledged, and never stored`)
    for (const token of this.#refused) if (monitor.byToken.has(token)) monitor.wrong(`${token} was refused, and is stored`)
    for (const fault of faults(this.database.rows())) monitor.wrong(fault)
  }
}

/** `probes`: tabs that sign in also say whether there is a network. */
export async function simulate(seed: number, probes = false): Promise<Outcome> {
  const life = new Life(seed, probes)
  const { world, monitor } = life
  const lost = (error: unknown): void => { monitor.wrong(`nobody caught ${error instanceof Error ? error.stack : String(error)}`) }
  process.on('unhandledRejection', lost)
  try { await world.inside(() => life.live()) } catch (error) { monitor.wrong(error instanceof Error ? error.stack ?? error.message : String(error)) }
  process.off('unhandledRejection', lost)
  const { problems: [first] } = monitor
  return { ok: first === undefined, trace: world.trace, hash: world.hash, commits: monitor.commits, ...(first !== undefined && { error: first }) }
}
