/** Checks a request at push, so that nothing is stored that can never be sent. */
import { checkBody } from '../core/body.ts'
import { isHeaderValue, withoutPlaces } from '../core/fill.ts'
import { defaultOkStatuses } from '../core/http-answer.ts'
import type { HttpRequest } from '../core/job.ts'
import { invalid } from '../core/errors.ts'
import { byteLength, checkBytes, LIMITS, wrong, type Size } from '../core/limits.ts'
import { boolean, integer, listOf, shape, text } from '../core/rules.ts'
import type { FetchOptions } from '../queue.ts'
import { checkPlaces, takeRefs, templateOf } from './template.ts'

/** A request as the page hands it over: its URL absolute if the page could make it so, its body in the job's data. */
export interface RequestInput {
  readonly url: string
  readonly method: string | undefined
  /** Names and values, as they were given. */
  readonly headers: readonly unknown[]
  /** Where the data comes from: `init.json`, `init.body` or wrongly both; of bodies a FormData's entries, URLSearchParams as text, or what was given, as a Blob if it had to be read or copied. */
  readonly body: 'json' | 'form' | 'query' | 'given' | 'both' | undefined
  /** What `init` says besides. */
  readonly unknown: readonly string[]
  /** The URL as text, and what it is relative to: where it was given so. */
  readonly text?: string | undefined
  readonly base?: string | undefined
  /** By what refs in JSON are known, if any were made. */
  readonly refs?: string | undefined
  /** Those of a Request. */
  readonly credentials?: string | undefined
}

const okStatus = (field: string, status: unknown): void => {
  integer(100, 599)(field, status)
  if (String(status).startsWith('3') && status !== 304) throw invalid(field, `is a redirect, whose answer nobody gets to see: of 3xx only 304 can complete a request (is ${String(status)})`)
}

/** What a request says in its options besides those of any job. */
type RequestOptions = { readonly [K in 'idempotency' | 'okStatuses' | 'allowStoredCredentials' | 'fill' | 'dependsOn']: FetchOptions[K] | undefined }

const TOKEN = /^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/
const SENSITIVE = /^(authorization|cookie|proxy-.*)$/i
/** The browser sets these and ignores ours (Fetch standard, forbidden request-headers). */
export const FORBIDDEN = /^(accept-charset|accept-encoding|access-control-request-.*|connection|content-length|cookie2|date|dnt|expect|host|keep-alive|origin|referer|sec-.*|set-cookie|te|trailer|transfer-encoding|upgrade|via)$/i

/** How the data becomes a body, and what content type the browser would not add by itself. */
function bodyOf({ body }: RequestInput, data: unknown): readonly [HttpRequest['body'], contentType?: string] {
  switch (body) {
    case 'both': throw invalid('init.json', 'excludes body: give one of the two')
    case 'json': return ['json', 'application/json']
    case 'query': return ['text', 'application/x-www-form-urlencoded;charset=UTF-8']
    case 'given': return [typeof data === 'string' ? 'text' : 'binary']
    case 'form': case undefined: return [body]
  }
}

/** Those of one name are joined, as in `Headers`; the type of the content is the body's, unless it is given. */
function checkHeaders(given: RequestInput['headers'], body: HttpRequest['body'], contentType: string | undefined, allowed: boolean): Record<string, string> {
  const headers: Record<string, string> = {}
  for (const pair of given) {
    const [name, value, ...more] = [pair].flat()
    if (typeof name !== 'string' || more.length > 0 || value === undefined) throw invalid('init.headers', 'must be an object, or a list of [name, value]')
    const checked = checkHeader(name, value, allowed)
    const same = Object.keys(headers).find((known) => known.toLowerCase() === name.toLowerCase())
    headers[same ?? name] = same === undefined ? checked : `${headers[same]}, ${checked}`
  }
  const type = Object.keys(headers).find((name) => /^content-type$/i.test(name))
  if (type !== undefined && body === 'form') throw invalid(`init.headers[${JSON.stringify(type)}]`, 'is set by the browser, which makes up what separates the parts: leave it out')
  if (type === undefined && contentType !== undefined) headers['content-type'] = contentType
  checkBytes('init.headers', Object.entries(headers).reduce((sum, pair) => sum + byteLength(pair.join()), 0), LIMITS.headers)
  return headers
}

export function checkRequest(input: RequestInput, given: unknown, { idempotency, okStatuses, allowStoredCredentials = false, fill, dependsOn }: RequestOptions): { readonly http: HttpRequest; readonly data: unknown; readonly size: Size } {
  for (const key of input.unknown) throw invalid(`init.${key}`, 'is not an option here: use method, headers, body, json')
  if ((input.credentials ?? 'same-origin') !== 'same-origin') throw invalid('url.credentials', `must be 'same-origin' in a Request (is '${input.credentials}'): cookies go to the own origin only`)
  const [body, contentType] = bodyOf(input, given)
  const { text: written, base, method = body ? 'POST' : 'GET' } = input
  if (fill !== undefined) boolean('options.fill', fill)
  const url = !fill ? input.url : written === undefined ? withoutPlaces(input.url) : templateOf(written, base)
  if (!/^https?:\/\/[^/?#]+/i.test(url)) throw wrong('url', 'an absolute http(s) URL, or relative to a page', url)
  const { username, password } = new URL(url)
  if (username || password) throw invalid('url', 'holds a name and password, which would be stored: send them as a header')
  checkBytes('url', byteLength(url), LIMITS.url)
  if (typeof method !== 'string' || !TOKEN.test(method) || /^(connect|trace|track)$/i.test(method)) throw wrong('init.method', 'a method that can be sent', method)
  if (body && /^(get|head)$/i.test(method)) throw invalid('init.body', `is not allowed with ${method}`)
  boolean('options.allowStoredCredentials', allowStoredCredentials)
  const headers = checkHeaders(input.headers, body, contentType, allowStoredCredentials)
  if (okStatuses !== undefined) listOf(okStatus)('options.okStatuses', okStatuses)
  const size = checkBody(input.body === 'json' ? 'init.json' : 'init.body', body, given)
  const { data, refs } = body === 'json' && input.refs !== undefined ? takeRefs(given, input.refs, dependsOn) : { data: given, refs: [] }
  return {
    data, size,
    http: {
      url, method: method.toUpperCase(), headers, okStatuses: [...defaultOkStatuses(method.toUpperCase()), ...okStatuses ?? []],
      ...(body ? { body } : {}),
      ...(refs.length > 0 && { refs }),
      ...(fill && checkPlaces({ url, headers }, dependsOn) && { fill }),
      idempotency: checkIdempotency(idempotency, headers),
    },
  }
}

function checkHeader(name: string, given: unknown, allowSensitive: boolean): string {
  const field = `init.headers[${JSON.stringify(name.slice(0, 60))}]`
  if (typeof given !== 'string' && typeof given !== 'number') throw wrong(field, 'a string', given)
  const value = String(given)
  if (!TOKEN.test(name)) throw wrong(field, 'a header name', name)
  if (!isHeaderValue(value)) throw invalid(field, 'has a character that no header may hold')
  if (FORBIDDEN.test(name)) throw invalid(field, 'is set by the browser and cannot be chosen')
  if (SENSITIVE.test(name) && !allowSensitive) throw invalid(field, 'would be stored in the database and sent again later: pass allowStoredCredentials: true if that is meant')
  return value
}

function checkIdempotency(value: FetchOptions['idempotency'], headers: Readonly<Record<string, string>>): HttpRequest['idempotency'] {
  if (value === false) return false
  shape({ header: text(256), quoted: boolean })('options.idempotency', value === undefined ? {} : value)
  const header = value?.header ?? 'Idempotency-Key'
  if (!TOKEN.test(header) || FORBIDDEN.test(header) || SENSITIVE.test(header) || /^content-type$/i.test(header)) throw wrong('options.idempotency.header', 'the name of a header that may be set', header)
  if (Object.keys(headers).some((name) => name.toLowerCase() === header.toLowerCase())) throw invalid(`init.headers[${JSON.stringify(header)}]`, 'is the key that holdfast sends: use idempotency: false to send your own')
  return { header, quoted: value?.quoted ?? true }
}
