/** What `main`, `handle` and `open` may be told. */
import { isAbsolute, resolve } from 'node:path'
import { invalid } from '../core/errors.ts'
import { checkName, checkQueue, LIMITS, wrong } from '../core/limits.ts'
import { anything, integer, listOf, shape, text } from '../core/rules.ts'
import type { MainOptions } from './main.ts'

/** Labels of a host, none of them empty. */
const HOST = /^(?=.{1,100}$)[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*$/

type Rule = (field: string, value: unknown) => void
const is = (must: string, fits: (value: string) => boolean): Rule => (field, value) => { if (typeof value !== 'string' || !fits(value)) throw wrong(field, must, value) }
export const isWeb = (url: string): boolean => URL.canParse(url) && /^https?:$/.test(new URL(url).protocol)

/** As a browser writes it; a slash at its end is none of it. */
export const originOf = (url: string): string => new URL(url).origin
const origin = is('an origin such as https://api.example.com', (value) => isWeb(value) && [originOf(value), `${originOf(value)}/`].includes(value.toLowerCase()))
/** A source of a policy may also be a WebSocket, or have a star for its subdomains. */
const source = is('an origin such as https://api.example.com', (value) => /^(https?|wss?):\/\/[^/\s;,'"]+\/?$/i.test(value))
const path = is('a path from the root of the app, such as /settings.html', (value) => /^\/(?![/\\])/.test(value))

const checkShape = shape({
  name: (field, value) => { checkName(field, value, LIMITS.queueName) },
  host: is('a host of lower case letters, digits, - and single dots', (value) => HOST.test(value)),
  pages: is('an absolute path', isAbsolute),
  dev: is('the URL of a server, such as http://localhost:5173', isWeb), engine: path, connect: listOf(source), via: listOf(origin), policy: text(), permissions: listOf(text()), window: anything,
  tray: shape({ icon: text(), items: listOf(anything) }), drainMs: integer(0, 2 ** 31 - 1),
})

export function checkMain(options: MainOptions): MainOptions {
  checkShape('options', options)
  for (const field of ['name', 'host', 'pages'] as const) if (options[field] === undefined) throw invalid(`options.${field}`, 'is missing')
  const bare = (url: string): string => url.replace(/\/$/, '')
  return { ...options, pages: resolve(options.pages), ...(options.connect && { connect: options.connect.map(bare) }), ...(options.via && { via: options.via.map(originOf) }) }
}

const checkOptions = shape({ concurrency: integer(1, 10_000) })
export function checkHandle(queue: unknown, file: unknown, options: unknown): void {
  checkQueue(queue)
  if (!(file instanceof URL) && (typeof file !== 'string' || file === '')) throw wrong('file', 'a path or a file: URL', file)
  if (file instanceof URL && file.protocol !== 'file:') throw wrong('file', 'a path or a file: URL', String(file))
  checkOptions('options', options)
}

export const checkPath = (value: unknown): void => { if (value !== undefined) path('path', value) }
