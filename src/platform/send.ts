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
  /** That is not all of it. */
  readonly cut?: true
  /** It was redirected although it changes something; where to, if that is told. */
  readonly redirected?: { readonly to?: string }
}

/** `moved` is called whenever bytes of the body have gone, with the part of it that is sent, 0..1. What comes back counts for nothing: a server could hold a place for ever. Of an answer's text about `most` bytes are read. */
export type Send = (request: Sent, most: number, signal: AbortSignal, moved: (part?: number) => void) => Promise<Received>

/** In place of the fragment, which no server is told: by it a service worker that queues what pages send knows what a queue sends. */
export const OWN = '#holdfast'
const own = (url: string): string => url.replace(/#.*|$/, OWN)
/** As the browser writes it, whoever wrote it. */
const address = (url: string): string => new URL(url).href.replace(/#.*/, '')

const isSafe = (method: string): boolean => method === 'GET' || method === 'HEAD'

/** By fetch: a redirect of what changes something is not followed, and there is no progress. */
export const byFetch = (fetch: typeof globalThis.fetch): Send => async ({ url, ...request }, most, signal) => {
  const response = await fetch(own(url), { ...request, signal, cache: 'no-store', redirect: isSafe(request.method) ? 'follow' : 'manual' })
  const { status, headers, type } = response
  return { status, headers, ...await read(response, most, signal), ...(type === 'opaqueredirect' && { redirected: {} }) }
}

async function read(response: Response, most: number, signal: AbortSignal): Promise<Pick<Received, 'text' | 'cut'>> {
  const { body, ok } = response
  if (!body) return { text: await response.text() }
  const reader = body.getReader()
  const decoder = new TextDecoder()
  let text = ''
  try {
    for (let bytes = 0; bytes <= most;) {
      const { done, value } = await reader.read()
      if (done) return { text: text + decoder.decode() }
      bytes += value.length
      text += decoder.decode(value, { stream: true })
    }
    reader.cancel().catch(() => {})
  } catch (error) {
    // That it was refused has been heard.
    if (ok || signal.aborted) throw error
  }
  return { text, cut: true }
}

const HEADERS = 2
const DONE = 4

/**
 * By XMLHttpRequest, which tells how much of a body was sent. It follows redirects by itself: that is seen when the answer is from another address than was asked,
 * by when the request has gone there too, mostly as a GET without its body. One that leads back to its own address, or ends without an answer, is not seen.
 */
export const byXhr: Send = ({ url, method, headers, body }, most, signal, moved) => new Promise((resolve, reject) => {
  signal.throwIfAborted()
  const request = new XMLHttpRequest()
  let sent = 0
  request.upload.onprogress = ({ loaded, total }) => {
    if (loaded <= sent) return
    sent = loaded
    moved(total > 0 ? loaded / total : undefined)
  }
  let heard: Received | undefined
  request.onreadystatechange = () => {
    const { readyState, status, responseText: text, responseURL: to } = request
    if (readyState < HEADERS || status === 0) return
    heard = { status, headers: headersOf(request), text, ...(readyState < DONE && { cut: true }), ...(to !== '' && address(to) !== address(url) && !isSafe(method) && { redirected: { to } }) }
    if (readyState === DONE) resolve(heard)
    else if (text.length > most) { resolve(heard); request.abort() }
  }
  request.onerror = () => {
    // That it was refused has been heard.
    if (heard && heard.status >= 400) resolve(heard)
    else reject(new TypeError(`Failed to send, after ${sent} bytes`))
  }
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
