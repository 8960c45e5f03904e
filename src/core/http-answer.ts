/** What an HTTP answer means for its job (SPEC §9), as one pure table. */

export type Verdict =
  /** The request did what it should. */
  | { readonly kind: 'done' }
  /** A failed attempt; `afterMs` overrides the backoff. */
  | { readonly kind: 'retry'; readonly afterMs?: number }
  /** The origin's fault: its gate closes, the job waits and loses nothing. */
  | { readonly kind: 'origin'; readonly afterMs?: number }
  /** No later attempt can succeed. */
  | { readonly kind: 'dead' }

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
 * @param now epoch ms, for `Retry-After` as a date
 */
export function classify(answer: Answer, okStatuses: readonly number[], unknownOutcome: boolean, now: number): Verdict {
  const { status } = answer
  const afterMs = retryAfterMs(answer.retryAfter, now)
  const after = afterMs === undefined ? {} : { afterMs }
  if ((status >= 200 && status < 300) || okStatuses.includes(status)) return { kind: 'done' }
  if (ORIGIN_FAULTS.has(status)) return { kind: 'origin', ...after }
  if (status === 408 || status >= 500) return { kind: 'retry', ...after }
  if (status === 409 && unknownOutcome) return { kind: 'retry', ...after }
  return { kind: 'dead' }
}

/** `Retry-After` in ms from now, from seconds or an HTTP date (RFC 9110 §10.2.3); undefined when absent or malformed. At most a day. */
export function retryAfterMs(header: string | undefined, now: number): number | undefined {
  const text = header?.trim()
  if (!text) return undefined
  const ms = /^\d+$/.test(text) ? Number(text) * 1000 : parseHttpDate(text) - now
  return Number.isNaN(ms) ? undefined : Math.min(Math.max(ms, 0), 86_400_000)
}

const MONTHS = ['Jan', 'Feb', 'Mar', 'Apr', 'May', 'Jun', 'Jul', 'Aug', 'Sep', 'Oct', 'Nov', 'Dec']

/** IMF-fixdate only, the one form servers may send. */
function parseHttpDate(text: string): number {
  const m = /^[A-Z][a-z]{2}, (\d{2}) ([A-Z][a-z]{2}) (\d{4}) (\d{2}):(\d{2}):(\d{2}) GMT$/.exec(text)
  if (!m) return NaN
  const [year, month, day] = [Number(m[3]), MONTHS.indexOf(m[2] ?? '') + 1, Number(m[1])]
  return month === 0 ? NaN : (daysFromCivil(year, month, day) * 86_400 + Number(m[4]) * 3600 + Number(m[5]) * 60 + Number(m[6])) * 1000
}

/** Days since 1970-01-01 of a Gregorian date (Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms"). */
function daysFromCivil(year: number, month: number, day: number): number {
  const y = month <= 2 ? year - 1 : year
  const era = Math.floor(y / 400)
  const yearOfEra = y - era * 400
  const dayOfYear = Math.floor((153 * (month + (month > 2 ? -3 : 9)) + 2) / 5) + day - 1
  return era * 146_097 + yearOfEra * 365 + Math.floor(yearOfEra / 4) - Math.floor(yearOfEra / 100) + dayOfYear - 719_468
}
