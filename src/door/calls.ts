/** The calls a page may make: each checks what it is given, asks the engine or the store, and leaves its answer as a receipt. */
import { checkEvent } from '../core/event.ts'
import { toEnvelope } from '../core/envelope.ts'
import { HoldfastError, invalid } from '../core/errors.ts'
import { STATES, type HookName, type Job } from '../core/job.ts'
import * as limits from '../core/limits.ts'
import { present } from '../core/present.ts'
import type { NewJob } from '../core/push.ts'
import * as rules from '../core/rules.ts'
import { seqOf } from '../core/seq.ts'
import type { JobEvent } from '../core/transition.ts'
import type { Engine } from '../engine/engine.ts'
import type { Port } from '../engine/processor.ts'
import { LEASE_MS } from '../engine/processors.ts'
import { sleep, type Clock } from '../platform/clock.ts'
import type { Connectivity } from '../platform/connectivity.ts'
import type { BulkResult, Filter, ListFilter, ProcessOptions, QueueSettings } from '../queue.ts'
import { describeError } from '../runner/outcome.ts'
import type { Operation } from '../store/committer.ts'
import { listJobs } from '../store/list.ts'
import * as operations from '../store/operations.ts'
import * as reads from '../store/reads.ts'
import { createOrder, type Step } from './order.ts'
import type { CallMessage, FetchInput, Method, ProcessorWish, PushInput, Reply, ToCaller } from './protocol.ts'
import { createPushes } from './pushes.ts'

export interface CallsOptions {
  readonly engine: Engine
  readonly clock: Clock
  readonly connectivity: Connectivity
  /** Those that requests are pushed under. */
  readonly hooks: readonly HookName[]
  /** The page that calls, as an owner of leases. */
  readonly client: string
  /** Whether it may take jobs to run. */
  readonly claims: boolean
  readonly say: (message: ToCaller) => void
  /** Where the handlers of a processor of the page are. */
  readonly port: (processor: string) => Port
  /** Requests were pushed into this queue. */
  readonly requests: (queue: string) => Promise<void>
  /** Stops what runs in this realm, and gives it back. */
  readonly cutOff: () => Promise<unknown>
  /** That, and ends the engine. */
  readonly leave: () => Promise<void>
}

export interface Calls {
  /** Neighbouring pushes into one queue are stored together. */
  take(calls: readonly CallMessage[]): void
  process(wish: ProcessorWish): Promise<void>
  /** The caller no longer waits. */
  forget(id: number): void
}

const BULK = 500
const PASSES = 10
const RESTING = STATES.filter((state) => state !== 'active')
/** How long others have to stop when the user changes, and how often that is looked at. */
const STOP_MS = 5000
const LOOK_MS = 50

export function createCalls({ engine, hooks, clock, connectivity, client, claims, say, port, requests, cutOff, leave }: CallsOptions): Calls {
  const { connection, committer } = engine.store
  const order = createOrder()
  const pushes = createPushes({ engine, hooks, say, requests, order })

  /** An operation whose answer is kept as a receipt. */
  const commit = <T>(id: number, operation: Omit<Operation<T>, 'call'>, reply: (value: T) => unknown = (value) => value): Promise<T> =>
    committer.submit({ ...operation, call: { ids: [id], reply } })

  /** An operation whose answer is `reply` of what it returns. */
  const commitAs = <T, R>(id: number, operation: Omit<Operation<T>, 'call'>, reply: (value: T) => R): Promise<R> => commit(id, operation, reply).then(reply)

  const onQueue = <T>(call: number, queue: string, run: Operation<T>['run'], more: Partial<Operation<T>> = {}): Promise<T> =>
    commit(call, { needs: [['queues', limits.checkQueue(queue)]], run, ...more })

  const act = <R = undefined>(call: number, id: unknown, event: JobEvent, options: operations.ActOptions = {}, reply: (job: Job) => R = () => undefined as R): Promise<R> => {
    const seq = checkedSeq(id)
    return commitAs(call, { alone: true, bytes: options.edited?.binary, run: (work) => operations.act(work, String(id), seq, event, options) }, reply)
  }

  /** Many jobs, some hundreds a transaction. All are listed before the first is touched: what moves would be met again; what others move meanwhile may be, and counts once. */
  async function bulk(filter: Filter, event: JobEvent): Promise<BulkResult> {
    rules.checkFilter('filter', filter)
    // A filter that was meant to say something must not mean all.
    for (const [key, value] of Object.entries(filter)) if (value === undefined) throw invalid(`filter.${key}`, 'is undefined: leave it out if all are meant')
    const found = new Map<number, Job>()
    let cursor: string | undefined
    do {
      const page = await listJobs(connection, present({ ...filter, limit: limits.LIMITS.listPage, cursor }))
      for (const job of page.jobs) found.set(job.seq, { ...job, data: undefined })
      cursor = page.cursor
    } while (cursor !== undefined)
    // Of a group the first in line is to have the turn again.
    const jobs = [...found.values()].sort((a, b) => a.position - b.position)
    const refused: Array<BulkResult['refused'][number]> = []
    let done = 0
    for (let i = 0; i < jobs.length;) {
      const part = await committer.submit({ alone: true, run: (work) => operations.actMany(work, jobs.slice(i, i + BULK), event) })
      i += part.met
      done += part.done
      refused.push(...part.refused)
    }
    return { done, refused }
  }

  const mayClaim = (): void => { if (!claims) throw invalid('options.claims', 'is false: this page runs no jobs') }

  const waits = new Map<number, AbortController>()
  const waiting = (call: number): AbortController => {
    const stop = new AbortController()
    waits.set(call, stop)
    return stop
  }

  const calls: Readonly<Record<Exclude<Method, 'push'>, (call: number, ...args: readonly never[]) => unknown>> = {
    pushMany: pushes.many,
    /** Whose a push would be now. */
    user: (call) => commit(call, { relaxed: true, run: (work) => Promise.resolve({ user: work.meta.user ?? null }) }),

    async pull(call, queue: string, count: number, options: { leaseMs?: number; waitMs?: number } = {}) {
      mayClaim()
      limits.checkQueue(queue)
      rules.integer(1, limits.LIMITS.pull)('count', count)
      rules.checkPull('options', options)
      const until = clock.awake() + (options.waitMs ?? 0)
      const { signal } = waiting(call)
      for (;;) {
        const woken = new Promise<void>((resolve) => {
          const off = engine.onWake(queue, () => { off(); resolve() })
          clock.after(Math.min(1000, Math.max(0, until - clock.awake())), () => { off(); resolve() })
        })
        const wanted: operations.ClaimRequest = { queue, owner: client, leaseMs: options.leaseMs ?? LEASE_MS, online: connectivity.online, count }
        const claim = await commit(call, { needs: [['queues', queue]], rooms: operations.RUN_ROOMS, run: (work) => operations.claim(work, wanted) }, ({ box, token: proof }) => ({ box, token: proof, jobs: [] }))
        if (claim.jobs.length > 0 || (clock.awake() >= until && !claim.more) || signal.aborted) return claim
        await woken
      }
    },

    async ackMany(call, list: ReadonlyArray<{ held: operations.Held; result?: unknown }>) {
      list.forEach(({ result }, i) => { limits.checkSize(list.length > 1 ? `jobs[${i}].result` : 'result', result, limits.LIMITS.result) })
      return commitAs(call, endings(list.map(({ held, result }) => ({ ...held, event: present({ type: 'complete' as const, result }) }))), (ended) => ended.map(({ ok }) => ({ ok })))
    },
    fail(call, held: operations.Held, thrown: unknown) {
      const error = describeError(thrown)
      const { ms } = Object(thrown) as { ms?: unknown }
      return endOne(call, held, present({
        type: 'fail' as const, error, owner: client, random: Math.random(),
        final: error.name === 'Unrecoverable' ? 'unrecoverable' as const : undefined, afterMs: error.name === 'RetryAfter' && typeof ms === 'number' ? Math.max(0, ms) : undefined,
      }))
    },
    release: (call, held: operations.Held) => endOne(call, held, { type: 'release' }),
    snooze(call, held: operations.Held, ms: number) {
      rules.checkMs('ms', ms)
      return endOne(call, held, { type: 'snooze', ms })
    },
    heartbeat: (call, held: operations.Held) => commit(call, { relaxed: true, run: (work) => operations.heartbeat(work, held) }),
    report(call, held: operations.Held, progress: number, message?: string) {
      rules.checkPercent('percent', progress)
      if (message !== undefined) rules.text()('message', message)
      return commit(call, { relaxed: true, run: (work) => operations.report(work, held, present({ progress, message: message === undefined ? undefined : limits.cut(message, limits.LIMITS.logLine) })) })
    },
    steps: (_call, seq: number) => reads.readSteps(connection, seq),
    storeStep: (call, held: operations.Held, step: string, value: unknown) => commit(call, { run: (work) => operations.storeStep(work, held, step, value) }),

    async waitFor(call, id: string) {
      const seq = checkedSeq(id)
      const job = await engine.waitFor(id, waiting(call).signal)
      if (job.state === 'completed') return job.result
      const { state, reason, attempts } = job
      const error = attempts?.[attempts.length - 1]?.error
      const how = state === 'cancelled' ? `was cancelled: ${reason ?? ''}` : `is dead (${reason ?? 'failed'})${error ? `: ${error.message}` : ''}`
      throw new HoldfastError('INVALID_STATE', `Job ${id} ${how}`, { id, seq, state, reason, error })
    },

    cancel(call, id: string, options: { reason?: string; ifNotStarted?: boolean } = {}) {
      rules.shape({ reason: rules.text(limits.LIMITS.logLine), ifNotStarted: rules.boolean })('options', options)
      return act(call, id, { type: 'cancel', reason: options.reason ?? 'cancelled' }, present({ ifNotStarted: options.ifNotStarted }), ({ state }) => ({ was: state }))
    },
    promote: (call, id: string) => act(call, id, { type: 'promote' }),
    update(call, id: string, patch: { data?: unknown; priority?: number; runAt?: number }) {
      rules.checkPatch('patch', patch)
      return act(call, id, { type: 'update', patch }, edited(patch.data))
    },
    retry(call, id: string, edit?: { data?: unknown; options?: NewJob['options'] }) {
      rules.checkRetry('edit', edit ?? {})
      const data = edit?.data
      return act(call, id, present({ type: 'retry' as const, edit: data === undefined ? undefined : { data }, options: edit?.options }), edited(data))
    },
    remove: (call, id: string) => act(call, id, { type: 'remove' }),
    retryAll: (_call, filter: Filter) => bulk(filter, { type: 'retry' }),
    removeAll: (_call, filter: Filter) => bulk(filter, { type: 'remove' }),

    get(_call, id: string) { checkedSeq(id); return reads.getJob(connection, id) },
    list(_call, filter: ListFilter = {}) { rules.checkList('filter', filter); return listJobs(connection, filter) },
    async stats(_call, queue?: string) {
      if (queue !== undefined) limits.checkQueue(queue)
      const stats = await reads.readStats(connection, clock.now(), queue)
      return { ...stats, online: stats.online && connectivity.online }
    },
    queues: () => reads.readQueues(connection),
    configure(call, queue: string, settings: QueueSettings) {
      rules.checkSettings('settings', settings)
      return onQueue(call, queue, (work) => operations.configure(work, queue, present({ ...settings, defaults: settings.defaults && present(settings.defaults) })))
    },
    pause(call, queue: string, options: { until?: number } = {}) {
      rules.checkUntil('options', options)
      return onQueue(call, queue, (work) => operations.pause(work, queue, options.until))
    },
    resume: (call, queue: string) => onQueue(call, queue, (work) => operations.resume(work, queue), { alone: true }),
    // Without a receipt: a new worker makes this call again, since it is not only for the commit that it waits.
    async setUser(_call, id: string | null) {
      if (id !== null) rules.checkUser('id', id)
      await committer.submit({ alone: true, run: (work) => operations.setUser(work, id ?? undefined) })
      for (const end = clock.awake() + STOP_MS; clock.awake() < end && await reads.runsForOthers(connection);) {
        // Who had just claimed may not have known what to stop.
        await committer.submit({ alone: true, run: operations.summonAll })
        await sleep(clock, LOOK_MS)
      }
    },
    async forgetUser(_call, id: string) {
      rules.checkUser('id', id)
      const first = await bulk({ user: id }, { type: 'remove' })
      // What moved while the others were listed may have been in neither place.
      for (let n = 0; n < PASSES && (await bulk({ user: id, state: RESTING }, { type: 'remove' })).done > 0; n++) { /* again */ }
      return first
    },

    process: (_call, id: string, queue: string, names: readonly string[] | undefined, options: ProcessOptions) => process({ id, queue, names, options, paused: false }),
    pauseProcessor(_call, id: string, paused: boolean) { engine.processors.pause(id, paused) },
    stopProcessor: (_call, id: string) => engine.processors.stop(id),
    idle: (_call, id: string) => engine.processors.idle(id),

    listen(_call, type: unknown) { if (type !== '*') checkEvent('type', type) },
    storage: () => engine.health(),

    async drain(_call, ms: number) {
      await Promise.race([engine.drain(), sleep(clock, ms)])
      await cutOff()
    },
    // The page calls it when its handlers have ended: until then this engine beats for them.
    close: leave,
  }

  function process({ id, queue, names, options, paused }: ProcessorWish): Promise<void> {
    mayClaim()
    limits.checkQueue(queue)
    rules.shape({ concurrency: rules.integer(1, 10_000) })('options', options)
    for (const job of names ?? []) limits.checkName('handler', job, limits.LIMITS.jobName)
    return engine.processors.add({ id, queue, owner: client, runs: present({ kind: 'handlers' as const, names }), concurrency: options.concurrency ?? 1, paused, port: port(id) })
  }

  function endings(list: readonly operations.Ending[]): Omit<Operation<operations.Ended[]>, 'call'> {
    return { ending: true, rooms: operations.RUN_ROOMS, needs: list.map(({ box }) => ['leases', box] as const), run: (work) => operations.settle(work, list) }
  }

  /** Ends one pulled job; a lease that is over is the caller's error. */
  async function endOne(call: number, held: operations.Held, event: operations.Ending['event']): Promise<unknown> {
    const result = (ended: readonly operations.Ended[]): unknown => {
      const [first] = ended
      if (!first?.ok) throw operations.staleLease(held.seq)
      const { state, runAt } = first.job
      return present({ willRetry: state === 'waiting' || state === 'delayed', runAt })
    }
    const operation = endings([{ ...held, event }])
    return commit(call, { ...operation, run: async (work) => result(await operation.run(work)) })
  }

  async function answer(id: number, method: Exclude<Method, 'push'>, args: readonly unknown[]): Promise<void> {
    let reply: Reply
    try {
      if (!Object.hasOwn(calls, method)) throw invalid('method', `is not a call: ${String(method)}`)
      reply = { value: await calls[method](id, ...args as never[]) }
    } catch (error) { reply = { error: toEnvelope(error) } }
    waits.delete(id)
    say({ t: 'reply', id, reply })
  }

  function take(list: readonly CallMessage[]): void {
    const steps: Step[] = []
    let run: { readonly queue: unknown; readonly ids: number[]; readonly items: Array<string | PushInput | FetchInput> } | undefined
    for (const { id, method, args } of list) {
      const [queue, item] = args as [unknown, string | PushInput | FetchInput]
      if (method !== 'push') { run = undefined; steps.push({ id, run: () => answer(id, method, args) }) }
      else if (run && run.queue === queue) { run.ids.push(id); run.items.push(item) }
      else {
        const next = run = { queue, ids: [id], items: [item] }
        steps.push({ run: () => pushes.each(next.queue, next.ids, next.items) })
      }
    }
    order.begin(steps)
  }

  function forget(id: number): void {
    waits.get(id)?.abort(new HoldfastError('TIMEOUT', 'The caller stopped waiting'))
    order.drop(id)
  }

  return { take, process, forget }
}

function checkedSeq(id: unknown): number {
  const seq = typeof id === 'string' ? seqOf(id) : undefined
  if (seq === undefined) throw limits.wrong('id', 'a job id as push returned it', id)
  return seq
}

const edited = (data: unknown): { readonly edited?: limits.Size } => {
  if (data === undefined) return {}
  return { edited: limits.checkSize('data', data, limits.LIMITS.data) }
}
