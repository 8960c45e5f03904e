/** What the application has a say in, as the worker asks for it. Loaded when first asked. */
import { toEnvelope } from '../core/envelope.ts'
import type { HttpHooks } from '../queue.ts'
import type { Reply, ToCaller } from './protocol.ts'

export async function answerHook(hooks: HttpHooks, { hook, args }: Extract<ToCaller, { t: 'hook' }>): Promise<Reply> {
  try {
    const [given] = args
    const said = await (hooks[hook] as (...args: readonly unknown[]) => unknown)(...args)
    // A hook may change the request that it was given, or return another.
    return { value: hook === 'beforeSend' ? { ...given as object, ...said as object } : hook === 'classify' ? said : undefined }
  } catch (error) { return { error: toEnvelope(error) } }
}
