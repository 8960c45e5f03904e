/** What a request's body may be, as it is stored: plain data that can be looked at and edited. */
import { invalid } from './errors.ts'
import type { HttpRequest } from './job.ts'
import { checkSize, LIMITS, type Size } from './limits.ts'

const tagOf = (value: unknown): string => Object.prototype.toString.call(value).slice(8, -1)
const isBlob = (value: unknown): boolean => ['Blob', 'File'].includes(tagOf(value))
export const isBinary = (value: unknown): boolean => isBlob(value) || tagOf(value) === 'ArrayBuffer' || ArrayBuffer.isView(value)
const isField = (value: unknown): boolean => Array.isArray(value) && value.length === 2 && typeof value[0] === 'string' && (typeof value[1] === 'string' || isBlob(value[1]))

/** Refuses what cannot be sent as a body of this kind; answers its size. */
export function checkBody(field: string, kind: HttpRequest['body'], data: unknown): Size {
  const size = checkSize(field, data, LIMITS.data)
  const problem = problemOf(kind, data, size)
  if (problem) throw invalid(field, problem)
  return size
}

function problemOf(kind: HttpRequest['body'], data: unknown, { binary }: Size): string | false {
  switch (kind) {
    case undefined: return data !== undefined && 'is not sent: this request was made without a body'
    case 'text': return typeof data !== 'string' && 'must be a string'
    case 'form': return !(Array.isArray(data) && data.every(isField)) && 'must be a list of [name, value], each value a string, a Blob or a File'
    case 'binary': return !isBinary(data) && 'must be a string, URLSearchParams, FormData, a Blob, an ArrayBuffer or a view of one, or a ReadableStream; for JSON use init.json'
    case 'json': {
      if (binary > 0) return 'holds binary data, which no JSON can say'
      try { JSON.stringify(data) } catch (error) { return `cannot be JSON: ${String(error)}` }
      return false
    }
  }
}

/** Bodies that are sent with progress. */
export const isUpload = ({ body }: HttpRequest): boolean => body === 'form' || body === 'binary'

const UPLOAD_BYTES = 65_536
/** Long uploads have a queue of their own, so that they do not hold up what is quick. */
export const UPLOAD_QUEUE = 'http.upload'
export const queueFor = (binary: number): string => binary > UPLOAD_BYTES ? UPLOAD_QUEUE : 'http'
