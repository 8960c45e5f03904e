/** Drives the queue in one realm: wake → upkeep → claim → sleep until the next due time. All it knows is in the database; what it keeps is an economy. */
import { HoldfastError } from '../core/errors.ts'
import type { Job } from '../core/job.ts'
import { originOfKey } from '../core/credentials.ts'
import { parseLane } from '../core/lane.ts'
import { present } from '../core/present.ts'
import type { QueueEvent, StorageHealth } from '../queue.ts'
import type { Channel, Message } from '../platform/channel.ts'
import type { Clock } from '../platform/clock.ts'
import type { Connectivity } from '../platform/connectivity.ts'
import type { Locks } from '../platform/locks.ts'
import type { Estimate } from '../platform/quota.ts'
import { describeError, mayPass } from '../runner/outcome.ts'
import type { RunEnding } from '../runner/runner.ts'
import type { Committed } from '../store/committer.ts'
import * as operations from '../store/operations.ts'
import { readBox, readLeases, readMeta } from '../store/reads.ts'
import type { LeaseRow, QueueRow } from '../store/schema.ts'
import { openStore, type Store } from '../store/store.ts'
import type { Env } from '../store/work.ts'
import { HUNGRY_MS, ProcessorState, type ProcessorOptions } from './processor.ts'
import type { Hooks } from './hooks.ts'
import { createNews } from './news.ts'
import { watchNetwork, type NetworkWatch, type Probe } from './network.ts'
import { createSettling, RETRY_SETTLE_MS } from './settling.ts'
import { createSpace, type Space } from './space.ts'
import { createUpkeep } from './upkeep.ts'
import { createWaiters } from './waiters.ts'

export interface EngineOptions {
  /** The database's name. */
  readonly name: string
  /** The page whose calls it answers. */
  readonly client: string
  /** This realm as an owner of leases. */
  readonly own: string
  readonly durability: 'strict' | 'relaxed'
  readonly factory: IDBFactory
  readonly clock: Clock
  readonly locks: Locks
  readonly connectivity: Connectivity
  readonly channel: (name: string, hear: (message: Message) => void) => Channel
  /** Uniform in [0, 1). */
  readonly random: () => number
  /** 128 random bits as text. */
  readonly token: () => string
  readonly estimate: Estimate
  readonly hooks: Hooks
  /** Says whether there is a network, if the application can. */
  readonly probe?: Probe | undefined
  /** The database's generation when this origin last used it. */
  readonly generation?: string | undefined
  /** Called with the database's generation when it is not that one. */
  readonly generated: (generation: string) => void
  /** Called with the queues that hold requests, now and then. */
  readonly requests: (queues: readonly string[]) => void
  /** Events for this realm's listeners. */
  readonly hear: (events: readonly QueueEvent[]) => void
}

export interface Engine {
  readonly store: Store
  readonly space: Space
  readonly network: NetworkWatch
  /** Begins. Before this it commits nothing. Of these owners the locks are held by this realm or its page, and it beats for them. */
  start(owners: readonly string[]): Promise<void>
  process(options: ProcessorOptions): Promise<void>
  pauseProcessor(id: string, paused: boolean): void
  /** Stops claiming for it and gives back what has not started. */
  stopProcessor(id: string): Promise<void>
  ended(processor: string, endings: readonly RunEnding[]): void
  /** The proof for a job that a processor holds. */
  held(processor: string, key: string): operations.Held | undefined
  /** Resolves when a processor holds nothing and finds nothing to claim. */
  idle(id: string): Promise<void>
  /** Resolves with the job once it is final. */
  waitFor(id: string, signal: AbortSignal): Promise<Job>
  /** Calls back when a queue may have more to claim. */
  onWake(queue: string, call: () => void): () => void
  /** Stops claiming and gives back what has not started, or goes on. */
  suspend(suspended: boolean): void
  /** Resolves when what runs has ended. Nothing is claimed any more. */
  drain(): Promise<void>
  /** Whether anyone here wants events. */
  listen(listening: boolean): void
  /** How the storage is. */
  health(): Promise<Omit<StorageHealth, 'persisted'>>
  close(): Promise<void>
}

export const LEASE_MS = 30_000
const POLL_MS = 1000
const FULL_MS = 60_000

export function createEngine(options: EngineOptions): Engine {
  const { name, clock, locks, connectivity, random, token, hooks } = options
  const processors = new Map<string, ProcessorState>()
  const owners = new Set<string>()
  const wakeListeners = new Map<string, Set<() => void>>()
  const idlers = new Map<string, Array<() => void>>()
  let closed = false
  let suspended = false
  let degraded: string | undefined
  let outdated = false
  /** When it was last told that the storage is full, in awake ms. */
  let fullAt = -Infinity

  const waiters = createWaiters(() => connection, clock, () => { news.ask() })
  const news = createNews({ channel: (hear) => options.channel(`holdfast:${name}`, hear), waiters, hear: options.hear, follow, arrived() { upkeep.soon() } })

  const env = (): Env => ({ now: clock.now(), random, token, heard: news.wanted })
  const store = openStore(name, {
    factory: options.factory, client: options.client, durability: options.durability, env, after: (ms, call) => clock.after(ms, call), committed,
    health(trouble) {
      degraded = trouble === undefined ? undefined : describeError(trouble).message
      news.say({ type: degraded === undefined ? 'recovered' : 'degraded', at: clock.now(), ...present({ message: degraded }) })
    },
    outdated() {
      if (!outdated) news.sayHere({ type: 'outdated', at: clock.now() })
      outdated = true
    },
    full() {
      if (clock.awake() < fullAt + FULL_MS) return
      fullAt = clock.awake()
      news.say({ type: 'storage-low', at: clock.now() })
    },
  })
  const { committer, connection } = store
  const upkeep = createUpkeep({ name, store, clock, locks, owners: () => owners, check: checkLeases, wakeAll, refresh() { void refresh() }, network: (known) => network.look(known), queues: looked, generation: generationIs, log() { connection.drop() } })

  const network = watchNetwork({ store, clock, client: options.client, random, probe: options.probe, online: () => connectivity.online })

  const settling = createSettling({ committer, clock, connectivity, network, random, closed: () => closed, settled: settleIdle, refused() { void refresh() } })

  const space = createSpace(options.estimate, () => { news.say({ type: 'storage-low', at: clock.now() }) })
  void space.look()

  let { generation } = options
  /** Another generation than before: what was stored is gone. */
  function generationIs(found: string): void {
    if (found === generation) return
    if (generation !== undefined) news.sayHere({ type: 'storage-lost', at: clock.now() })
    generation = found
    options.generated(found)
    for (const owner of owners) void checkLeases(owner).catch(() => {})
  }

  // ---- what is told and heard ----

  function committed(commit: Committed): void {
    generationIs(commit.generation)
    news.committed(commit)
  }

  /** Looks where a commit, here or in another tab, says that there is something to do. */
  function follow({ wakes = [], summons = [], dueAt }: Message): void {
    if (dueAt !== undefined) upkeep.due(dueAt)
    for (const owner of summons) summoned(owner)
    for (const queue of wakes) wake(queue)
  }

  function wake(queue: string): void {
    for (const call of wakeListeners.get(queue) ?? []) call()
    for (const processor of processors.values()) {
      if (processor.options.queue !== queue) continue
      processor.wake()
      pump(processor)
    }
  }

  function wakeAll(): void {
    for (const queue of new Set([...wakeListeners.keys(), ...[...processors.values()].map((p) => p.options.queue)])) wake(queue)
  }

  let wasOnline = connectivity.online
  let unwatch = (): void => {}
  function connected(online: boolean): void {
    if (online !== wasOnline) news.say({ type: online ? 'online' : 'offline', at: clock.now() })
    wasOnline = online
    if (online) {
      network.sign()
      committer.submit({ alone: true, run: operations.tryOrigins }).then(wakeAll, () => {})
    } else for (const processor of processors.values()) processor.options.port.giveBack()
  }

  /** Names that nobody has a handler for, told once. */
  const unhandled = new Set<string>()
  function looked(rows: readonly QueueRow[], leader: boolean): void {
    if (leader) void space.look()
    options.requests(rows.filter(({ http }) => http).map(({ queue }) => queue))
    // Whoever was not told by channel finds out here.
    for (const { queue, lanes, paused } of rows) if (!paused && Object.keys(lanes).length > 0) wake(queue)
    for (const { queue, lanes, processors: shares } of leader ? rows : []) for (const lane of Object.keys(lanes)) {
      const { name: job, origin } = parseLane(lane)
      const id = `${queue} ${job}`
      const handled = origin !== undefined || Object.values(shares).some(({ names }) => !names || names.includes(job))
      if (handled) unhandled.delete(id)
      else if (!unhandled.has(id)) { unhandled.add(id); news.say({ type: 'unhandled', at: clock.now(), queue, name: job }) }
    }
  }

  /** Gets new credentials where they are asked for, if the application here can. */
  async function refresh(): Promise<void> {
    if (closed || !hooks.names.includes('onUnauthorized')) return
    const refreshes = await committer.submit({ alone: true, run: (work) => operations.takeRefreshes(work, options.own) }).catch(() => [])
    for (const one of refreshes) void hooks.call('onUnauthorized', { origin: originOfKey(one.key) }).then(() => 'refreshed' as const, (error: unknown) => mayPass(describeError(error)) ? 'delayed' as const : 'denied' as const)
      .then((outcome) => committer.submit({ alone: true, run: (work) => operations.refreshed(work, one, outcome) })).catch(() => {})
  }

  // ---- claiming ----

  function pump(processor: ProcessorState): void {
    if (closed || suspended) { settleIdle(processor); return }
    const { share, options: { queue, owner, runs, concurrency, port } } = processor
    const count = processor.wanted
    if (count <= 0) { yieldShare(processor); settleIdle(processor); return }
    processor.claiming = true
    const { wakes } = processor
    const request: operations.ClaimRequest = {
      queue, owner, leaseMs: LEASE_MS, online: connectivity.online, count,
      processor: { id: share, want: concurrency, running: processor.running, runs },
    }
    committer.submit({ needs: [['queues', queue]], rooms: operations.RUN_ROOMS, run: (work) => operations.claim(work, request) }).then(({ has, hungry, gated, box, token: proof, jobs }) => {
      processor.gated = gated
      processor.claiming = false
      processor.has = has
      // A job pushed after the claim, in its very transaction, has woken this processor already.
      if (jobs.length < count && processor.wakes === wakes) processor.dry = true
      port.run(has, box === undefined || proof === undefined ? [] : processor.hold(box, proof, jobs))
      if (hungry) lookAgain(processor)
      else processor.patience = HUNGRY_MS
      if (processor.stopped || processor.paused || suspended) port.giveBack()
      pump(processor)
    }, () => { claimAgain(processor) })
  }

  /** A claim that failed may have been applied all the same: until that is known nothing else is claimed. */
  function claimAgain(processor: ProcessorState): void {
    if (!closed) clock.after(RETRY_SETTLE_MS, () => {
      adoptLeases(processor).then(() => {
        processor.claiming = false
        pump(processor)
      }, () => { claimAgain(processor) })
    })
  }

  /** Takes what was claimed for it and never came here: by a former engine of this page, which may still be running it, or by a claim whose answer was lost. */
  async function adoptLeases(processor: ProcessorState): Promise<void> {
    const { share, options: { owner, port } } = processor
    for (const lease of await readLeases(connection, owner)) {
      if (lease.processor !== share || processor.known.has(lease.token)) continue
      const jobs = await readBox(connection, lease)
      processor.has = Math.max(1, processor.has)
      port.run(processor.has, processor.hold(lease.box, lease.token, jobs))
    }
  }

  /** Whose turn it is may be frozen: who waits looks again, less and less often. */
  function lookAgain(processor: ProcessorState): void {
    if (processor.looking) return
    processor.looking = true
    clock.after(processor.patience, () => {
      processor.looking = false
      processor.patience = Math.min(2 * processor.patience, POLL_MS)
      processor.wake()
      pump(processor)
    })
  }

  /** Who is paused and holds nothing lets others have its share. */
  function yieldShare(processor: ProcessorState): void {
    if (!processor.paused || processor.has === 0 || processor.held.size > 0 || processor.claiming) return
    processor.has = 0
    committer.submit({ run: (work) => operations.yieldShare(work, processor.options.queue, processor.share) }).catch(() => {})
  }

  function settleIdle(processor: ProcessorState): void {
    // Until its ends are stored, only its page knows of them.
    if (processor.held.size > 0 || processor.unsettled > 0 || processor.claiming || !(processor.dry || processor.stopped || processor.paused || suspended)) return
    const { id } = processor.options
    for (const idle of idlers.get(id) ?? []) idle()
    idlers.delete(id)
  }

  // ---- ending ----

  function ended(id: string, endings: readonly RunEnding[]): void {
    const processor = processors.get(id)
    if (!processor) return
    processor.learn(endings)
    const known = endings.flatMap((ending) => {
      const run = processor.held.get(ending.key)
      return run ? [{ ending, run }] : []
    })
    for (const { key } of endings) processor.held.delete(key)
    settling.settle(processor, known, endings.map(({ key }) => key))
    if (processor.overloaded) processor.options.port.giveBack()
    if (processor.held.size === 0) processor.wake()
    pump(processor)
  }

  /** Someone stopped, took back or hungers for what an owner of this realm holds. */
  function summoned(owner: string): void {
    if (!owners.has(owner)) return
    for (const processor of processors.values()) if (processor.options.owner === owner && processor.held.size > processor.has) processor.options.port.giveBack()
    void checkLeases(owner).catch(() => {})
  }

  /** Compares what this realm runs with the leases it has. */
  async function checkLeases(owner: string): Promise<void> {
    const asked = [...processors.values()].filter((processor) => processor.options.owner === owner)
      .map((processor) => ({ processor, keys: [...processor.held.keys()], tokens: [...processor.known.keys()] }))
    if (asked.length === 0) return
    const [leases, meta] = await Promise.all([readLeases(connection, owner), readMeta(connection)])
    for (const { processor, keys, tokens } of asked) {
      const mine = leases.filter((lease) => lease.processor === processor.share)
      for (const key of keys) checkRun(processor, key, mine, meta?.user)
      // A claim that was applied though its answer was lost.
      if (!processor.claiming && mine.some(({ token: proof }) => !processor.known.has(proof))) { processor.claiming = true; claimAgain(processor) }
      for (const token of tokens) if (!leases.some((lease) => lease.token === token)) processor.known.delete(token)
    }
  }

  /** Stops what runs under a lease that was lost or told to stop. */
  function checkRun({ held, options: { port } }: ProcessorState, key: string, leases: readonly LeaseRow[], user: string | undefined): void {
    const run = held.get(key)
    if (!run) return
    const lease = leases.find(({ token: proof }) => proof === run.token)
    const stop = lease?.cancels?.[run.job.seq]
    if (!lease?.left.includes(run.job.seq)) port.abort(key, operations.staleLease(run.job.seq))
    else if (run.job.user !== undefined && run.job.user !== user) port.abort(key, new HoldfastError('INVALID_STATE', 'It belongs to another user than the one who is signed in', { id: run.job.id }))
    else if (stop) port.abort(key, new HoldfastError('INVALID_STATE', stop.reason, { id: run.job.id }))
  }

  return {
    store, space, network,

    async start(list) {
      for (const owner of list) owners.add(owner)
      unwatch = connectivity.watch(connected)
      network.start()
      await upkeep.beat(list)
      news.hello()
      upkeep.start()
    },

    async process(processorOptions) {
      const { id, queue, owner, runs, concurrency } = processorOptions
      if (processors.has(id)) return
      const processor = new ProcessorState(processorOptions)
      processor.has = await committer.submit({ needs: [['queues', queue]], run: (work) => operations.register(work, queue, processor.share, runs.kind === 'requests' ? undefined : concurrency) })
      await adoptLeases(processor)
      // Only now may anything else be claimed for it.
      processors.set(id, processor)
      // It claims from here on, so it must not be refused any more.
      void checkLeases(owner).catch(() => {})
      pump(processor)
    },

    pauseProcessor(id, paused) {
      const processor = processors.get(id)
      if (!processor) return
      processor.paused = paused
      if (paused) processor.options.port.giveBack()
      else processor.wake()
      pump(processor)
    },

    async stopProcessor(id) {
      const processor = processors.get(id)
      if (!processor) return
      processor.stopped = true
      processor.options.port.giveBack()
      await idle(processor)
      processors.delete(id)
      await committer.submit({ run: (work) => operations.unregister(work, processor.options.queue, processor.share) })
    },

    ended,

    held(id, key) {
      const run = processors.get(id)?.held.get(key)
      return run && { box: run.box, token: run.token, seq: run.job.seq }
    },

    async idle(id) { const processor = processors.get(id); if (processor) await idle(processor) },

    waitFor: (id, signal) => waiters.wait(id, signal),

    onWake(queue, call) {
      const set = wakeListeners.get(queue) ?? new Set()
      wakeListeners.set(queue, set)
      set.add(call)
      return () => { set.delete(call); if (set.size === 0) wakeListeners.delete(queue) }
    },

    suspend,

    async drain() {
      suspend(true)
      await Promise.all([...processors.values()].map(idle))
      await committer.idle()
    },

    listen(on) { news.listen(on) },

    async health() {
      await space.look()
      const meta = await readMeta(connection).catch(() => undefined)
      return present({ state: degraded === undefined ? 'ok' as const : 'degraded' as const, reason: degraded, ...space.estimate, low: space.low || meta?.reserve === 'spent', durability: options.durability, generation: meta?.generation ?? generation ?? '' })
    },

    async close() {
      suspend(true)
      closed = true
      unwatch()
      network.stop()
      upkeep.stop()
      waiters.close()
      await committer.idle()
      // What still runs keeps its place until its owner ends.
      for (const { held, share, options: { queue } } of processors.values()) if (held.size === 0) committer.submit({ run: (work) => operations.unregister(work, queue, share) }).catch(() => {})
      await committer.idle()
      news.close()
      connectivity.close()
      await store.close()
    },
  }

  function suspend(on: boolean): void {
    const was = suspended
    suspended = on
    if (on) for (const processor of processors.values()) processor.options.port.giveBack()
    else if (was) wakeAll()
  }

  function idle(processor: ProcessorState): Promise<void> {
    return new Promise((resolve) => {
      const list = idlers.get(processor.options.id) ?? []
      list.push(resolve)
      idlers.set(processor.options.id, list)
      settleIdle(processor)
      pump(processor)
    })
  }
}
