/** An error as it leaves its realm. */
import { HoldfastError, type ErrorEnvelope } from './errors.ts'

export const isHoldfastError = (error: unknown): error is HoldfastError => error instanceof HoldfastError

export function toEnvelope(error: unknown): ErrorEnvelope {
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
