/** Upkeep: promote, expire, prune, and notice owners that are gone. One tab does it; any other does when it is left undone. */
import type { Clock } from '../platform/clock.ts'
import { ownerLock } from '../core/owner.ts'
import type { Locks } from '../platform/locks.ts'
import * as operations from '../store/operations.ts'
import { outlook, type Outlook } from '../store/reads.ts'
import type { LeaseRow, QueueRow } from '../store/schema.ts'
import type { Store } from '../store/store.ts'

export interface UpkeepOptions {
  readonly name: string
  readonly store: Store
  readonly clock: Clock
  readonly locks: Locks
  readonly owners: () => ReadonlySet<string>
  readonly check: (owner: string) => Promise<void>
  readonly wakeAll: () => void
  /** Credentials are to be refreshed. */
  readonly refresh: () => void
  /** The network is doubted; answers when to look again (epoch ms). */
  readonly network: (network: Outlook['network']) => number
  /** The queues as they are now. */
  readonly queues: (rows: readonly QueueRow[], leader: boolean) => void
  /** Which database it is. */
  readonly generation: (found: string) => void
  readonly log: (error: unknown) => void
}

export interface Upkeep {
  start(): void
  /** Something is due at this time (epoch ms). */
  due(at: number): void
  /** Look again at once: another tab came. */
  soon(): void
  beat(owners: readonly string[]): Promise<void>
  stop(): void
}

/** How often to look without being told. */
const TICK_MS = 5000
/** How long others leave undone work to the tab that does upkeep. */
const GRACE_MS = 1500
const SOONEST_MS = 200
const BEAT_MS = 10_000
/** How often what is too old is looked for; what is too many is noticed at once. */
const PRUNE_MS = 10_000
const PRUNE_STEPS = 20
const RECEIPT_MS = 3_600_000
const SILENT_MS = 300_000

/** Everybody who has anything here. */
const ownersOf = ({ owners, leases, queues }: Outlook): ReadonlySet<string> =>
  new Set([...owners.keys(), ...leases.map(({ owner }) => owner), ...queues.flatMap(({ processors }) => Object.values(processors).map(({ owner }) => owner))])

export function createUpkeep({ name, store: { connection, committer, reserve }, clock, locks, owners, check, wakeAll, refresh, network, queues, generation, log }: UpkeepOptions): Upkeep {
  let leader = !locks.supported
  let stopped = false
  let started = false
  let running = false
  let again = false
  let cancelTimer = (): void => {}
  let timerAt = Infinity
  let release = (): void => {}
  let beatAt = 0
  let pruneAt = 0
  /** Up to where the dead jobs of a queue were looked through for old ones. */
  const deadAfter = new Map<string, number>()
  /** When waits were first seen that the clock, set back since, makes too long (epoch ms). */
  let aheadSince = Infinity
  let lastAwake = clock.awake()
  /** This realm's own awake time: what it slept through counts for one tick at most. */
  let awake = 0
  const watched = new Map<string, () => void>()
  const silence = new Map<string, { readonly beats: number; readonly since: number }>()
  const seen = new Map<string, { readonly beats: number; readonly since: number }>()

  function schedule(at: number): void {
    if (stopped || !started || at >= timerAt) return
    cancelTimer()
    timerAt = at
    cancelTimer = clock.after(at - clock.now(), () => { timerAt = Infinity; void tick() })
  }

  async function tick(): Promise<void> {
    if (stopped) return
    if (running) { again = true; return }
    running = true
    try { schedule(await look()) } catch (error) {
      log(error)
      schedule(clock.now() + TICK_MS)
    }
    running = false
    if (again) { again = false; await tick() }
  }

  /** Does what is due, and says when to look again. */
  async function look(): Promise<number> {
    const asked = clock.awake()
    const state = await outlook(connection, clock.now())
    // Without the time that reading took: what came meanwhile has not been seen, so it is no silence either.
    awake += Math.min(asked - lastAwake, 2 * TICK_MS)
    lastAwake = clock.awake()
    watch(ownersOf(state))
    const silentIn = await expireSilent(state.leases, state.owners)
    await heartbeats(state)
    if (!locks.supported) await dropSilent(state)
    const now = clock.now()
    const grace = leader ? 0 : GRACE_MS
    // Since when, so that others than the leader can tell for how long it was left undone.
    aheadSince = state.ahead ? Math.min(aheadSince, now) : Infinity
    const at = Math.min(state.at, aheadSince)
    if (at <= now - grace) await doDue(state, now)
    if (state.originsAt <= now) wakeAll()
    if (state.refreshAt <= now) refresh()
    const networkAt = network(state.network)
    if (leader) await tidy(state)
    queues(state.queues, leader)
    if (state.generation !== undefined) generation(state.generation)
    // What is due has just been seen to.
    const later = (at: number): number => at <= now ? Infinity : at
    return Math.min(at + grace, later(state.originsAt), later(state.refreshAt), networkAt, now + Math.min(TICK_MS, silentIn))
  }

  async function doDue(state: Outlook, now: number): Promise<void> {
    while (await committer.submit({ alone: true, run: operations.promoteDue }) && !stopped) { /* more of them */ }
    while (await committer.submit({ alone: true, run: operations.expireDue }) && !stopped) { /* more of them */ }
    for (const { queue, paused, pausedUntil } of state.queues)
      if (paused && pausedUntil !== undefined && pausedUntil <= now) await committer.submit({ run: (work) => operations.endPause(work, queue) })
    wakeAll()
    again = true
  }

  /** Forgets what is too much at once, and what is too old now and then. */
  async function tidy(state: Outlook): Promise<void> {
    const aged = awake >= pruneAt
    if (aged) {
      pruneAt = awake + PRUNE_MS
      await forgetReceipts(state)
      // Not in the first moments, which are somebody's start.
      if (state.reserve !== 'kept' && awake >= PRUNE_MS) await reserve.lay().then(() => committer.submit({ grows: true, run: operations.reserveKept })).catch(() => {})
    }
    const { completed, cancelled, dead } = operations.RETENTION
    for (const { queue, counts } of state.queues) {
      const excess = counts.completed > completed.count || counts.cancelled > cancelled.count || counts.dead > dead.count
      if (!excess && !(aged && counts.completed + counts.cancelled + counts.dead > 0)) continue
      // Forgetting must hold up no heartbeat.
      for (let n = 0; await prune(queue) && !stopped; n++) if (n === PRUNE_STEPS) { again = true; break }
    }
  }

  async function prune(queue: string): Promise<boolean> {
    const ended = await committer.submit({ alone: true, run: (work) => operations.pruneEnded(work, queue) })
    const dead = await committer.submit({ alone: true, run: (work) => operations.pruneDead(work, queue, deadAfter.get(queue) ?? -1) })
    deadAfter.set(queue, dead.after)
    return ended || dead.more
  }

  /** Forgets the receipts of pages that are gone. Not at once: one that had only lost its lock may still ask. */
  async function forgetReceipts({ receipts, owners: known }: Outlook): Promise<void> {
    const old = receipts.filter(({ client, at }) => Math.abs(clock.now() - at) > RECEIPT_MS && !known.has(client))
    if (old.length > 0) await committer.submit({ run: async (work) => { for (const { client } of old) work.delete('receipts', client) } })
  }

  async function heartbeats({ leases }: Outlook): Promise<void> {
    if (awake < beatAt) return
    // Without locks only its heartbeat shows that one lives; the first was that of its adoption.
    const mine = [...owners()].filter((owner) => (!locks.supported && awake >= TICK_MS) || leases.some((lease) => lease.owner === owner && lease.processor !== undefined))
    beatAt = awake + BEAT_MS - TICK_MS / 2
    if (mine.length === 0) return
    await beat(mine)
    for (const owner of mine) await check(owner)
  }

  const beat = (list: readonly string[]): Promise<void> => committer.submit({ relaxed: true, needs: list.map((owner) => ['owners', owner] as const), run: (work) => operations.beat(work, list) })

  /** Waits at the lock of every owner that has anything here: it is given when the owner has ended. */
  function watch(known: ReadonlySet<string>): void {
    for (const [owner, stop] of watched) if (!known.has(owner)) { stop(); watched.delete(owner) }
    for (const owner of known) {
      if (watched.has(owner) || owners().has(owner)) continue
      watched.set(owner, locks.whenFree(ownerLock(name, owner), () => {
        watched.delete(owner)
        committer.submit({ alone: true, run: (work) => operations.dropOwner(work, owner) }).then(wakeAll, log)
      }))
    }
  }

  /** Says in how many ms the next one may be over. A lease whose heartbeat has not moved for `leaseMs` of this realm's awake time is over, lock or no lock. */
  async function expireSilent(leases: readonly LeaseRow[], beats: ReadonlyMap<string, number>): Promise<number> {
    let next = Infinity
    const current = new Set<string>()
    for (const lease of leases) {
      const silent: number[] = []
      for (const seq of lease.left) {
        const id = `${lease.box}:${seq}`
        current.add(id)
        const count = (lease.beats?.[seq] ?? 0) + (lease.processor === undefined ? 0 : beats.get(lease.owner) ?? 0)
        const old = seen.get(id)
        if (!old || old.beats !== count) seen.set(id, { beats: count, since: awake })
        else if (awake - old.since >= lease.leaseMs) silent.push(seq)
        next = Math.min(next, Math.max(SOONEST_MS, lease.leaseMs - (awake - (seen.get(id)?.since ?? awake))))
      }
      if (silent.length > 0) await committer.submit({ alone: true, run: (work) => operations.expireLease(work, lease, silent, beats.get(lease.owner) ?? 0) })
    }
    for (const id of seen.keys()) if (!current.has(id)) seen.delete(id)
    return next
  }

  /** Without locks nobody is told that an owner has ended: one that holds nothing and is silent for long is gone, or will make itself known again. */
  async function dropSilent(state: Outlook): Promise<void> {
    const known = ownersOf(state)
    for (const owner of known) {
      const beats = state.owners.get(owner) ?? 0
      const old = silence.get(owner)
      if (old?.beats !== beats) silence.set(owner, { beats, since: awake })
      else if (awake - old.since >= SILENT_MS && !owners().has(owner) && !state.leases.some((lease) => lease.owner === owner)) await committer.submit({ alone: true, run: (work) => operations.dropOwner(work, owner) })
    }
    for (const owner of silence.keys()) if (!known.has(owner)) silence.delete(owner)
  }

  return {
    start() {
      if (started || stopped) return
      started = true
      locks.hold(`holdfast:${name}:upkeep`).then((free) => {
        if (stopped) { free(); return }
        release = free
        leader = true
        void tick()
      }, log)
      void tick()
    },
    due(at) { schedule(at + (leader ? 0 : GRACE_MS)) },
    soon() { if (started) void tick() },
    beat,
    stop() {
      stopped = true
      cancelTimer()
      for (const stop of watched.values()) stop()
      release()
    },
  }
}
