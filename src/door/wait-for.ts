/** Waits for the end of a job, until it is told to stop. Loaded by the first `waitFor`. */
import { HoldfastError } from '../core/errors.ts'
import { checkWait } from '../core/rules.ts'
import { systemClock as clock } from '../platform/clock.ts'
import type { Client } from './client.ts'
import { optionsOf } from './options.ts'
import { stopOf } from './stop.ts'

export interface WaitOptions { readonly signal?: AbortSignal; readonly timeoutMs?: number }

export async function waitUntil(client: Client, id: string, options?: WaitOptions): Promise<unknown> {
  const { signal, timeoutMs } = optionsOf(options, 'options', 'signal', 'timeoutMs')
  if (timeoutMs !== undefined) checkWait('options.timeoutMs', timeoutMs)
  const late = new AbortController()
  const stop = stopOf(signal, late.signal)
  stop.throwIfAborted()
  const cancel = timeoutMs === undefined ? undefined : clock.after(timeoutMs, () => { late.abort(new HoldfastError('TIMEOUT', `Nothing within ${timeoutMs} ms`)) })
  // A signal that has listeners lives as long as the caller's does.
  const heard = new AbortController()
  const stopped = new Promise<never>((_resolve, reject) => { stop.addEventListener('abort', () => { reject(stop.reason as Error) }, { signal: heard.signal }) })
  const { answer, forget } = client.begin('waitFor', id)
  try { return await Promise.race([answer, stopped]) } finally {
    cancel?.()
    heard.abort()
    forget()
  }
}
