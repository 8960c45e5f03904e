/** A request as the page hands it to the worker. */
import { invalid } from '../core/errors.ts'
import type { FetchInit } from '../queue.ts'
import { snapshot } from './snapshot.ts'
import type { RequestInput } from './request.ts'

/** Its URL absolute, its headers as pairs, its body as the job's data; the worker checks what it says. */
export function request(input: string | URL, { method, headers, body, json, ...unknown }: FetchInit): { readonly data: unknown; readonly http: RequestInput } {
  for (const key of Object.keys(unknown)) throw invalid(`init.${key}`, 'is not an option here: use method, headers, body, json')
  if (body !== undefined && json !== undefined) throw invalid('init.json', 'excludes body: give one of the two')
  if (body !== undefined && typeof body !== 'string') throw invalid('init.body', 'must be a string; for JSON use init.json')
  // The copy a job keeps is edited as data, so it is stored as such; what no JSON can say is refused here.
  try { JSON.stringify(json) } catch (error) { throw invalid('init.json', `cannot be JSON: ${String(error)}`) }
  if (typeof input !== 'string' && !(input instanceof URL)) throw invalid('url', 'must be a string or a URL')
  let url: string
  try { url = new URL(String(input), globalThis.document?.baseURI ?? globalThis.location?.href).href } catch { throw invalid('url', `is not a URL (got ${JSON.stringify(String(input).slice(0, 200))})`) }
  const given = headers instanceof Headers ? [...headers] : Array.isArray(headers) ? headers as Array<[string, string]> : Object.entries(headers ?? {})
  const pairs = given.map(([name, value]) => [String(name), String(value)] as const)
  if (json !== undefined && !pairs.some(([name]) => name.toLowerCase() === 'content-type')) pairs.push(['content-type', 'application/json'])
  return {
    data: json === undefined ? body : snapshot('init.json', json),
    http: { url, method: method ?? (body === undefined && json === undefined ? 'GET' : 'POST'), headers: pairs, body: json !== undefined ? 'json' : body !== undefined ? 'text' : undefined },
  }
}
