/** Two ways to start the built-in worker; each may throw, or answer with an `error` event instead of a handshake. */

interface TrustedPolicy {
  createScriptURL(url: string): URL
}
interface TrustedTypes {
  createPolicy(name: string, rules: { createScriptURL(url: string): string }): TrustedPolicy
}

let policy: TrustedPolicy | undefined

/** Under `require-trusted-types-for 'script'` a worker's URL must pass a policy; a name can be taken only once. */
function trusted(url: string): URL {
  const { trustedTypes } = globalThis as { trustedTypes?: TrustedTypes }
  if (trustedTypes === undefined) return new URL(url)
  policy ??= trustedTypes.createPolicy('holdfast', { createScriptURL: (own) => own })
  return policy.createScriptURL(url)
}

/** From the file `worker.js`. Bundlers know this expression as it stands: change no character of it. */
export function urlWorker(): Worker {
  try {
    return new Worker(new URL('./worker.js', import.meta.url), { type: 'module' })
  } catch {
    return new Worker(trusted(String(new URL('./worker.js', import.meta.url))), { type: 'module' })
  }
}

/** From the same source as a string, where the file cannot be had: another origin's CDN, a bundler that leaves it behind. */
export async function blobWorker(): Promise<Worker> {
  const { source } = await import('./inline.ts')
  const url = URL.createObjectURL(new Blob(['URL.revokeObjectURL(location.href);', source], { type: 'text/javascript' }))
  return new Worker(trusted(url), { type: 'module' })
}
