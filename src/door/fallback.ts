/** Other ways to start the engine, loaded only where the worker's file cannot be had. Each may throw, or answer with an `error` event. */
import { source } from './inline.ts'

interface TrustedPolicy { createScriptURL(url: string): URL }
interface TrustedTypes { createPolicy(name: string, rules: { createScriptURL(url: string): string }): TrustedPolicy }

let policy: TrustedPolicy | undefined

/** Under `require-trusted-types-for 'script'` a worker's URL must pass a policy; a name can be taken only once. */
function trusted(url: string): URL {
  const { trustedTypes } = globalThis as { trustedTypes?: TrustedTypes }
  if (trustedTypes === undefined) return new URL(url)
  policy ??= trustedTypes.createPolicy('holdfast', { createScriptURL: (own) => own })
  return policy.createScriptURL(url)
}

/** The file again, under Trusted Types. */
export const trustedWorker = (): Worker => new Worker(trusted(String(new URL('./worker.js', import.meta.url))), { type: 'module' })

/** The same source as a string: another origin's CDN, a bundler that leaves the file behind. */
export function blobWorker(): Worker {
  const url = URL.createObjectURL(new Blob(['URL.revokeObjectURL(location.href);', source], { type: 'text/javascript' }))
  return new Worker(trusted(url), { type: 'module' })
}
