/** A request as an attempt: send it, and say what its answer means (`core/http-answer.ts` decides). */
import { isBinary, isUpload } from '../core/body.ts'
import { DEEPEST, isDeeper } from '../core/clone.ts'
import { HoldfastError } from '../core/errors.ts'
import { filled } from '../core/fill.ts'
import { classify, LONGEST_WAIT_MS, type Verdict } from '../core/http-answer.ts'
import { cut } from '../core/limits.ts'
import type { HttpRequest, Job, JobError } from '../core/job.ts'
import { present } from '../core/present.ts'
import { originOf } from '../core/lane.ts'
import type { Classification, HttpResult, OutgoingRequest } from '../queue.ts'
import type { Clock } from '../platform/clock.ts'
import type { Received, Send, Sent } from '../platform/send.ts'
import { describeError } from '../runner/outcome.ts'
import type { Attempt, Execute, Result, RunEnding } from '../runner/runner.ts'
import type { Hooks } from './hooks.ts'

const RESULT_BODY_BYTES = 65_536
const EXCERPT_BYTES = 512
const MOST_TROUBLED = 1000

export interface HttpEnv {
  readonly clock: Clock
  readonly send: Send
  /** For files and forms, of which there may be much to send. */
  readonly upload: Send
  readonly hooks: Hooks
  online(): boolean
  /** After an origin gave no answer: whether the application's probe says that it is up. */
  vouches(origin: string): Promise<boolean>
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
    const { job: stored } = attempt.run
    if (!stored.http) return { event: { type: 'fail', error: { name: 'Error', message: 'This job holds no request' }, final: 'unrecoverable' } }
    const made = filled(stored.http, stored.data, stored.parents ?? {})
    if ('problem' in made) return { event: { type: 'fail', error: { name: 'FillError', message: made.problem }, final: 'invalid' } }
    const { http } = made
    const job = { ...stored, ...made }
    const origin = originOf(http.url)
    const asks = (hook: 'beforeSend' | 'classify'): boolean => http.hooks?.includes(hook) === true
    const request = asks('beforeSend') ? await unlessAborted(attempt, prepared(env.hooks, job, http)) : requestOf(job, http)
    if (request instanceof HoldfastError) return stopped(request)
    let response: Received
    try {
      response = await (isUpload(http) ? env.upload : env.send)(request, RESULT_BODY_BYTES, attempt.signal, (part) => { attempt.moved(part) })
    } catch (error) {
      if (attempt.aborted && attempt.aborted.code !== 'TIMEOUT') return { event: { type: 'release', unanswered: true } }
      // Its origin has nothing to do with that.
      if (!await canRead(job.data)) return { event: { type: 'fail', error: { name: 'NotReadableError', message: `The stored body of ${http.method} ${http.url} can no longer be read` }, final: 'unrecoverable' } }
      // What stops it while the probe is asked has not stopped the request.
      const late = attempt.aborted
      const ownFault = late !== undefined || (env.online() && (isOwnFault(attempt, origin) || await unlessAborted(attempt, env.vouches(origin)) === true))
      const failure: JobError = late ? describeError(late)
        : { name: 'NetworkError', message: `No answer from ${http.method} ${http.url}: ${describeError(error).message} (no page is told why: offline, refused by CORS or CSP, blocked, cut off, or the server is down)` }
      return ownFault ? { event: { type: 'fail', error: failure, unanswered: true } } : { event: { type: 'release', unanswered: true }, origin: { closed: { reason: failure.message } } }
    }
    if (response.redirected) return answered({ type: 'fail', error: redirected(http, response.redirected), final: 'unrecoverable' })
    const usual = classify(present({ status: response.status, retryAfter: response.headers.get('retry-after') ?? undefined }), http.okStatuses, job.unanswered === true || job.stalls > 0, env.clock.now(), env.clock.parseDate)
    const verdict = asks('classify') ? await unlessAborted(attempt, overruled(env.hooks, job, response, usual)) : usual
    if (verdict instanceof HoldfastError) return stopped(verdict, { unanswered: true })
    const error: JobError = { name: 'HttpError', message: `${response.status} from ${http.method} ${http.url}${excerpt(response)}` }
    const after = present({ afterMs: 'afterMs' in verdict ? verdict.afterMs : undefined })
    switch (verdict.kind) {
      case 'done': {
        succeeded.set(origin, env.clock.awake())
        troubled.delete(job.id)
        return { event: completed(job, resultOf(response)), origin: {} }
      }
      case 'origin': return isOwnFault(attempt, origin)
        ? { event: { type: 'fail', error, ...after } }
        : { event: { type: 'release' }, origin: { closed: { reason: error.message, ...after } } }
      case 'retry': return answered({ type: 'fail', error, ...after })
      case 'unauthorized': return { event: { type: 'fail', error }, origin: { unauthorized: true } }
      case 'dead': return answered({ type: 'fail', error, final: 'unrecoverable' })
    }
  }
}

/** The body is for those that depend on it; it keeps that only if it is to. */
const completed = ({ keepResult }: Job, full: HttpResult): Result => {
  const { body, truncated: _truncated, ...bare } = full
  return body === undefined || keepResult ? { type: 'complete', result: full } : { type: 'complete', result: bare, full }
}

/** The origin did answer, so its gate may open, whatever becomes of the job. */
const answered = (event: Result): Partial<RunEnding> & { readonly event: Result } => ({ event, origin: {} })

function requestOf(job: Job, http: HttpRequest): Sent {
  const headers = new Headers(http.headers)
  if (http.idempotency) {
    const key = job.revision ? `${job.id}.${job.revision}` : job.id
    headers.set(http.idempotency.header, http.idempotency.quoted ? `"${key}"` : key)
  }
  return present({ url: http.url, method: http.method, headers, body: http.body && bodyOf(http.body, job.data) })
}

/** What comes of a hook, or why nobody waits for it any more. */
const unlessAborted = <T>({ signal }: Attempt, work: Promise<T>): Promise<T | HoldfastError> => new Promise((resolve, reject) => {
  const stop = (): void => { resolve(signal.reason as HoldfastError) }
  if (signal.aborted) stop()
  signal.addEventListener('abort', stop)
  work.then((value) => { if (signal.aborted) stop(); else resolve(value) }, reject)
})

/** Stopped while a hook was asked. */
const stopped = (reason: HoldfastError, more: { readonly unanswered?: true } = {}): { readonly event: Result } => ({ event: reason.code === 'TIMEOUT' ? { type: 'fail', error: describeError(reason), ...more } : { type: 'release', ...more } })

/** What `beforeSend` makes of a request. Its origin stays: by that it was let through. */
async function prepared(hooks: Hooks, job: Job, http: HttpRequest): Promise<Sent> {
  const { headers, body, ...plain } = requestOf(job, http)
  const given: OutgoingRequest = { ...plain, headers: Object.fromEntries(headers), ...(body !== undefined && !(body instanceof FormData) && { body: body as string | Blob }) }
  const said = await hooks.call('beforeSend', given, job) as Partial<OutgoingRequest>
  const sent = { ...given, ...present(said) }
  if (originOf(String(sent.url)) !== originOf(http.url)) throw new HoldfastError('VALIDATION', `beforeSend may not change the origin of ${http.url} (to ${sent.url})`, { field: 'url' })
  return sendable(present({ url: sent.url, method: String(sent.method).toUpperCase(), headers: new Headers(sent.headers), body: sent.body ?? body }) as Sent)
}

/** Refused here it is the hook's fault; refused when it is sent it would look like no answer. */
function sendable(request: Sent): Sent {
  const { url, method, headers, body } = request
  const unsendable = (why: string): HoldfastError => new HoldfastError('VALIDATION', `beforeSend made a request that cannot be sent: ${why}`, { field: 'beforeSend' })
  if (!(body === undefined || typeof body === 'string' || body instanceof FormData || isBinary(body))) throw unsendable('its body must be a string, a Blob, an ArrayBuffer or a view of one')
  try { new Request(url, present({ method, headers, body: body === undefined ? undefined : '' })) } catch (error) { throw unsendable(describeError(error).message) }
  return request
}

const KINDS: readonly unknown[] = ['done', 'retry', 'origin', 'dead'] satisfies Classification[]

const isWait = (ms: unknown): ms is number => Number.isFinite(ms) && (ms as number) >= 0

/** What `classify` says of an answer, or what it means otherwise. */
async function overruled(hooks: Hooks, job: Job, response: Received, usual: Verdict): Promise<Verdict> {
  const said = await hooks.call('classify', resultOf(response), job)
  if (said === undefined) return usual
  const { kind, afterMs } = (typeof said === 'string' ? { kind: said } : said ?? {}) as { readonly kind?: unknown; readonly afterMs?: unknown }
  if (!KINDS.includes(kind) || !(afterMs === undefined || isWait(afterMs))) throw new HoldfastError('VALIDATION', `classify must return nothing, or one of ${KINDS.join(', ')}, or {kind, afterMs} with a number of ms`, { field: 'classify' })
  return present({ kind: kind as Classification, afterMs: afterMs && Math.min(afterMs, LONGEST_WAIT_MS) })
}

/** `checkBody` has made sure of what the data is. */
function bodyOf(kind: NonNullable<HttpRequest['body']>, data: unknown): BodyInit {
  switch (kind) {
    case 'json': return JSON.stringify(data)
    case 'text': return String(data)
    case 'binary': return data as Blob
    case 'form': return formOf(data as ReadonlyArray<readonly [string, string | Blob]>)
  }
}

function formOf(fields: ReadonlyArray<readonly [string, string | Blob]>): FormData {
  const form = new FormData()
  // What it takes of the two it tells by itself.
  for (const [name, value] of fields) form.append(name, value as string)
  return form
}

/** Browsers keep Blobs beside their database, and may lose them there. */
const canRead = (data: unknown): Promise<boolean> =>
  Promise.all([data].flat(2).filter((part) => part instanceof Blob).map((blob) => blob.slice(0, 1).arrayBuffer())).then(() => true, () => false)

/** What was sent there would be another request, often one without its body. */
const redirected = ({ method, url }: HttpRequest, { to }: { readonly to?: string }): JobError => ({
  name: 'HttpError',
  message: `A redirect (3xx) from ${method} ${url}${to === undefined ? '' : ` to ${to}, which the browser followed, so that the answer is to another request`}: requests that change something are not redirected. Use the address it leads to`,
})

const isJson = ({ headers }: Received): boolean => /[/+]json\b/i.test(headers.get('content-type') ?? '')

function resultOf(response: Received): HttpResult {
  const { text } = response
  const bare = { status: response.status, headers: Object.fromEntries(response.headers) }
  if (text === '') return bare
  const body = cut(text, RESULT_BODY_BYTES)
  return response.cut || body !== text ? { ...bare, body, truncated: true } : { ...bare, body: isJson(response) ? dataIn(text) : text }
}

/** What JSON says; text that is none after all, or says what cannot be stored, stays text. */
function dataIn(text: string): unknown {
  try {
    const data: unknown = JSON.parse(text, (key, value: unknown) => {
      if (key === '__proto__') throw new SyntaxError()
      return value
    })
    return isDeeper(data, DEEPEST - 1) ? text : data
  } catch { return text }
}

/** What the server says of its refusal: problem details (RFC 9457) or the start of its text. */
function excerpt(response: Received): string {
  if (isJson(response)) {
    try {
      const { title, detail, message, error } = JSON.parse(response.text) as Record<string, unknown>
      const said = [title, detail ?? message ?? error].filter((part) => typeof part === 'string')
      if (said.length > 0) return `: ${cut(said.join(': '), EXCERPT_BYTES)}`
    } catch { /* told as text */ }
  }
  const text = response.text.replace(/<[^>]*>/g, ' ').replace(/\s+/g, ' ').trim()
  return text ? `: ${cut(text, EXCERPT_BYTES)}` : ''
}
