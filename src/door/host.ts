/** The worker's side of the door: one engine a page, and what goes between the two. */
import { expose, type Endpoint } from 'comlink'
import { isHoldfastError, toEnvelope } from '../core/envelope.ts'
import { HoldfastError } from '../core/errors.ts'
import type { HookName } from '../core/job.ts'
import { ownerLock } from '../core/owner.ts'
import { checkOpen } from '../core/rules.ts'
import { createEngine } from '../engine/engine.ts'
import { hooksWithin } from '../engine/hooks.ts'
import type { Port } from '../engine/processor.ts'
import { sleep } from '../platform/clock.ts'
import { browserPlatform, type Platform } from '../platform/platform.ts'
import type { Execute } from '../runner/runner.ts'
import * as operations from '../store/operations.ts'
import { batcher } from './batch.ts'
import { createCalls } from './calls.ts'
import { createLocal, type Served } from './local.ts'
import { probeOf } from './probe.ts'
import type { Hello, HostApi, ProcessorWish, ToHost, ToHostBatch, ToPage, Welcome } from './protocol.ts'
import { questions } from './questions.ts'
import { settledReplies } from './receipts.ts'

export type { Served }

/** Serves one page at this end: a worker's global scope or a port. Returns how to end that where there is no worker to terminate; resolves when nothing of it is left. */
export function exposeHost(served: readonly Served[] = [], endpoint = globalThis as unknown as Endpoint): () => Promise<void> {
  let opening: Promise<Host> | undefined
  const api: HostApi = {
    async connect(hello, port) {
      let platform: Platform | undefined
      try {
        platform = browserPlatform()
        opening = openHost(hello, served, platform, (messages) => { port.postMessage(messages) })
        const host = await opening
        port.onmessage = ({ data }: MessageEvent<ToHostBatch>) => { host.take(data) }
        return host.welcome
      } catch (error) {
        platform?.connectivity.close()
        return { error: toEnvelope(error) }
      }
    },
    ping() {},
  }
  expose(api, onlyCalls(endpoint))
  return async () => { await (await opening?.catch(() => undefined))?.end() }
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

export interface Host {
  readonly welcome: Welcome
  take(batch: ToHostBatch): void
  /** Says nothing more, and leaves nothing behind: no lease and no lock. What the page still waits for it asks the next one. */
  end(): Promise<void>
}

/** Nobody who does not heed it, and no database that fails, keeps a page from leaving. */
const STOP_MS = 500

/** `through`: by this a simulated world looks on at each attempt. */
export async function openHost(hello: Hello, served: readonly Served[], platform: Platform, receive: (messages: readonly ToPage[]) => void, through?: (execute: Execute) => Execute): Promise<Host> {
  const { name, client, options } = hello
  const { clock, locks, connectivity } = platform
  checkOpen('options', options)
  let ended = false
  const say = batcher<ToPage>((messages) => { if (!ended) receive(messages) })
  const { ask, answered } = questions(clock, say)
  const hooks = hooksWithin(Object.keys(options.http ?? {}).sort() as HookName[], clock, ask)
  const probe = probeOf(hello, platform.fetch, () => ask('probe'))
  const own = `worker-${platform.token()}`
  const release = await locks.hold(ownerLock(name, own))
  connectivity.hint(hello.online)
  const engine = createEngine({
    ...platform, hooks, probe, name, client, own, durability: options.durability,
    generation: hello.generation, generated(generation) { say({ t: 'generation', generation }) },
    requests(queues) { for (const queue of queues) void requests(queue) }, hear(events) { say({ t: 'events', events }) },
  })
  const local = createLocal(engine, own, platform, hooks, through)
  const { claims = true } = options
  const requests = claims ? local.requests : () => Promise.resolve()
  /** Handlers in the page. */
  const port = (processor: string): Port => ({
    run(slots, runs) { say({ t: 'run', processor, slots, runs }) },
    abort(key, reason) { say({ t: 'abort', processor, key, reason: toEnvelope(reason) }) },
    giveBack() { say({ t: 'giveBack', processor }) },
    settled(keys) { say({ t: 'settled', processor, keys }) },
  })

  /** What heeds that is given back; the rest ends with this realm. */
  function cutOff(): Promise<unknown> {
    engine.suspend(true)
    return Promise.race([local.stop(new HoldfastError('CLOSED', 'The queue was closed')), sleep(clock, STOP_MS)])
  }
  let leaving: Promise<void> | undefined
  const leave = (): Promise<void> => leaving ??= cutOff().then(engine.close)
  const end = (): Promise<void> => {
    ended = true
    engine.store.committer.abandon(new HoldfastError('CLOSED', 'This engine has ended'))
    return leave().finally(release)
  }
  const calls = createCalls({ engine, hooks: hooks.names, clock, connectivity, client, claims, say, port, requests, cutOff, leave })

  /** One that is refused hears of it when its page asks again; nobody else is to. */
  async function adopt(wish: ProcessorWish): Promise<void> {
    try { await calls.process(wish) } catch (error) { if (!isHoldfastError(error) || error.code !== 'VALIDATION') throw error }
  }

  async function begin(): Promise<Welcome> {
    const { replies, receipts } = await settledReplies(engine.store.connection, hello.unsettled)
    engine.store.committer.restore(receipts)
    engine.suspend(hello.suspended)
    await engine.start([own, client])
    for (const one of served) await local.serve(one)
    await Promise.all(hello.processors.map(adopt))
    return { alive: locks.supported ? ownerLock(name, own) : '', replies }
  }

  function report({ processor, key, report: said }: Extract<ToHost, { t: 'report' }>): void {
    const held = engine.processors.held(processor, key)
    if (held) engine.store.committer.submit({ relaxed: true, run: (work) => operations.report(work, held, said) }).catch(() => {})
  }

  const welcome = await begin().catch(async (error: unknown) => { await end(); throw error })
  return {
    welcome, end,
    take({ heard, messages }) {
      engine.store.committer.confirm(heard)
      calls.take(messages.filter((message) => message.t === 'call'))
      for (const message of messages) switch (message.t) {
        case 'call': break
        case 'forget': calls.forget(message.id); break
        case 'ended': engine.processors.ended(message.processor, message.endings); break
        case 'report': report(message); break
        case 'online': connectivity.hint(message.online); break
        case 'suspend': engine.suspend(message.on); break
        case 'listen': engine.listen(message.on); break
        case 'hooked': answered(message.id, message.reply); break
      }
    },
  }
}
