/** What tabs tell each other, an economy only: whoever misses it looks at the database a little later. */
import type { QueueEvent } from '../queue.ts'

export interface Message {
  /** Queues that may have more to claim. */
  readonly wakes?: readonly string[]
  /** Owners that should look at their leases. */
  readonly summons?: readonly string[]
  readonly events?: readonly QueueEvent[]
  /** When something stored is due (epoch ms). */
  readonly dueAt?: number
  /** A newcomer: whoever hears it says that it is there, since one who is alone says nothing. */
  readonly hello?: true
  readonly here?: true
  /** "I listen to events": the others send them from now on. */
  readonly listening?: boolean
  /** "From now on you hear of everything": what happened before is in the database. */
  readonly look?: true
}

export interface Channel {
  post(message: Message): void
  close(): void
}

export function broadcastChannel(name: string, hear: (message: Message) => void): Channel {
  if (typeof BroadcastChannel === 'undefined') return { post() {}, close() {} }
  const channel = new BroadcastChannel(name)
  channel.addEventListener('message', ({ data }: MessageEvent<Message>) => { hear(data) })
  // In Node (tests) an open channel would keep the process alive.
  ;(channel as { unref?: () => void }).unref?.()
  return { post: (message) => { channel.postMessage(message) }, close: () => { channel.close() } }
}
