/** Questions to the application, which is in the page. */
import { fromEnvelope } from '../core/errors.ts'
import { REFRESH_MS } from '../core/credentials.ts'
import type { HookName } from '../core/job.ts'
import type { Clock } from '../platform/clock.ts'
import type { Reply, ToCaller } from './protocol.ts'

export interface Questions {
  ask(hook: HookName | 'probe', ...args: readonly unknown[]): Promise<unknown>
  answered(id: number, reply: Reply): void
}

/** `open` are those that wait for their answer: nobody waits longer than 30 s. */
export function questions(clock: Clock, say: (message: Extract<ToCaller, { t: 'hook' }>) => void, open = new Map<number, (reply: Reply) => void>()): Questions {
  let last = 0
  return {
    ask: (hook, ...args) => new Promise((resolve, reject) => {
      const id = ++last
      const stop = clock.after(REFRESH_MS, () => { open.delete(id) })
      open.set(id, (reply) => { stop(); if ('error' in reply) reject(fromEnvelope(reply.error)); else resolve(reply.value) })
      say({ t: 'hook', id, hook, args })
    }),
    answered(id, reply) { open.get(id)?.(reply); open.delete(id) },
  }
}
