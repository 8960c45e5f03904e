/** A request of a page, as its service worker sees it, for the queue. */
import { OWN } from '../platform/send.ts'
import { FORBIDDEN } from './request.ts'
import type { FetchInit, FetchOptions } from '../queue.ts'

/** The browser sets these itself as well, and a stored copy would be out of date. */
const OWN_HEADERS = /^(upgrade-insecure-requests|user-agent)$/i
const TEXT = /^text\/|[/+](json|xml)\b|^application\/x-www-form-urlencoded\b/i
const OTHER_CHARSET = /charset=(?!"?utf-8\b)/i

/** Whether the queue would send it as the page does: nothing that is read or navigates, no other cookies, no answer that the page must not see. */
export function isQueueable({ url, method, mode, credentials }: Request, origin: string): boolean {
  // What becomes of what the queue of a tab sends is its to judge.
  if (url.endsWith(OWN)) return false
  const same = new URL(url).origin === origin
  return !/^(get|head)$/i.test(method) && mode !== 'navigate' && (same ? credentials !== 'omit' : mode === 'cors' && credentials !== 'include')
}

/** The arguments of `queue.fetch`. Uses up the body. */
export async function queueable(request: Request, options: FetchOptions): Promise<[url: string, init: FetchInit, options: FetchOptions]> {
  const type = request.headers.get('content-type') ?? ''
  const bytes = await request.blob()
  const body = bytes.size === 0 ? undefined : TEXT.test(type) && !OTHER_CHARSET.test(type) ? await bytes.text() : bytes
  const header = options.idempotency === false ? undefined : options.idempotency?.header ?? 'Idempotency-Key'
  // The page's own key was sent already, so it stays.
  const keyed = header !== undefined && request.headers.has(header)
  const headers = [...request.headers].filter(([name]) => !FORBIDDEN.test(name) && !OWN_HEADERS.test(name))
  return [request.url, { method: request.method, headers, ...(body !== undefined && { body }) }, keyed ? { ...options, idempotency: false } : options]
}
