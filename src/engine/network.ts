/** Whether the network is there, where the application has a probe for that. What is known lies in the database, so that all tabs heed it, and one of them asks. */
import { askAt, forgottenAt, PROBE_MS, type Network, type NetworkEvent } from '../core/network.ts'
import { present } from '../core/present.ts'
import type { Clock } from '../platform/clock.ts'
import { describeError } from '../runner/outcome.ts'
import * as operations from '../store/operations.ts'
import { readMeta } from '../store/reads.ts'
import type { Store } from '../store/store.ts'

export interface Probe {
  /** Whose answer it is; absent: it tells of the network only, and of no origin. */
  readonly origin?: string
  /** Why there is no network; undefined: there is one. To reject is to say no. After 10 s nobody waits for it. */
  ask(signal: AbortSignal): Promise<string | undefined>
}

export interface NetworkOptions {
  readonly store: Store
  readonly clock: Clock
  /** The page, as an owner. */
  readonly client: string
  readonly random: () => number
  readonly probe: Probe | undefined
  /** Whether the browser says that there may be one. */
  readonly online: () => boolean
}

export interface NetworkWatch {
  /** Whoever comes is in doubt: it may have been closed in one network and opened in another. */
  start(): void
  /** It may be back, or gone: nothing is claimed that needs it before the probe has answered. */
  sign(): void
  /** Something got no answer: what the probe says then. `unsure`: there is none here, or it did not answer. */
  unanswered(): Promise<'up' | 'down' | 'unsure'>
  /** After a request got no answer: whether the probe says that its origin is up. */
  vouches(origin: string): Promise<boolean>
  /** Does what is due, and says when to look again (epoch ms). */
  look(network: Network | undefined): number
  stop(): void
}

const LOOK_MS = 200
/** So long another tab may take to ask. */
const WAIT_MS = 2 * PROBE_MS

export function watchNetwork({ store: { connection, committer }, clock, client, random, probe, online }: NetworkOptions): NetworkWatch {
  let asking: Promise<void> | undefined
  let running = false

  const tell = (event: NetworkEvent): Promise<boolean> => committer.submit({ alone: true, run: (work) => operations.networkEvent(work, event) })

  /** One question, if nobody else asks. */
  async function askOnce({ ask }: Probe): Promise<boolean> {
    if (!await tell({ type: 'ask', owner: client })) return false
    const late = new AbortController()
    const reason = await new Promise<string | undefined>((resolve) => {
      const stop = clock.after(PROBE_MS, () => { resolve(`it did not answer within ${PROBE_MS} ms`); late.abort() })
      ask(late.signal).then(resolve, (error: unknown) => { resolve(describeError(error).message) }).finally(stop)
    })
    await tell(present({ type: 'answer' as const, owner: client, random: random(), reason: reason === undefined ? undefined : `No network, says network.probe: ${reason}` }))
    return true
  }

  /** As long as it is due. */
  async function askNow(given: Probe): Promise<void> { while (running && online() && await askOnce(given)) { /* it was doubted anew meanwhile */ } }

  /** What fails here is tried again when upkeep looks. */
  const ask = (): Promise<void> => {
    if (!probe || !running || !online()) return Promise.resolve()
    return asking ??= askNow(probe).catch(() => {}).finally(() => { asking = undefined })
  }

  const sign = (): void => { if (probe && running) void tell({ type: 'sign' }).then(ask, () => {}) }

  async function unanswered(): Promise<'up' | 'down' | 'unsure'> {
    if (probe) await tell({ type: 'unanswered' })
    for (const end = clock.awake() + WAIT_MS; ; await new Promise<void>((resolve) => { clock.after(LOOK_MS, resolve) })) {
      await ask()
      const network = (await readMeta(connection))?.network
      if (network?.state === 'down') return 'down'
      if (!network && probe) return 'up'
      if (!probe || !running || !online() || clock.awake() >= end) return 'unsure'
    }
  }

  return {
    start() { running = true; sign() },
    sign,
    unanswered: () => unanswered().catch(() => 'unsure'),
    async vouches(origin) {
      if (origin === probe?.origin) return await unanswered().catch(() => 'unsure') === 'up'
      if (probe) void tell({ type: 'unanswered' }).then(ask, () => {})
      return false
    },
    look(network) {
      const now = clock.now()
      if (!network) return Infinity
      const at = probe ? askAt(network, client, now) : forgottenAt(network, now)
      if (at > now) return at
      if (probe) void ask()
      else void tell({ type: 'look' }).catch(() => {})
      return Infinity
    },
    stop() { running = false },
  }
}
