import { invalid } from '../core/errors.ts'

/** Aborted with the caller's signal, if one was given, or with this one. */
export function stopOf(signal: AbortSignal | undefined, own: AbortSignal): AbortSignal {
  if (signal === undefined) return own
  if (!(signal instanceof AbortSignal)) throw invalid('options.signal', 'must be an AbortSignal')
  return AbortSignal.any([signal, own])
}
