/** The processors of this realm: claims for them, stores how their jobs ended, and stops what is no longer theirs. */
import { HoldfastError } from '../core/errors.ts'
import type { RunEnding } from '../runner/runner.ts'
import * as operations from '../store/operations.ts'
import { readBox, readLeases, readMeta } from '../store/reads.ts'
import type { LeaseRow } from '../store/schema.ts'
import type { Store } from '../store/store.ts'
import { HUNGRY_MS, ProcessorState, type ProcessorOptions } from './processor.ts'
import { createSettling, RETRY_SETTLE_MS, type SettlingOptions } from './settling.ts'

export interface Processors {
  add(options: ProcessorOptions): Promise<void>
  pause(id: string, paused: boolean): void
  /** Stops claiming for it and gives back what has not started. */
  stop(id: string): Promise<void>
  ended(id: string, endings: readonly RunEnding[]): void
  /** The proof for a job that it holds. */
  held(id: string, key: string): operations.Held | undefined
  /** Resolves when it holds nothing and finds nothing to claim. */
  idle(id: string): Promise<void>
  /** Resolves when none of them holds anything. */
  allIdle(): Promise<unknown>
  /** Whose queues they are. */
  queues(): string[]
  /** A queue may have more to claim. */
  wake(queue: string): void
  /** What has not started goes back. */
  giveBack(): void
  /** Compares what runs for an owner with the leases it has. */
  check(owner: string): Promise<void>
  /** Someone stopped, took back or hungers for what an owner of this realm holds. */
  summoned(owner: string): void
  /** Gives up the places of those that run nothing. */
  leave(): void
}

export interface ProcessorsOptions extends Omit<SettlingOptions, 'committer' | 'settled'> {
  readonly store: Store
  readonly suspended: () => boolean
}

export const LEASE_MS = 30_000
const POLL_MS = 1000

export function createProcessors({ store: { committer, connection }, clock, connectivity, network, random, closed, suspended, refused }: ProcessorsOptions): Processors {
  const processors = new Map<string, ProcessorState>()
  const idlers = new Map<string, Array<() => void>>()
  const settling = createSettling({ committer, clock, connectivity, network, random, closed, settled: settleIdle, refused })
  const of = (owner: string): ProcessorState[] => [...processors.values()].filter(({ options }) => options.owner === owner)

  // ---- claiming ----

  function pump(processor: ProcessorState): void {
    if (closed() || suspended()) { settleIdle(processor); return }
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
      if (processor.stopped || processor.paused || suspended()) port.giveBack()
      pump(processor)
    }, () => { claimAgain(processor) })
  }

  /** A claim that failed may have been applied all the same: until that is known nothing else is claimed. */
  function claimAgain(processor: ProcessorState): void {
    if (!closed()) clock.after(RETRY_SETTLE_MS, () => {
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
    if (processor.held.size > 0 || processor.unsettled > 0 || processor.claiming || !(processor.dry || processor.stopped || processor.paused || suspended())) return
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

  async function check(owner: string): Promise<void> {
    const asked = of(owner).map((processor) => ({ processor, keys: [...processor.held.keys()], tokens: [...processor.known.keys()] }))
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

  function idle(processor: ProcessorState): Promise<void> {
    return new Promise((resolve) => {
      const list = idlers.get(processor.options.id) ?? []
      list.push(resolve)
      idlers.set(processor.options.id, list)
      settleIdle(processor)
      pump(processor)
    })
  }

  return {
    async add(options) {
      const { id, queue, owner, runs, concurrency } = options
      if (processors.has(id)) return
      const processor = new ProcessorState(options)
      processor.has = await committer.submit({ needs: [['queues', queue]], run: (work) => operations.register(work, queue, processor.share, runs.kind === 'requests' ? undefined : concurrency) })
      await adoptLeases(processor)
      // Only now may anything else be claimed for it.
      processors.set(id, processor)
      // It claims from here on, so it must not be refused any more.
      void check(owner).catch(() => {})
      pump(processor)
    },

    pause(id, paused) {
      const processor = processors.get(id)
      if (!processor) return
      processor.paused = paused
      if (paused) processor.options.port.giveBack()
      else processor.wake()
      pump(processor)
    },

    async stop(id) {
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
    allIdle: () => Promise.all([...processors.values()].map(idle)),
    queues: () => [...processors.values()].map(({ options }) => options.queue),

    wake(queue) {
      for (const processor of processors.values()) {
        if (processor.options.queue !== queue) continue
        processor.wake()
        pump(processor)
      }
    },

    giveBack() { for (const { options } of processors.values()) options.port.giveBack() },

    check,

    summoned(owner) {
      for (const { held, has, options } of of(owner)) if (held.size > has) options.port.giveBack()
      void check(owner).catch(() => {})
    },

    // What still runs keeps its place until its owner ends.
    leave() { for (const { held, share, options: { queue } } of processors.values()) if (held.size === 0) committer.submit({ run: (work) => operations.unregister(work, queue, share) }).catch(() => {}) },
  }
}
