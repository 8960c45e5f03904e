/** Requests that main sends for the engine page's worker: to servers that know nothing of CORS. Only to origins that the app names. */
import { net } from 'electron'
import { readFile } from 'node:fs/promises'
import { VIA_REDIRECTED, VIA_SEND } from './protocol.ts'

/** The built-in worker, whose requests to these origins go through main. */
export async function viaWorker(file: string, origins: readonly string[]): Promise<Response> {
  const prelude = `{
    const send = fetch
    // It cannot be told what main sends.
    delete globalThis.XMLHttpRequest
    globalThis.fetch = async (url, init = {}) => {
      if (!${JSON.stringify(origins)}.includes(new URL(url, location).origin)) return send(url, init)
      const answer = await send('${VIA_SEND}?' + encodeURIComponent(url), { ...init, redirect: 'error' })
      return answer.headers.has('${VIA_REDIRECTED}') ? { status: 0, type: 'opaqueredirect', headers: new Headers(), text: async () => '' } : answer
    }
  };\n`
  return new Response(prelude + await readFile(file, 'utf8'), { headers: { 'content-type': 'text/javascript' } })
}

/** What a browser adds for the page, or a server must not be told. */
const OWN = /^(origin|referer|host|cookie|content-length|connection|accept-encoding|sec-.*)$/i

export async function sendFor(request: Request, url: string, origins: readonly string[]): Promise<Response> {
  const { method } = request
  if (!URL.canParse(url) || !origins.includes(new URL(url).origin)) return new Response(null, { status: 403 })
  const headers = new Headers([...request.headers].filter(([name]) => !OWN.test(name)))
  const safe = method === 'GET' || method === 'HEAD'
  const body = safe || !request.body ? undefined : await request.arrayBuffer()
  try {
    const answer = await net.fetch(url, { method, headers, credentials: 'omit', cache: 'no-store', redirect: safe ? 'follow' : 'manual', signal: request.signal, ...(body && { body }) })
    return answer.status >= 300 && answer.status < 400 && answer.headers.has('location') ? redirected() : answer
  } catch (error) {
    // Electron rejects what it may not follow.
    return /redirect/i.test(String(error)) ? redirected() : Response.error()
  }
}

const redirected = (): Response => new Response(null, { headers: { [VIA_REDIRECTED]: '1' } })
