/** What the application has a say in, wherever it is: each call crosses to it as plain data, and has 30 s. */
import { REFRESH_MS } from '../core/credentials.ts'
import { HoldfastError } from '../core/errors.ts'
import type { HookName } from '../core/job.ts'
import type { Clock } from '../platform/clock.ts'

export interface Hooks {
  readonly names: readonly HookName[]
  /** Rejects with what the hook throws, and with TIMEOUT. */
  call(hook: HookName, ...args: readonly unknown[]): Promise<unknown>
}

/** `ask` calls the application. */
export const hooksWithin = (names: readonly HookName[], clock: Clock, ask: Hooks['call']): Hooks => ({
  names,
  call: (hook, ...args) => new Promise((resolve, reject) => {
    const stop = clock.after(REFRESH_MS, () => { reject(new HoldfastError('TIMEOUT', `${hook} did not answer within ${REFRESH_MS} ms`)) })
    // What the application threw arrives as the cause of an error of ours.
    ask(hook, ...args).then(resolve, (error: unknown) => { reject(error instanceof HoldfastError && error.code === 'STORAGE' ? error.cause : error) }).finally(stop)
  }),
})
