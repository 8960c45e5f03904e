/** Requests that main sends for the engine page's worker: to servers that know nothing of CORS. Only to origins that the app names. */
import { net, type IncomingMessage } from 'electron'
import { readFile } from 'node:fs/promises'
import { Readable } from 'node:stream'
import { isWeb, originOf } from './options.ts'
import { VIA_ANSWER, VIA_ASK, VIA_SEND } from './protocol.ts'

/** The built-in worker, whose requests to these origins go through main. */
export async function viaWorker(file: string, origins: readonly string[]): Promise<Response> {
  const prelude = `{
    const send = fetch
    // It cannot be told what main sends.
    delete globalThis.XMLHttpRequest
    globalThis.fetch = async (url, init = {}) => {
      const { href, origin } = new URL(url, location)
      if (!${JSON.stringify(origins)}.includes(origin)) return send(url, init)
      const headers = new Headers(init.headers)
      headers.set('${VIA_ASK}', '1')
      const carried = await send('${VIA_SEND}?' + encodeURIComponent(href), { ...init, headers, redirect: 'error' })
      const answer = JSON.parse(decodeURIComponent(carried.headers.get('${VIA_ANSWER}')))
      return { ...answer, ok: answer.status >= 200 && answer.status < 300, headers: new Headers(answer.headers), body: carried.body, text: () => carried.text() }
    }
  };\n`
  return new Response(prelude + await readFile(file, 'utf8'), { headers: { 'content-type': 'text/javascript' } })
}

/** What a browser adds for the page, or a server must not be told. */
const OWN = new RegExp(`^(origin|referer|host|cookie|content-length|connection|accept-encoding|sec-.*|${VIA_ASK})$`, 'i')
const MOST_REDIRECTS = 20

type Fields = ReadonlyArray<readonly [name: string, value: string]>
interface Sending { readonly url: string; readonly method: string; readonly headers: Fields; readonly body: ArrayBuffer | undefined }
type Heard = { readonly t: 'answer'; readonly message: IncomingMessage } | { readonly t: 'redirect'; readonly status: number; readonly to: string }

/** What comes back is carried in an answer that is none of a server's: whatever that says, it can be no page, script or worker at the app's origin. */
export async function sendFor(request: Request, origins: readonly string[]): Promise<Response> {
  const url = addressIn(request)
  const { headers, method } = request
  if (url === undefined || !isNamed(url, origins) || !headers.has(VIA_ASK) || (headers.get('sec-fetch-dest') ?? 'empty') !== 'empty') return new Response(null, { status: 403 })
  const safe = method === 'GET' || method === 'HEAD'
  const body = safe || !request.body ? undefined : await request.arrayBuffer()
  try {
    let sending: Sending = { url, method, headers: [...headers].filter(([name]) => !OWN.test(name)), body }
    for (let hop = 0; ; hop++) {
      const heard = await send(sending)
      if (heard.t === 'answer') return carried(heard.message)
      if (!safe) return carry({ status: 0, type: 'opaqueredirect', headers: [] }, null)
      if (hop === MOST_REDIRECTS || !isNamed(heard.to, origins)) return carry({ status: heard.status, type: 'default', headers: [['location', heard.to]] }, null)
      sending = { ...sending, url: heard.to, headers: sending.headers.filter(([name]) => name !== 'authorization' || originOf(heard.to) === originOf(sending.url)) }
    }
  } catch { return Response.error() }
}

function addressIn(request: Request): string | undefined {
  try { return decodeURIComponent(new URL(request.url).search.slice(1)) } catch { return undefined }
}

const isNamed = (url: string, origins: readonly string[]): boolean => isWeb(url) && origins.includes(originOf(url))

/** One request, and no other that its answer may ask for. Not by `net.fetch`, in which a status of 600 is an error that nobody can catch. */
const send = ({ url, method, headers, body }: Sending): Promise<Heard> => new Promise((resolve, reject) => {
  const request = net.request({ url, method, credentials: 'omit', cache: 'no-store', redirect: 'manual' })
  for (const [name, value] of headers) request.setHeader(name, value)
  request.on('redirect', (status, _method, to) => {
    resolve({ t: 'redirect', status, to })
    request.abort()
  })
  request.on('response', (message) => { resolve({ t: 'answer', message }) })
  request.on('error', reject)
  request.on('abort', () => { reject(new Error('aborted')) })
  if (body) request.write(Buffer.from(body))
  request.end()
})

function carried(message: IncomingMessage): Response {
  const headers = Object.entries(message.headers).flatMap(([name, value]) => name === 'set-cookie' ? [] : [value].flat().map((one) => [name, one] as const))
  const { statusCode: status } = message
  return carry({ status, type: 'default', headers }, Readable.toWeb(message as unknown as Readable) as ReadableStream)
}

const carry = (answer: { readonly status: number; readonly type: string; readonly headers: Fields }, body: ReadableStream | null): Response =>
  new Response(body, { headers: { 'content-type': 'application/octet-stream', [VIA_ANSWER]: encodeURIComponent(JSON.stringify(answer)) } })
