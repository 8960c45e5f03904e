/** A request as an attempt: send it, and say what its answer means (`core/http-answer.ts` decides). */
import { classify } from '../core/http-answer.ts'
import { cut } from '../core/limits.ts'
import type { HttpRequest, Job, JobError } from '../core/job.ts'
import { present } from '../core/present.ts'
import { originOf } from '../core/lane.ts'
import type { HttpResult } from '../queue.ts'
import type { Clock } from '../platform/clock.ts'
import { describeError } from '../runner/outcome.ts'
import type { Attempt, Execute, Result, RunEnding } from '../runner/runner.ts'

const RESULT_BODY_BYTES = 65_536
const EXCERPT_BYTES = 512
const MOST_TROUBLED = 1000

export interface HttpEnv {
  readonly clock: Clock
  readonly fetch: typeof fetch
  online(): boolean
}

export function httpAttempt(env: HttpEnv): Execute {
  /** When each origin last answered well, in awake ms. */
  const succeeded = new Map<string, number>()
  /** When a job last found its origin in trouble, in awake ms. */
  const troubled = new Map<string, number>()
  /** A job that fails where others succeeded since it last did fails by itself. */
  const isOwnFault = ({ run: { job }, startedAt }: Attempt, origin: string): boolean => {
    const since = troubled.get(job.id) ?? startedAt
    if (troubled.size > MOST_TROUBLED) troubled.clear()
    troubled.set(job.id, env.clock.awake())
    return (succeeded.get(origin) ?? -1) > since
  }

  return async (attempt) => {
    const { job } = attempt.run
    const { http } = job
    if (!http) return { event: { type: 'fail', error: { name: 'Error', message: 'This job holds no request' }, final: 'unrecoverable' } }
    const origin = originOf(http.url)
    let response: Response
    let body: string
    try {
      response = await env.fetch(http.url, { ...requestInit(job, http), signal: attempt.signal, cache: 'no-store' })
      if (response.type === 'opaqueredirect') return answered({ type: 'fail', error: redirected(http), final: 'unrecoverable' })
      body = await response.text()
    } catch (error) {
      if (attempt.aborted && attempt.aborted.code !== 'TIMEOUT') return { event: { type: 'release', unanswered: true } }
      const ownFault = attempt.aborted !== undefined || (env.online() && isOwnFault(attempt, origin))
      const failure: JobError = attempt.aborted ? describeError(attempt.aborted)
        : { name: 'NetworkError', message: `No answer from ${http.method} ${http.url}: ${describeError(error).message} (offline, refused by CORS or CSP, blocked, or the server is down)` }
      return ownFault ? { event: { type: 'fail', error: failure, unanswered: true } } : { event: { type: 'release', unanswered: true }, origin: { closed: { reason: failure.message } } }
    }
    const verdict = classify(present({ status: response.status, retryAfter: response.headers.get('retry-after') ?? undefined }), http.okStatuses, job.unanswered === true || job.stalls > 0, env.clock.now(), env.clock.parseDate)
    const error: JobError = { name: 'HttpError', message: `${response.status} from ${http.method} ${http.url}${excerpt(response, body)}` }
    const after = present({ afterMs: 'afterMs' in verdict ? verdict.afterMs : undefined })
    switch (verdict.kind) {
      case 'done': {
        succeeded.set(origin, env.clock.awake())
        troubled.delete(job.id)
        return { event: { type: 'complete', result: resultOf(response, body, job.keepResult === true) }, origin: {} }
      }
      case 'origin': return isOwnFault(attempt, origin)
        ? { event: { type: 'fail', error, ...after } }
        : { event: { type: 'release' }, origin: { closed: { reason: error.message, ...after } } }
      case 'retry': return answered({ type: 'fail', error, ...after })
      case 'dead': return answered({ type: 'fail', error, final: 'unrecoverable' })
    }
  }
}

/** The origin did answer, so its gate may open, whatever becomes of the job. */
const answered = (event: Result): Partial<RunEnding> & { readonly event: Result } => ({ event, origin: {} })

function requestInit(job: Job, http: HttpRequest): RequestInit {
  const headers = new Headers(http.headers)
  if (http.idempotency) {
    const key = job.revision ? `${job.id}.${job.revision}` : job.id
    headers.set(http.idempotency.header, http.idempotency.quoted ? `"${key}"` : key)
  }
  return present({ method: http.method, headers, redirect: http.method === 'GET' || http.method === 'HEAD' ? 'follow' as const : 'manual' as const, body: http.body && (http.body === 'json' ? JSON.stringify(job.data) : String(job.data)) })
}

/** Where to is not told; and what was sent there would be another request, often one without its body. */
const redirected = ({ method, url }: HttpRequest): JobError => ({ name: 'HttpError', message: `A redirect (3xx) from ${method} ${url}: requests that change something are not redirected. Use the address it leads to` })

const isJson = (response: Response): boolean => /[/+]json\b/i.test(response.headers.get('content-type') ?? '')

function resultOf(response: Response, body: string, keepBody: boolean): HttpResult {
  const bare = { status: response.status, headers: Object.fromEntries(response.headers) }
  if (!keepBody || body === '') return bare
  const whole = cut(body, RESULT_BODY_BYTES)
  if (whole === body && isJson(response)) {
    try { return { ...bare, body: JSON.parse(body) as unknown } } catch { /* not JSON after all: kept as text */ }
  }
  return { ...bare, body: whole }
}

/** What the server says of its refusal: problem details (RFC 9457) or the start of its text. */
function excerpt(response: Response, body: string): string {
  if (isJson(response)) {
    try {
      const { title, detail, message, error } = JSON.parse(body) as Record<string, unknown>
      const said = [title, detail ?? message ?? error].filter((part) => typeof part === 'string')
      if (said.length > 0) return `: ${cut(said.join(': '), EXCERPT_BYTES)}`
    } catch { /* told as text */ }
  }
  const text = body.replace(/<[^>]*>/g, ' ').replace(/\s+/g, ' ').trim()
  return text ? `: ${cut(text, EXCERPT_BYTES)}` : ''
}
