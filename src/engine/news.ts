/** What is told of commits and of the queue's health, to this realm's listeners and to other tabs, and what is heard from those. */
import { present } from '../core/present.ts'
import type { Channel, Message } from '../platform/channel.ts'
import type { QueueEvent } from '../queue.ts'
import type { Committed } from '../store/committer.ts'
import type { Waiters } from './waiters.ts'

export interface News {
  /** Whether anyone, here or elsewhere, wants events. */
  readonly wanted: boolean
  say(...events: readonly QueueEvent[]): void
  /** To this realm's listeners only: each tab finds it out by itself. */
  sayHere(event: QueueEvent): void
  /** A commit was made here. */
  committed(commit: Committed): void
  /** Whether anyone here wants events. */
  listen(on: boolean): void
  /** Someone here waits for a job: what happens elsewhere is to be told. */
  ask(): void
  /** A newcomer makes itself known. */
  hello(): void
  close(): void
}

export interface NewsOptions {
  readonly channel: (hear: (message: Message) => void) => Channel
  readonly waiters: Waiters
  /** For this realm's listeners. */
  readonly hear: (events: readonly QueueEvent[]) => void
  /** A commit, here or in another tab, says that there is something to do. */
  readonly follow: (message: Message) => void
  /** A newcomer was heard. */
  readonly arrived: () => void
}

export function createNews({ channel: open, waiters, hear, follow, arrived }: NewsOptions): News {
  let listening = false
  /** Whether any other tab was ever heard: one who is alone need not speak. */
  let others = false
  let othersListen = false
  let closed = false
  const channel = open(heard)
  const post = (message: Message): void => { if (!closed) channel.post(message) }

  function heard(message: Message): void {
    const { events = [], listening: asked, hello, look } = message
    others = true
    if (asked) { othersListen = true; post({ look: true }) }
    if (look) waiters.look()
    if (hello) {
      post({ here: true, listening: listening || waiters.any })
      arrived()
    }
    if (listening && events.length > 0) hear(events)
    for (const { id } of events) if (id !== undefined) waiters.look(id)
    follow(message)
  }

  return {
    get wanted() { return listening || othersListen },
    say(...events) {
      hear(events)
      if (othersListen) post({ events })
    },
    sayHere(event) { hear([event]) },
    committed({ events, wakes, summons, finals, dueAt }) {
      for (const job of finals) waiters.ended(job)
      if (listening && events.length > 0) hear(events)
      const message: Message = present({
        wakes: wakes.size > 0 ? [...wakes] : undefined, summons: summons.size > 0 ? [...summons] : undefined,
        events: othersListen && events.length > 0 ? events : undefined, dueAt: dueAt < Infinity ? dueAt : undefined,
      })
      if (others && Object.keys(message).length > 0) post(message)
      follow(message)
    },
    listen(on) {
      listening = on
      if (on) post({ listening: true })
    },
    ask() { if (!listening) post({ listening: true }) },
    hello() { post({ hello: true }) },
    close() { closed = true; channel.close() },
  }
}
