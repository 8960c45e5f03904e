/** A thrown value as it crosses between processes, which copy errors badly. */
import { UNREADABLE } from '../core/envelope.ts'
import type { Outcome, Thrown } from './protocol.ts'

export function thrownOf(error: unknown): Thrown {
  try {
    const given = Object(error) as Partial<Thrown>
    if (!(error instanceof Error) && typeof given.message !== 'string') return { name: 'Error', message: String(error) }
    const { name = 'Error', message = '', stack, ms, reason } = given
    return { name: String(name), message: String(message), ...(typeof stack === 'string' && { stack }), ...(typeof ms === 'number' && { ms }), ...(typeof reason === 'string' && { reason }) }
  } catch { return { name: 'Error', message: UNREADABLE } }
}

/** What it means goes by its name, as for any error from another realm. */
export const errorOf = ({ name, message, stack, ms, reason }: Thrown): Error =>
  Object.assign(new Error(message), { name, ...(stack !== undefined && { stack }), ...(ms !== undefined && { ms }), ...(reason !== undefined && { reason }) })

export const outcomeOf = async (work: () => unknown): Promise<Outcome> => {
  try { return { value: await work() } } catch (error) { return { thrown: thrownOf(error) } }
}

export function valueOf(outcome: Outcome): unknown {
  if ('thrown' in outcome) throw errorOf(outcome.thrown)
  return outcome.value
}
