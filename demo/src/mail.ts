/** The mail in a job, and the words for it. */
import type { Job } from 'holdfast'
import { apiOrigin } from './api.ts'

export interface Mail {
  readonly kind: string
  readonly to: string
}

const SHORT: Readonly<Record<string, string>> = { 'welcome-email': 'welcome', 'reset-password': 'reset', newsletter: 'news' }

/** A request's JSON body is its job's data. */
export function mailOf(job: Job): Mail {
  const { to = '' } = (job.data ?? {}) as Partial<Mail>
  return { kind: job.name, to }
}

/** `reset ada`: what fits on a token. */
export const shortName = ({ kind, to }: Mail): string => `${SHORT[kind] ?? kind} ${to.split('@')[0] ?? ''}`

export const attemptOf = (job: Job): number => Math.min(job.failures + 1, job.maxAttempts)

/** What its last attempt ended with; the server needs no introduction here. */
export const errorOf = (job: Job): string | undefined => job.attempts?.at(-1)?.error.message.replace(apiOrigin, '')
