/** Every error holdfast throws: a stable `code`, and details that survive the worker boundary. */

export type ErrorCode =
  | 'VALIDATION' | 'DUPLICATE' | 'STALE_LEASE' | 'INVALID_STATE' | 'NOT_FOUND' | 'FLOW' | 'STORAGE'
  | 'QUOTA' | 'WORKER_DIED' | 'CLOSED' | 'TIMEOUT' | 'NETWORK'

/** An error as it crosses between realms. */
export interface ErrorEnvelope {
  readonly code: ErrorCode
  readonly message: string
  readonly details?: Readonly<Record<string, unknown>>
  readonly cause?: { readonly name: string; readonly message: string }
}

export class HoldfastError extends Error {
  readonly code: ErrorCode
  readonly details: Readonly<Record<string, unknown>>
  constructor(code: ErrorCode, message: string, details: Readonly<Record<string, unknown>> = {}, cause?: unknown) {
    super(message, cause === undefined ? undefined : { cause })
    this.code = code
    this.details = details
    this.name = nameOf(code)
  }
}

/** STALE_LEASE → StaleLeaseError. */
const nameOf = (code: ErrorCode): string => code === 'DUPLICATE' ? 'DuplicateJobError' : `${code.toLowerCase().replace(/(?:^|_)./g, (start) => start.slice(-1).toUpperCase())}Error`

/** A refusal of `field`, e.g. `data.items[3].onClick is a function`. */
export const invalid = (field: string, problem: string, details: Readonly<Record<string, unknown>> = {}, cause?: unknown): HoldfastError =>
  new HoldfastError('VALIDATION', `${field} ${problem}`, { field, ...details }, cause)

export const fromEnvelope = (envelope: ErrorEnvelope): HoldfastError =>
  new HoldfastError(envelope.code, envelope.message, envelope.details, envelope.cause && Object.assign(new Error(envelope.cause.message), { name: envelope.cause.name }))

/** Thrown by a handler: dead now, whatever attempts are left. */
export class Unrecoverable extends Error {
  override readonly name = 'Unrecoverable'
}
/** Thrown by a handler: a failed attempt, tried again after `ms` instead of its backoff. */
export class RetryAfter extends Error {
  override readonly name = 'RetryAfter'
  constructor(readonly ms: number, message = `try again in ${ms} ms`) { super(message) }
}
/** Thrown by a handler: not a failure; run again after `ms`. */
export class Snooze extends Error {
  override readonly name = 'Snooze'
  constructor(readonly ms: number) { super(`snoozed for ${ms} ms`) }
}
/** Thrown by a handler: the job ends `cancelled`. */
export class Cancel extends Error {
  override readonly name = 'Cancel'
  constructor(readonly reason = 'cancelled by its handler') { super(reason) }
}
/** Thrown by a handler whose network failed: free while the browser is offline and the queue needs the network. */
export class NetworkError extends Error {
  override readonly name = 'NetworkError'
}
