/** What an HTTP answer means for its job (SPEC §9), as one pure table. */
import { present } from './present.ts'

export type Verdict =
  /** The request did what it should. */
  | { readonly kind: 'done' }
  /** A failed attempt; `afterMs` overrides the backoff. */
  | { readonly kind: 'retry'; readonly afterMs?: number }
  /** The origin's fault: its gate closes, the job waits and loses nothing. */
  | { readonly kind: 'origin'; readonly afterMs?: number }
  /** 401: the origin waits for new credentials. */
  | { readonly kind: 'unauthorized' }
  /** No later attempt can succeed. */
  | { readonly kind: 'dead' }

/** What an attempt learned about its origin: it answered, or `closed` says what is wrong with it. */
export interface OriginNews {
  readonly closed?: { readonly reason: string; readonly afterMs?: number }
  /** It answered 401. */
  readonly unauthorized?: true
}

export interface Answer {
  readonly status: number
  /** The `Retry-After` header, as received. */
  readonly retryAfter?: string
}

const ORIGIN_FAULTS = new Set([429, 502, 503, 504])

/** The answers besides 2xx that complete a request unless it names its own: what is to be deleted is gone. */
export const defaultOkStatuses = (method: string): readonly number[] => method === 'DELETE' ? [404, 410] : []

/**
 * @param unknownOutcome an earlier attempt of this job may have reached the server (it ended without an answer)
 * @param now epoch ms, for `Retry-After` as a date, which `parseDate` reads (epoch ms, NaN when it cannot)
 */
export function classify(answer: Answer, okStatuses: readonly number[], unknownOutcome: boolean, now: number, parseDate: (text: string) => number): Verdict {
  const { status } = answer
  const afterMs = retryAfterMs(answer.retryAfter, now, parseDate)
  // 0 says nothing of how long.
  const after = present({ afterMs: afterMs || undefined })
  if ((status >= 200 && status < 300) || okStatuses.includes(status)) return { kind: 'done' }
  if (ORIGIN_FAULTS.has(status)) return { kind: 'origin', ...after }
  if (status === 401) return { kind: 'unauthorized' }
  if (status === 408 || status >= 500) return { kind: 'retry', ...after }
  // The first may still be at work: ours, or one that the browser itself repeated, of which we are not told.
  if (status === 409 && (unknownOutcome || afterMs !== undefined)) return { kind: 'retry', ...after }
  return { kind: 'dead' }
}

/** The longest wait that a server or the application may ask for. */
export const LONGEST_WAIT_MS = 86_400_000

/** The one form of date that servers may send (RFC 9110 §5.6.7); anything else is read differently by each parser. */
const IMF_FIXDATE = /^[A-Z][a-z]{2}, \d{2} [A-Z][a-z]{2} \d{4} \d{2}:\d{2}:\d{2} GMT$/

/** `Retry-After` in ms from now, from seconds or an HTTP date (RFC 9110 §10.2.3); undefined when absent or malformed. At most a day. */
export function retryAfterMs(header: string | undefined, now: number, parseDate: (text: string) => number): number | undefined {
  const text = header?.trim()
  if (!text) return undefined
  const ms = /^\d+$/.test(text) ? Number(text) * 1000 : IMF_FIXDATE.test(text) ? parseDate(text) - now : NaN
  return Number.isNaN(ms) ? undefined : Math.min(Math.max(ms, 0), LONGEST_WAIT_MS)
}
