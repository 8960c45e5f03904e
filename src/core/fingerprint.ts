import type { JobError } from './job.ts'

/** What differs between two occurrences of one fault: ids, numbers, quoted text, URLs' queries. */
const normalise = (message: string): string => message
  .replace(/[0-9a-f]{8}-[0-9a-f-]{27}/gi, '#').replace(/(["'`]).*?\1/g, '#').replace(/\?[^\s]*/g, '').replace(/0x[0-9a-f]+|\d+/gi, '#')

const topFrame = (stack = ''): string => stack.split('\n').find((line) => /^\s+at |^\S*@\S+:\d+:\d+$/.test(line))?.trim().replace(/:\d+:\d+\)?$/, '') ?? ''

/** Groups dead jobs: error name, normalised message and top stack frame as 8 hex digits (32-bit FNV-1a). */
export function fingerprint(error: JobError): string {
  let hash = 0x811c9dc5
  for (const char of `${error.name}\n${normalise(error.message)}\n${topFrame(error.stack)}`)
    hash = Math.imul(hash ^ (char.codePointAt(0) ?? 0), 0x01000193)
  return (hash >>> 0).toString(16).padStart(8, '0')
}
