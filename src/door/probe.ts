/** What an application gives to be asked whether there is a network. */
import { invalid } from '../core/errors.ts'
import { originOf } from '../core/lane.ts'
import { portalIn } from '../core/network.ts'
import type { Probe } from '../engine/network.ts'
import type { Hello } from './protocol.ts'

/** `call` calls its function, which is in the page. */
export function probeOf({ options: { network }, page }: Hello, fetch: typeof globalThis.fetch, call: () => Promise<unknown>): Probe | undefined {
  const given = network?.probe
  if (given === undefined) return undefined
  if (typeof given !== 'string') return {
    async ask() {
      const said = await call()
      return said === true ? undefined : said === false ? 'it is false' : `it must be true or false, and is ${String(said)}`
    },
  }
  let url: string
  try { ({ href: url } = new URL(given, page)) } catch { url = '' }
  if (!/^https?:/.test(url)) throw invalid('options.network.probe', `must be a function, or an http(s) URL, absolute or relative to a page (got ${given})`)
  return { origin: originOf(url), ask: (signal) => askUrl(fetch, url, signal) }
}

/** In a way that no cache can answer. */
async function askUrl(fetch: typeof globalThis.fetch, url: string, signal: AbortSignal): Promise<string | undefined> {
  const { status, type, headers, body } = await fetch(url, { cache: 'no-store', credentials: 'omit', redirect: 'manual', signal })
  void body?.cancel()
  const wrong = portalIn({ status, redirected: type === 'opaqueredirect', contentType: headers.get('content-type') ?? '' })
  return wrong && `${url}: ${wrong}`
}
