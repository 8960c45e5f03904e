/** What a child's request takes of its parents' results: found in templates at push, filled in right before it is sent. */
import { asJson } from './as-json.ts'
import type { HttpRef, HttpRequest } from './job.ts'
import { byteLength, LIMITS } from './limits.ts'

type Results = Readonly<Record<string, unknown>>

/** A request that can be sent, or why it never can. */
export type Filled = { readonly http: HttpRequest; readonly data: unknown } | { readonly problem: string }

class Unfillable extends Error {}

const PLACEHOLDER = /\{\{([^{}]*)\}\}/g
const FROM = /^[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*$/

/** What a text takes, as in `create.body.id`; undefined where it holds a `{{` that begins no placeholder. */
export function placesIn(text: string): readonly string[] | undefined {
  const places = [...text.matchAll(PLACEHOLDER)].map(([, from = '']) => from)
  return places.every((from) => FROM.test(from)) && !text.replace(PLACEHOLDER, '').includes('{{') ? places : undefined
}

/** A URL that was not written as a template, with braces as a URL writes those of data. */
export const withoutPlaces = (url: string): string => url.replaceAll('{{', '%7B%7B')

/** Whose result it is that `create.body.id` is of. */
export const parentOf = (from: string): string => from.split('.', 1)[0] ?? ''

export const isHeaderValue = (text: string): boolean => !/[^\t\x20-\x7e\x80-\xff]/.test(text)

/** A part of an answer may mean something else than the whole. */
function checkWhole(results: Results, from: string): void {
  const [name = '', part = 'body'] = from.split('.')
  const { status, truncated } = Object(results[name]) as { readonly status?: unknown; readonly truncated?: unknown }
  if (status !== undefined && truncated && part === 'body') throw new Unfillable(`${from} cannot be taken: the body that ${name} was answered is not whole, it had more than 64 KiB or broke off`)
}

const BODILESS = new Set([204, 205, 304])
const whyNot = (held: unknown, key: string): string => {
  const { status } = Object(held) as { readonly status?: unknown }
  return key === 'body' && typeof status === 'number' && !BODILESS.has(status) ? '. The answer was empty, or it had come before this was pushed and was not kept: that takes keepResult: true' : ''
}

/** What `create.body.id` leads to. Only what is somebody's own counts. */
function valueOf(results: Results, from: string): unknown {
  checkWhole(results, from)
  let [held, path]: [unknown, string] = [results, '']
  for (const key of from.split('.')) {
    const there = typeof held === 'object' && held !== null && Object.hasOwn(held, key) ? (held as Results)[key] : undefined
    if (there === undefined) throw new Unfillable(`${from} is missing: ${path === '' ? `the job it depends on as ${key} left no result` : `${path} has no ${key}${path.includes('.') ? '' : whyNot(held, key)}`}`)
    held = there
    path = path === '' ? key : `${path}.${key}`
  }
  return held
}

function textOf(results: Results, from: string): string {
  const value = valueOf(results, from)
  if (typeof value === 'string' || typeof value === 'boolean' || typeof value === 'bigint' || Number.isFinite(value)) return String(value)
  throw new Unfillable(`${from} cannot be written as text: it is ${value === null ? 'null' : Array.isArray(value) ? 'an array' : `of type ${typeof value}`}`)
}

function encoded(results: Results, from: string): string {
  try { return encodeURIComponent(textOf(results, from)) } catch (error) { throw error instanceof Unfillable ? error : new Unfillable(`${from} is no well-formed text`) }
}

const pathOf = (url: string): string[] => (/^[^/]*\/\/[^/?#]*([^?#]*)/.exec(url)?.[1] ?? '').split('/')

/** Each value is one component of the path or the query: none can end its part, or lead out of it. */
function filledUrl(url: string, results: Results): string {
  const filled = url.replace(PLACEHOLDER, (_whole, from: string) => encoded(results, from))
  const segments = pathOf(filled)
  pathOf(url).forEach((template, i) => {
    const [from] = placesIn(template) ?? []
    // Of these a URL is cleared, however they are written.
    if (from !== undefined && /^((\.|%2e){1,2})?$/i.test(segments[i] ?? '')) throw new Unfillable(`${from} cannot stand in the path: ${segments[i] === '' ? 'it is empty' : `${segments[i]} leads to another place`}`)
  })
  if (byteLength(filled) > LIMITS.url) throw new Unfillable(`The URL has more than ${LIMITS.url} bytes with ${(placesIn(url) ?? []).join(', ')}`)
  return filled
}

function filledHeaders(headers: HttpRequest['headers'], results: Results): HttpRequest['headers'] {
  const filled = Object.entries(headers).map(([name, template]) => [name, template.replace(PLACEHOLDER, (_whole, from: string) => {
    const text = textOf(results, from)
    if (!isHeaderValue(text)) throw new Unfillable(`${from} has a character that no header may hold (${name})`)
    return text
  })] as const)
  if (filled.reduce((sum, pair) => sum + byteLength(pair.join()), 0) > LIMITS.headers) throw new Unfillable(`The headers have more than ${LIMITS.headers} bytes with ${Object.values(headers).flatMap((value) => placesIn(value) ?? []).join(', ')}`)
  return Object.fromEntries(filled)
}

/** A copy with `value` at a place that was left for it; edited data may have no such place any more. */
function withRef(data: unknown, [key, ...keys]: HttpRef['at'], value: () => unknown): unknown {
  if (key === undefined) return data === null ? value() : data
  if (typeof data !== 'object' || data === null || !Object.hasOwn(data, key)) return data
  const part = withRef((data as Record<string | number, unknown>)[key], keys, value)
  return Array.isArray(data) ? Object.assign([...data as unknown[]], { [key]: part }) : { ...data, [key]: part }
}

function inJson(results: Results, from: string): unknown {
  const value = valueOf(results, from)
  try { return asJson(value) } catch { throw new Unfillable(`${from} cannot be written as JSON`) }
}

export function filled(http: HttpRequest, data: unknown, results: Results): Filled {
  const { refs = [], fill, ...request } = http
  try {
    return {
      http: fill ? { ...request, url: filledUrl(http.url, results), headers: filledHeaders(http.headers, results) } : request,
      data: refs.reduce((made, { at, from }) => withRef(made, at, () => inJson(results, from)), data),
    }
  } catch (error) {
    if (!(error instanceof Unfillable)) throw error
    return { problem: error.message }
  }
}
