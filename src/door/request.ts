/** Checks a request at push, so that nothing is stored that can never be sent. */
import { defaultOkStatuses } from '../core/http-answer.ts'
import type { HttpRequest } from '../core/job.ts'
import { invalid } from '../core/errors.ts'
import { wrong } from '../core/limits.ts'
import { integer, listOf } from '../core/rules.ts'
import type { FetchOptions } from '../queue.ts'

/** A request as the page hands it over: its URL absolute if the page could make it so, its body in the job's data. */
export interface RequestInput {
  readonly url: string
  readonly method: string
  readonly headers: ReadonlyArray<readonly [string, string]>
  readonly body: 'json' | 'text' | undefined
  readonly idempotency?: FetchOptions['idempotency'] | undefined
  readonly okStatuses?: readonly number[] | undefined
  readonly allowStoredCredentials?: boolean | undefined
}

const TOKEN = /^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/
const SENSITIVE = /^(authorization|cookie|proxy-.*)$/i
/** The browser sets these and ignores ours (Fetch standard, forbidden request-headers). */
const FORBIDDEN = /^(accept-charset|accept-encoding|access-control-request-.*|connection|content-length|cookie2|date|dnt|expect|host|keep-alive|origin|referer|sec-.*|set-cookie|te|trailer|transfer-encoding|upgrade|via)$/i

export function checkRequest(input: RequestInput): HttpRequest {
  const { url, method, body, idempotency, okStatuses } = input
  if (!/^https?:\/\/[^/?#]+/i.test(url)) throw wrong('url', 'an absolute http(s) URL, or relative to a page', url)
  if (!TOKEN.test(method) || /^(connect|trace|track)$/i.test(method)) throw wrong('init.method', 'a method that can be sent', method)
  if (body && /^(get|head)$/i.test(method)) throw invalid('init.body', `is not allowed with ${method}`)
  const headers: Record<string, string> = {}
  for (const [name, value] of input.headers) headers[name] = checkHeader(name, value, input.allowStoredCredentials === true)
  if (okStatuses) listOf(integer(100, 599))('options.okStatuses', okStatuses)
  return {
    url, method: method.toUpperCase(), headers, okStatuses: okStatuses ?? defaultOkStatuses(method.toUpperCase()),
    ...(body ? { body } : {}),
    idempotency: checkIdempotency(idempotency),
  }
}

function checkHeader(name: string, value: string, allowSensitive: boolean): string {
  const field = `init.headers[${JSON.stringify(name.slice(0, 60))}]`
  if (!TOKEN.test(name)) throw wrong(field, 'a header name', name)
  if (/[\r\n\0]/.test(value) || /[^\t\x20-\x7e\x80-\xff]/.test(value)) throw invalid(field, 'has a character that no header may hold')
  if (FORBIDDEN.test(name)) throw invalid(field, 'is set by the browser and cannot be chosen')
  if (SENSITIVE.test(name) && !allowSensitive) throw invalid(field, 'would be stored in the database and sent again later: pass allowStoredCredentials: true if that is meant')
  return value
}

function checkIdempotency(value: RequestInput['idempotency']): HttpRequest['idempotency'] {
  if (value === false) return false
  const header = value?.header ?? 'Idempotency-Key'
  if (typeof header !== 'string' || !TOKEN.test(header)) throw wrong('options.idempotency.header', 'a header name', header)
  return { header, quoted: value?.quoted ?? true }
}
