/** What the application has a say in, as the worker asks for it. Loaded when first asked. */
import { toEnvelope } from '../core/envelope.ts'
import type { HookName } from '../core/job.ts'
import type { OpenOptions, OutgoingRequest } from '../queue.ts'
import type { Reply } from './protocol.ts'

export async function answerHook({ http, network }: OpenOptions, hook: HookName | 'probe', args: readonly unknown[]): Promise<Reply> {
  try {
    const [given] = args
    const said = await ({ ...http, ...network }[hook] as (...args: readonly unknown[]) => unknown)(...args)
    return { value: structuredClone(hook === 'beforeSend' ? changed(given as OutgoingRequest, said as Partial<OutgoingRequest> | undefined) : hook === 'onUnauthorized' ? undefined : said) }
  } catch (error) { return { error: toEnvelope(error) } }
}

/** A hook may change the request that it was given, and return what is to be changed. */
function changed(given: OutgoingRequest, said: Partial<OutgoingRequest> = {}): OutgoingRequest {
  const headers = new Headers(given.headers)
  new Headers(said.headers).forEach((value, name) => { headers.set(name, value) })
  return { ...given, ...said, url: String(said.url ?? given.url), headers: Object.fromEntries(headers) }
}
