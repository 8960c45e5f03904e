/** Two ways to send a request. Both reject when there is no answer, which looks the same whatever the cause. */

export interface Sent {
  readonly url: string
  readonly method: string
  readonly headers: Headers
  readonly body?: BodyInit
}

export interface Received {
  readonly status: number
  readonly headers: Headers
  readonly text: string
  /** It was redirected although it changes something; where to, if that is told. */
  readonly redirected?: { readonly to?: string }
}

/** `moved` is called whenever bytes of the body have gone, with the part of it that is sent, 0..1. What comes back counts for nothing: a server could hold a place for ever. */
export type Send = (request: Sent, signal: AbortSignal, moved: (part?: number) => void) => Promise<Received>

/** In place of the fragment, which no server is told: by it a service worker that queues what pages send knows what a queue sends. */
export const OWN = '#holdfast'
const own = (url: string): string => url.replace(/#.*|$/, OWN)
/** As the browser writes it, whoever wrote it. */
const address = (url: string): string => new URL(url).href.replace(/#.*/, '')

const isSafe = (method: string): boolean => method === 'GET' || method === 'HEAD'

/** By fetch: a redirect of what changes something is not followed, and there is no progress. */
export const byFetch = (fetch: typeof globalThis.fetch): Send => async ({ url, ...request }, signal) => {
  const response = await fetch(own(url), { ...request, signal, cache: 'no-store', redirect: isSafe(request.method) ? 'follow' : 'manual' })
  const { status, headers, type } = response
  return { status, headers, text: await response.text(), ...(type === 'opaqueredirect' && { redirected: {} }) }
}

/**
 * By XMLHttpRequest, which tells how much of a body was sent. It follows redirects by itself: that is seen when the answer is from another address than was asked,
 * by when the request has gone there too, mostly as a GET without its body. One that leads back to its own address, or ends without an answer, is not seen.
 */
export const byXhr: Send = ({ url, method, headers, body }, signal, moved) => new Promise((resolve, reject) => {
  signal.throwIfAborted()
  const request = new XMLHttpRequest()
  let sent = 0
  request.upload.onprogress = ({ loaded, total }) => {
    if (loaded <= sent) return
    sent = loaded
    moved(total > 0 ? loaded / total : undefined)
  }
  request.onload = () => {
    const to = request.responseURL
    resolve({ status: request.status, headers: headersOf(request), text: request.responseText, ...(address(to) !== address(url) && !isSafe(method) && { redirected: { to } }) })
  }
  request.onerror = () => { reject(new TypeError(`Failed to send, after ${sent} bytes`)) }
  request.onabort = () => { reject(signal.reason as Error) }
  signal.addEventListener('abort', () => { request.abort() })
  request.open(method, own(url))
  for (const [name, value] of headers) request.setRequestHeader(name, value)
  request.send(body as XMLHttpRequestBodyInit)
})

function headersOf(request: XMLHttpRequest): Headers {
  const headers = new Headers()
  for (const line of request.getAllResponseHeaders().split('\r\n')) {
    const colon = line.indexOf(':')
    if (colon > 0) headers.append(line.slice(0, colon), line.slice(colon + 1).trim())
  }
  return headers
}
