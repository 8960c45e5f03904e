/** Drives the queue in one realm: wake → upkeep → claim → sleep until the next due time. All it knows is in the database; what it keeps is an economy. */
import type { Job } from '../core/job.ts'
import { originOfKey } from '../core/credentials.ts'
import { parseLane } from '../core/lane.ts'
import { present } from '../core/present.ts'
import type { QueueEvent, StorageHealth } from '../queue.ts'
import type { Message } from '../platform/channel.ts'
import type { Platform } from '../platform/platform.ts'
import { describeError, mayPass } from '../runner/outcome.ts'
import type { Committed } from '../store/committer.ts'
import * as operations from '../store/operations.ts'
import { readMeta } from '../store/reads.ts'
import type { QueueRow } from '../store/schema.ts'
import { openStore, type Store } from '../store/store.ts'
import type { Env } from '../store/work.ts'
import { createProcessors, type Processors } from './processors.ts'
import type { Hooks } from './hooks.ts'
import { createNews } from './news.ts'
import { watchNetwork, type NetworkWatch, type Probe } from './network.ts'
import { createSpace, type Space } from './space.ts'
import { createUpkeep } from './upkeep.ts'
import { createWaiters } from './waiters.ts'

export interface EngineOptions extends Omit<Platform, 'fetch' | 'task'> {
  /** The database's name. */
  readonly name: string
  /** The page whose calls it answers. */
  readonly client: string
  /** This realm as an owner of leases. */
  readonly own: string
  readonly durability: 'strict' | 'relaxed'
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
  readonly processors: Pick<Processors, 'add' | 'pause' | 'stop' | 'ended' | 'held' | 'idle'>
  /** Begins. Before this it commits nothing. Of these owners the locks are held by this realm or its page, and it beats for them. */
  start(owners: readonly string[]): Promise<void>
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

const FULL_MS = 60_000

export function createEngine(options: EngineOptions): Engine {
  const { name, clock, locks, connectivity, random, token, hooks } = options
  const owners = new Set<string>()
  const wakeListeners = new Map<string, Set<() => void>>()
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
  const upkeep = createUpkeep({ name, store, clock, locks, owners: () => owners, check: (owner) => processors.check(owner), wakeAll, refresh() { void refresh() }, network: (known) => network.look(known), queues: looked, generation: generationIs, log() { connection.drop() } })

  const network = watchNetwork({ store, clock, client: options.client, random, probe: options.probe, online: () => connectivity.online })

  const processors = createProcessors({ store, clock, connectivity, network, random, closed: () => closed, suspended: () => suspended, refused() { void refresh() } })

  const space = createSpace(options.estimate, () => { news.say({ type: 'storage-low', at: clock.now() }) })
  void space.look()

  let { generation } = options
  /** Another generation than before: what was stored is gone. */
  function generationIs(found: string): void {
    if (found === generation) return
    if (generation !== undefined) news.sayHere({ type: 'storage-lost', at: clock.now() })
    generation = found
    options.generated(found)
    for (const owner of owners) void processors.check(owner).catch(() => {})
  }

  // ---- what is told and heard ----

  function committed(commit: Committed): void {
    generationIs(commit.generation)
    news.committed(commit)
  }

  /** Looks where a commit, here or in another tab, says that there is something to do. */
  function follow({ wakes = [], summons = [], dueAt }: Message): void {
    if (dueAt !== undefined) upkeep.due(dueAt)
    for (const owner of summons) if (owners.has(owner)) processors.summoned(owner)
    for (const queue of wakes) wake(queue)
  }

  function wake(queue: string): void {
    for (const call of wakeListeners.get(queue) ?? []) call()
    processors.wake(queue)
  }

  function wakeAll(): void {
    for (const queue of new Set([...wakeListeners.keys(), ...processors.queues()])) wake(queue)
  }

  let wasOnline = connectivity.online
  let unwatch = (): void => {}
  function connected(online: boolean): void {
    if (online !== wasOnline) news.say({ type: online ? 'online' : 'offline', at: clock.now() })
    wasOnline = online
    if (online) {
      network.sign()
      committer.submit({ alone: true, run: operations.tryOrigins }).then(wakeAll, () => {})
    } else processors.giveBack()
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

  return {
    store, space, network, processors,

    async start(list) {
      for (const owner of list) owners.add(owner)
      unwatch = connectivity.watch(connected)
      network.start()
      await upkeep.beat(list)
      news.hello()
      upkeep.start()
    },

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
      await processors.allIdle()
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
      processors.leave()
      await committer.idle()
      news.close()
      connectivity.close()
      await store.close()
    },
  }

  function suspend(on: boolean): void {
    const was = suspended
    suspended = on
    if (on) processors.giveBack()
    else if (was) wakeAll()
  }
}
