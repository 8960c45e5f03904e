/** An error as it leaves its realm. */
import { HoldfastError, type ErrorEnvelope } from './errors.ts'

export const isHoldfastError = (error: unknown): error is HoldfastError => error instanceof HoldfastError

/** A thrown value may be one that throws itself when it is looked at. */
export const UNREADABLE = 'what was thrown cannot be read'

export function toEnvelope(error: unknown): ErrorEnvelope {
  try { return envelopeOf(error) } catch { return { code: 'STORAGE', message: UNREADABLE, cause: { name: 'Error', message: UNREADABLE } } }
}

function envelopeOf(error: unknown): ErrorEnvelope {
  if (isHoldfastError(error)) {
    const { cause } = error
    return {
      code: error.code, message: error.message, details: error.details,
      ...(cause instanceof Error ? { cause: { name: cause.name, message: cause.message } } : {}),
    }
  }
  const { name, message } = error instanceof Error ? error : { name: 'Error', message: String(error) }
  return { code: name === 'QuotaExceededError' ? 'QUOTA' : 'STORAGE', message, cause: { name, message } }
}
