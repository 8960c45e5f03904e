/** A request as the page hands it to the worker, which checks what it says. It is copied at the call: what the caller changes later does not count. */
import { asJson } from '../core/as-json.ts'
import { invalid } from '../core/errors.ts'
import type { FetchInit, FetchOptions } from '../queue.ts'
import type { FetchInput } from './protocol.ts'
import { optionsOf } from './options.ts'
import { refs } from './ref.ts'
import { snapshot } from './snapshot.ts'

/** A promise only where a body must be read first: a Request's, or a stream. */
export function outgoing(input: string | URL | Request, init?: FetchInit, fetchOptions?: FetchOptions): FetchInput | Promise<FetchInput> {
  const asked = input instanceof Request ? input : undefined
  const { method = asked?.method, headers = asked?.headers, body, json, ...unknown } = optionsOf(init, 'init')
  const at = asked?.url ?? input as string
  let url: string
  // Only text can be relative.
  const [text, base] = typeof input === 'string' ? [input, globalThis.document?.baseURI ?? globalThis.location?.href] : []
  try { url = new URL(at, base).href } catch { throw invalid('url', `is not a URL (got ${String(at)})`) }
  const options = snapshot('options', fetchOptions)
  const named = Object(headers) as Headers
  const http = { url, text, base, refs: refs.mark, method, headers: snapshot('init.headers', Symbol.iterator in named ? [...named] : named === headers ? Object.entries(named) : headers === undefined ? [] : [headers]), unknown: Object.keys(unknown), credentials: asked?.credentials }
  const made = (body: FetchInput['http']['body'], data?: unknown): FetchInput => ({ data, options, http: { ...http, body } })
  if (json !== undefined) return made(body == null ? 'json' : 'both', snapshot('init.json', json, asJson))
  if (body instanceof FormData) return made('form', [...body])
  if (body instanceof URLSearchParams) return made('query', String(body))
  try {
    // Of a view exactly its bytes, not all of the buffer behind it.
    if (ArrayBuffer.isView(body) || body instanceof ArrayBuffer) {
      // One that was given away elsewhere has no bytes, and says so.
      if (body.byteLength === 0) snapshot('init.body', body)
      return made('given', new Blob([body]))
    }
    const unread = body instanceof ReadableStream ? new Response(body) : body == null ? asked : undefined
    if (unread) return unread.blob().then((read) => read.size || body ? made('given', read) : made(undefined), unreadable)
  } catch (error) { unreadable(error) }
  return body == null ? made(undefined) : made('given', snapshot('init.body', body))
}

function unreadable(error: unknown): never { throw invalid('init.body', `cannot be read: ${String(error)}`, {}, error) }
