/** What a realm senses, waits for and draws by chance, in one piece, so that a simulated world can take its place. */
import { broadcastChannel, type Channel, type Message } from './channel.ts'
import { systemClock, type Clock } from './clock.ts'
import { browserConnectivity, type Connectivity } from './connectivity.ts'
import { webLocks, type Locks } from './locks.ts'
import { browserEstimate, type Estimate } from './quota.ts'
import { taskQueue } from './task.ts'

export interface Platform {
  readonly clock: Clock
  readonly locks: Locks
  readonly connectivity: Connectivity
  readonly channel: (name: string, hear: (message: Message) => void) => Channel
  readonly estimate: Estimate
  readonly factory: IDBFactory
  readonly fetch: typeof globalThis.fetch
  /** Calls back in a task of its own. */
  readonly task: (call: () => void) => void
  /** Uniform in [0, 1). */
  readonly random: () => number
  /** 128 random bits as text. */
  readonly token: () => string
}

export const browserPlatform = (): Platform => ({
  clock: systemClock, locks: webLocks(), connectivity: browserConnectivity(), channel: broadcastChannel, estimate: browserEstimate, factory: indexedDB,
  fetch: (...args) => fetch(...args), task: taskQueue(), random: Math.random, token: () => crypto.randomUUID(),
})
