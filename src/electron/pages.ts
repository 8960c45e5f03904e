/** The app's pages at `app://<host>/`: from a folder, or in development from a server, under the same origin and so with the same database. */
import { net, protocol } from 'electron'
import { realpath } from 'node:fs/promises'
import { join, sep } from 'node:path'
import { pathToFileURL } from 'node:url'
import { VIA_SEND, VIA_WORKER } from './protocol.ts'
import { sendFor, viaWorker } from './via.ts'

export const SCHEME = 'app'

export interface Pages {
  readonly host: string
  /** The folder of the built pages. */
  readonly folder: string
  /** A server to take them from instead. */
  readonly dev: string | undefined
  readonly policy: string
  /** Origins whose requests main sends. */
  readonly via: readonly string[]
  /** The file of the built-in worker. */
  readonly worker: string
}

/** Before the app is ready. The scheme is the identity of the data: it never changes. */
export function registerScheme(): void {
  protocol.registerSchemesAsPrivileged([{ scheme: SCHEME, privileges: { standard: true, secure: true, supportFetchAPI: true, corsEnabled: true, stream: true } }])
}

export function servePages({ host, folder, dev, policy, via, worker }: Pages): void {
  const headers = { 'content-security-policy': policy, 'x-content-type-options': 'nosniff', 'cross-origin-opener-policy': 'same-origin' }

  protocol.handle(SCHEME, async (request) => {
    const url = new URL(request.url)
    const found = url.host !== host ? undefined
      : url.pathname === VIA_WORKER && via.length > 0 ? await viaWorker(worker, via)
      : url.pathname === VIA_SEND && via.length > 0 ? await sendFor(request, via)
      : dev === undefined ? await fromFolder(folder, url.pathname, request.headers.get('accept') ?? '')
        : await fromServer(dev, url, request)
    if (!found) return new Response('not found', { status: 404, headers })
    if (found.type === 'error') return found
    const given = new Headers(found.headers)
    for (const [name, value] of Object.entries(headers)) given.set(name, value)
    return new Response(found.body, { status: found.status, headers: given })
  })
}

/** A path without a file leads to the first page, if it is a page that is asked for: that is how routers work. */
async function fromFolder(folder: string, pathname: string, accept: string): Promise<Response | undefined> {
  const path = pathIn(folder, pathname)
  if (path === undefined) return undefined
  const file = await fileAt(folder, path)
  return file || !accept.includes('text/html') ? file : fileAt(folder, join(folder, 'index.html'))
}

/** Not where a link leads out of the folder. */
async function fileAt(folder: string, path: string): Promise<Response | undefined> {
  try {
    const [top, file] = await Promise.all([realpath(folder), realpath(path)])
    return isIn(top, file) ? await net.fetch(pathToFileURL(file).href) : undefined
  } catch { return undefined }
}

const isIn = (folder: string, file: string): boolean => file.startsWith(folder.endsWith(sep) ? folder : folder + sep)

function pathIn(folder: string, pathname: string): string | undefined {
  let path: string
  try { path = decodeURIComponent(pathname) } catch { return undefined }
  if (/[\0\\:]/.test(path)) return undefined
  const file = join(folder, path.endsWith('/') ? `${path}index.html` : path)
  return isIn(folder, file) ? file : undefined
}

function fromServer(dev: string, { pathname, search }: URL, { method, headers, body }: Request): Promise<Response> {
  const from = new Headers(headers)
  from.delete('origin')
  return net.fetch(new URL(pathname + search, dev).href, { method, headers: from, body, ...(body && { duplex: 'half' }) })
    .catch((error: unknown) => new Response(`${dev} does not answer: ${String(error)}`, { status: 502 }))
}
