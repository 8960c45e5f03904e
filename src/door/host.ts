/** The worker's side of the door: checks what comes in, asks the engine, answers in envelopes. */
import { expose, type Endpoint } from 'comlink'
import { toEnvelope } from '../core/envelope.ts'
import { HoldfastError, invalid } from '../core/errors.ts'
import type { IdRun } from '../core/id.ts'
import { seqOf } from '../core/seq.ts'
import type { Job } from '../core/job.ts'
import * as limits from '../core/limits.ts'
import { ownerLock } from '../core/owner.ts'
import { present } from '../core/present.ts'
import * as rules from '../core/rules.ts'
import type { NewJob } from '../core/push.ts'
import type { JobEvent } from '../core/transition.ts'
import { createEngine, LEASE_MS, type Engine } from '../engine/engine.ts'
import { httpAttempt } from '../engine/http.ts'
import type { Port } from '../engine/processor.ts'
import { sleep, systemClock } from '../platform/clock.ts'
import { broadcastChannel } from '../platform/channel.ts'
import { browserConnectivity } from '../platform/connectivity.ts'
import { webLocks } from '../platform/locks.ts'
import { browserEstimate } from '../platform/quota.ts'
import { taskQueue } from '../platform/task.ts'
import type { BulkResult, Filter, ListFilter, QueueSettings } from '../queue.ts'
import { describeError } from '../runner/outcome.ts'
import { createRunner, type Execute } from '../runner/runner.ts'
import type { Operation } from '../store/committer.ts'
import * as operations from '../store/operations.ts'
import { listJobs } from '../store/list.ts'
import * as reads from '../store/reads.ts'
import { batcher } from './batch.ts'
import type { Hello, HostApi, Method, PushInput, Reply, ToHost, ToHostBatch, ToPage, Welcome } from './protocol.ts'
import { checkRequest } from './request.ts'

/** What an application's own worker runs: `names` absent: all jobs of the queue. */
export interface Served { readonly queue: string; readonly names?: readonly string[]; readonly execute: Execute; readonly concurrency: number }

const HTTP_CONCURRENCY = 4
const token = (): string => crypto.randomUUID()

/** Serves one page at this end: a worker's global scope or a port. */
export function exposeHost(served: readonly Served[] = [], endpoint = globalThis as unknown as Endpoint): void {
  const api: HostApi = {
    async connect(hello, port) {
      const [host, welcome] = await openHost(hello, served, (messages) => { port.postMessage(messages) })
      port.onmessage = ({ data: { confirmed, messages } }: MessageEvent<ToHostBatch>) => { host.take(confirmed, messages) }
      return welcome
    },
    ping() {},
  }
  expose(api, onlyCalls(endpoint))
}

/** Comlink can also get, set, construct and release along a path: only `connect()` and `ping()` pass. */
function onlyCalls(endpoint: Endpoint): Endpoint {
  return {
    postMessage: (message: unknown, transfer?: Transferable[]) => { endpoint.postMessage(message, transfer ?? []) },
    addEventListener(type: string, listener: (event: Event) => void) {
      endpoint.addEventListener(type, (event) => {
        const { data } = event as MessageEvent<{ type?: unknown; path?: unknown } | undefined>
        if (data?.type === 'APPLY' && Array.isArray(data.path) && data.path.length === 1 && ['connect', 'ping'].includes(String(data.path[0]))) listener(event)
      })
    },
    // Only a release would ask for it, and none passes.
    removeEventListener() {},
  }
}

interface Host { take(confirmed: number, messages: readonly ToHost[]): void }

async function openHost(hello: Hello, served: readonly Served[], receive: (messages: readonly ToPage[]) => void): Promise<[Host, Welcome]> {
  const { name, client, durability } = hello
  const clock = systemClock
  const locks = webLocks()
  const connectivity = browserConnectivity()
  connectivity.hint(hello.online)
  const own = `worker-${token()}`
  await locks.hold(ownerLock(name, own))
  const task = taskQueue()
  const say = batcher<ToPage>((messages) => { receive(messages) })
  const engine = createEngine({
    name, client, durability, factory: indexedDB, clock, locks, connectivity, estimate: browserEstimate, channel: broadcastChannel, random: Math.random, token,
    generation: hello.generation, generated(generation) { say({ t: 'generation', generation }) },
    requests(queues) { for (const queue of queues) void serveRequests(queue) }, hear(events) { say({ t: 'events', events }) },
  })
  const { space, store: { connection, committer } } = engine

  const replies = await settledReplies(engine, [client, ...hello.former], hello.unsettled)
  await Promise.all([engine.adopt(own), engine.adopt(client)])

  // ---- handlers in this realm ----

  function localProcessor(queue: string, id: string, concurrency: number, runs: operations.Runs, execute: Execute): Promise<void> {
    const held = new Map<string, operations.Held>()
    const heldBy = (key: string): operations.Held => held.get(key) ?? { box: -1, token: '', seq: -1 }
    const runner = createRunner({
      clock, task,
      ended(endings) { for (const { key } of endings) held.delete(key); engine.ended(id, endings) },
      report(key, report) { committer.submit({ relaxed: true, run: (work) => operations.report(work, heldBy(key), report) }).catch(() => {}) },
      heartbeat: (key) => committer.submit({ relaxed: true, run: (work) => operations.heartbeat(work, heldBy(key)) }),
      steps: (key) => reads.readSteps(connection, heldBy(key).seq),
      storeStep: (key, step, value) => committer.submit({ run: (work) => operations.storeStep(work, heldBy(key), step, value) }),
    }, execute)
    const port: Port = {
      run(slots, list) { for (const { box, token: proof, job } of list) held.set(`${box}:${job.seq}`, { box, token: proof, seq: job.seq }); runner.run(slots, list) },
      abort: runner.abort, giveBack: runner.giveBack, settled() {},
    }
    return engine.process({ id, queue, owner: own, runs, concurrency, port })
  }

  const httpQueues = new Set<string>()
  const sendRequests = httpAttempt({ clock, fetch: (...args) => fetch(...args), online: () => connectivity.online })
  async function serveRequests(queue: string): Promise<void> {
    if (httpQueues.has(queue)) return
    httpQueues.add(queue)
    await localProcessor(queue, `${own}:${queue}`, HTTP_CONCURRENCY, { kind: 'requests' }, sendRequests)
  }
  for (const { queue, names, execute, concurrency } of served) await localProcessor(queue, `${own}:${queue}:served`, concurrency, present({ kind: 'handlers' as const, names }), execute)

  // ---- handlers in the page ----

  const pagePort = (processor: string): Port => ({
    run: (slots, runs) => { say({ t: 'run', processor, slots, runs }) },
    abort: (key, reason) => { say({ t: 'abort', processor, key, reason: toEnvelope(reason) }) },
    giveBack: () => { say({ t: 'giveBack', processor }) },
    settled: (keys) => { say({ t: 'settled', processor, keys }) },
  })

  // ---- calls ----

  /** An operation whose answer is kept as a receipt. */
  const commit = <T>(id: number, operation: Omit<Operation<T>, 'call'>, reply: (value: T) => unknown = (value) => value): Promise<T> =>
    committer.submit({ ...operation, call: { ids: [id], reply } })

  /** An operation whose answer is `reply` of what it returns. */
  const commitAs = <T, R>(id: number, operation: Omit<Operation<T>, 'call'>, reply: (value: T) => R): Promise<R> => commit(id, operation, reply).then(reply)

  const onQueue = <T>(call: number, queue: string, run: Operation<T>['run'], rooms?: Operation<T>['rooms']): Promise<T> =>
    commit(call, { needs: [['queues', limits.checkQueue(queue)]], run, ...(rooms && { rooms }) })

  const act = <R = undefined>(call: number, id: unknown, event: JobEvent, options: operations.ActOptions = {}, reply: (job: Job) => R = () => undefined as R): Promise<R> => {
    const seq = checkedSeq(id)
    return commitAs(call, { alone: true, run: (work) => operations.act(work, String(id), seq, event, options) }, reply)
  }

  /** Many jobs, a hundred a transaction. All are listed before the first is touched: what moves would be met again. */
  async function bulk(filter: Filter, event: JobEvent): Promise<BulkResult> {
    rules.checkFilter('filter', filter)
    const jobs: Job[] = []
    let cursor: string | undefined
    do {
      const page = await listJobs(connection, present({ ...filter, limit: limits.LIMITS.listPage, cursor }))
      jobs.push(...page.jobs.map((job) => ({ ...job, data: undefined })))
      cursor = page.cursor
    } while (cursor !== undefined)
    const refused: Array<BulkResult['refused'][number]> = []
    let done = 0
    for (let i = 0; i < jobs.length; i += 100) {
      const part = await committer.submit({ alone: true, run: (work) => operations.actMany(work, jobs.slice(i, i + 100), event) })
      done += part.done
      refused.push(...part.refused)
    }
    return { done, refused }
  }

  const waits = new Map<number, AbortController>()
  const waiting = (call: number): AbortController => {
    const stop = new AbortController()
    waits.set(call, stop)
    return stop
  }
  const calls: Readonly<Record<Method, (call: number, ...args: readonly never[]) => unknown>> = {
    async pushMany(call, queue: string, items: readonly PushInput[]) {
      limits.checkQueue(queue)
      if (items.length > limits.LIMITS.pushMany) throw invalid('items', `may have at most ${limits.LIMITS.pushMany} items (has ${items.length})`)
      const jobs = items.map((item, i) => newJob(item, `items[${i}].`))
      const looking = space.take(roomOf(jobs))
      // Waiting for nothing would still let later calls go first.
      if (looking) await looking
      return onQueue(call, queue, (work) => operations.push(work, queue, jobs), operations.PUSH_ROOMS)
    },

    async pull(call, queue: string, count: number, options: { leaseMs?: number; waitMs?: number } = {}) {
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
        if (claim.jobs.length > 0 || clock.awake() >= until || signal.aborted) return claim
        await woken
      }
    },

    async ackMany(call, list: ReadonlyArray<{ held: operations.Held; result?: unknown }>) {
      for (const { result } of list) limits.checkSize('result', result, limits.LIMITS.result)
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
      const error = job.attempts?.[job.attempts.length - 1]?.error
      throw new HoldfastError('INVALID_STATE', job.state === 'cancelled' ? `Job ${id} was cancelled: ${job.reason ?? ''}` : `Job ${id} is dead (${job.reason ?? 'failed'})${error ? `: ${error.message}` : ''}`, { id, seq, state: job.state, reason: job.reason, error })
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
      rules.shape({ data: rules.anything, options: (field, value) => { rules.checkPushOptions(field, value as never) } })('edit', edit ?? {})
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
      return { ...await reads.readStats(connection, clock.now(), queue), online: connectivity.online }
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
    resume: (call, queue: string) => onQueue(call, queue, (work) => operations.resume(work, queue)),

    process(_call, id: string, queue: string, names: readonly string[] | undefined, options: { readonly concurrency?: number }) {
      limits.checkQueue(queue)
      rules.shape({ concurrency: rules.integer(1, 10_000) })('options', options)
      for (const job of names ?? []) limits.checkName('handler', job, limits.LIMITS.jobName)
      return engine.process({ id, queue, owner: client, runs: present({ kind: 'handlers' as const, names }), concurrency: options.concurrency ?? 1, port: pagePort(id) })
    },
    pauseProcessor(_call, id: string, paused: boolean) { engine.pauseProcessor(id, paused) },
    stopProcessor: (_call, id: string) => engine.stopProcessor(id),
    idle: (_call, id: string) => engine.idle(id),

    storage: () => engine.health(),

    async close(_call, drainMs: number) {
      await Promise.race([engine.drain(), sleep(clock, drainMs)])
      await engine.close()
    },
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

  async function answer(id: number, method: Method, args: readonly unknown[]): Promise<void> {
    let reply: Reply
    try {
      if (!Object.hasOwn(calls, method)) throw new HoldfastError('VALIDATION', `There is no call named ${String(method)}`)
      reply = { value: await calls[method](id, ...args as never[]) }
    } catch (error) { reply = { error: toEnvelope(error) } }
    waits.delete(id)
    say({ t: 'reply', id, reply })
  }

  /** Separate calls, one operation: each is checked by itself, and should the shared commit fail, each is tried by itself. */
  async function pushes(queue: string, ids: readonly number[], items: readonly PushInput[]): Promise<void> {
    const refuse = (id: number, error: unknown): void => { say({ t: 'reply', id, reply: { error: toEnvelope(error) } }) }
    const good: Array<{ readonly id: number; readonly job: NewJob }> = []
    ids.forEach((id, i) => {
      try {
        limits.checkQueue(queue)
        const item = items[i]
        if (item) good.push({ id, job: newJob(item, '') })
      } catch (error) { refuse(id, error) }
    })
    const store = async (part: typeof good): Promise<void> => {
      const calls = part.map(({ id }) => id)
      const jobs = part.map(({ job }) => job)
      const looking = space.take(roomOf(jobs))
      if (looking) await looking
      const run = await committer.submit({ needs: [['queues', queue]], rooms: operations.PUSH_ROOMS, run: (work) => operations.push(work, queue, jobs), call: { ids: calls, reply: (value) => value } })
      say({ t: 'pushed', ids: calls, run })
    }
    if (good.length === 0) return
    try { await store(good) } catch (error) {
      for (const one of good) await (good.length === 1 ? Promise.reject(error as Error) : store([one])).catch((cause: unknown) => { refuse(one.id, cause) })
    }
    if (good.some(({ job }) => job.http)) await serveRequests(queue)
  }

  const host: Host = {
    take(confirmed, messages) {
      committer.confirm(confirmed)
      for (const message of messages) switch (message.t) {
        case 'call': void answer(message.id, message.method, message.args); break
        case 'pushes': void pushes(message.queue, message.ids, message.items); break
        case 'forget': waits.get(message.id)?.abort(new HoldfastError('TIMEOUT', 'The caller stopped waiting')); break
        case 'ended': engine.ended(message.processor, message.endings); break
        case 'report': void reportFor(message); break
        case 'online': connectivity.hint(message.online); break
        case 'suspend': engine.suspend(message.on); break
        case 'listen': engine.listen(message.on); break
      }
    },
  }

  function reportFor({ processor, key, report }: Extract<ToHost, { t: 'report' }>): Promise<void> {
    const held = engine.held(processor, key)
    return held ? committer.submit({ relaxed: true, run: (work) => operations.report(work, held, report) }).catch(() => {}) : Promise.resolve()
  }

  const alive = locks.supported ? ownerLock(name, own) : ''
  return [host, { alive, replies }]
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

/** About the bytes that jobs take when stored. */
const roomOf = (jobs: readonly NewJob[]): number => jobs.reduce((sum, { size, binary }) => sum + size + binary + JOB_BYTES, 0)
const JOB_BYTES = 400

function newJob(input: PushInput, at: string): NewJob {
  if (typeof input !== 'object' || input === null) throw limits.wrong(at.replace(/\.$/, ''), 'an object with name and data', input)
  const { name, data, options, http } = input
  limits.checkName(`${at}name`, name, limits.LIMITS.jobName)
  rules.checkPushOptions(`${at}options`, options)
  const size = limits.checkSize(`${at}data`, data, limits.LIMITS.data)
  return { name, data, options: present(options ?? {}), size: size.bytes, binary: size.binary, ...(http && { http: checkRequest(http) }) }
}

/** What former workers of this page applied: answers to the calls it still waits for. Claimed jobs are read again from their box. */
async function settledReplies({ store: { connection } }: Engine, clients: readonly string[], unsettled: readonly number[]): Promise<Array<readonly [number, Reply]>> {
  if (unsettled.length === 0) return []
  const stored = (await Promise.all(clients.map((client) => reads.readReceipt(connection, client)))).flat()
  const applied = stored.flatMap(([ids, reply]) => ids.map((id, n) => [id, ids.length > 1 ? nthReply(reply as Reply, n) : reply as Reply] as const))
  // A call that waited left several; the last one is its answer.
  const wanted = new Map(applied.filter(([id]) => unsettled.includes(id)))
  return Promise.all([...wanted].map(async ([id, reply]) => {
    const claim = 'value' in reply ? reply.value as { readonly box?: number; readonly token?: string; readonly jobs?: unknown } | undefined : undefined
    if (typeof claim?.box !== 'number' || !Array.isArray(claim.jobs)) return [id, reply] as const
    const leases = (await Promise.all(clients.map((client) => reads.readLeases(connection, client)))).flat()
    const lease = leases.find(({ box }) => box === claim.box)
    return [id, { value: { ...claim, jobs: lease ? await reads.readBox(connection, lease) : [] } }] as const
  }))
}

/** Pushes that shared an operation share its receipt: each has one id of the run. */
function nthReply(reply: Reply, n: number): Reply {
  if ('error' in reply) return reply
  const run = reply.value as IdRun
  return { value: { ...run, first: run.first + n, count: 1 } }
}
