/** A real Chromium that can be killed, a page that works the queue, and a journal outside of both. */
import { execFileSync, spawn, type ChildProcess } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { createServer as createHttpServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { chromium, type Browser, type Page } from 'playwright-core'
import { createServer, type ViteDevServer } from 'vite'
import { findChromium, flags } from '../../scripts/chromium.mjs'

/**
 * What the pages said, as `what id when`. An id is acknowledged once its push was answered; a line lost by a kill only asks less of us.
 * Lines travel on several connections, so each says when it was said, in epoch ms.
 */
export class Journal {
  readonly acknowledged = new Set<string>()
  readonly completed = new Map<string, number>()
  readonly #started: Array<readonly [id: string, when: number]> = []

  take(line: string): void {
    const [what, id = '', when] = line.split(' ')
    if (what === 'pushed') this.acknowledged.add(id)
    if (what === 'completed') this.completed.set(id, Math.min(Number(when), this.completed.get(id) ?? Infinity))
    if (what === 'started') this.#started.push([id, Number(when)])
  }

  get starts(): number { return this.#started.length }

  /** Jobs whose handler was started after their completion had been told. */
  get again(): string[] {
    return this.#started.filter(([id, when]) => when > (this.completed.get(id) ?? Infinity)).map(([id]) => id)
  }
}

export interface Site { readonly url: string; readonly journal: Journal; close(): Promise<void> }

const read = (request: IncomingMessage): Promise<string> => new Promise((resolve) => {
  let text = ''
  request.on('data', (chunk: Buffer) => { text += chunk.toString() })
  request.on('end', () => { resolve(text) })
})

/** Serves the sources by Vite on one fixed origin, and takes the journal. */
export async function serveSite(page: string, api: (request: IncomingMessage, body: string, response: ServerResponse) => void = (_request, _body, response) => { response.end() }): Promise<Site> {
  const journal = new Journal()
  const root = fileURLToPath(new URL('../..', import.meta.url))
  const server: ViteDevServer = await createServer({
    root, configFile: join(root, 'vite.config.ts'), mode: 'test', logLevel: 'error',
    server: { middlewareMode: true, hmr: false, ws: false, watch: null },
  })
  const http: Server = createHttpServer((request, response) => {
    if (request.url === '/journal') {
      void read(request).then((text) => { for (const line of text.split('\n')) journal.take(line); response.end() })
    } else if (request.url === '/page') {
      response.setHeader('content-type', 'text/html')
      response.end(`<!doctype html><html><head><title>page</title></head><body><script type="module">${page}</script></body></html>`)
    } else if (request.url?.startsWith('/api/')) void read(request).then((text) => { api(request, text, response) })
    else server.middlewares(request, response)
  })
  await new Promise<void>((resolve) => { http.listen(0, '127.0.0.1', resolve) })
  return {
    url: `http://127.0.0.1:${(http.address() as AddressInfo).port}`, journal,
    async close() { http.closeAllConnections(); http.close(); await server.close() },
  }
}

export class KillableBrowser {
  readonly profile = mkdtempSync(join(tmpdir(), 'holdfast-crash-'))
  #process: ChildProcess | undefined
  #browser: Browser | undefined

  async start(): Promise<Browser> {
    const executable = findChromium()
    if (!executable) throw new Error('no Chromium found')
    const child = spawn(executable, [...flags, '--headless=new', `--user-data-dir=${this.profile}`, '--remote-debugging-port=0', 'about:blank'], { stdio: ['ignore', 'ignore', 'pipe'], detached: true })
    this.#process = child
    const endpoint = await new Promise<string>((resolve, reject) => {
      let text = ''
      child.stderr?.on('data', (chunk: Buffer) => {
        text += chunk.toString()
        const match = /DevTools listening on (ws:\S+)/.exec(text)
        if (match?.[1]) resolve(match[1])
      })
      child.on('exit', () => { reject(new Error(`Chromium ended before it listened: ${text}`)) })
    })
    this.#browser = await chromium.connectOverCDP(endpoint)
    return this.#browser
  }

  async page(): Promise<Page> {
    const context = this.#browser?.contexts()[0]
    if (!context) throw new Error('the browser is not running')
    return context.newPage()
  }

  /** SIGKILL to every renderer of this browser: the page, its worker and their locks. */
  killRenderers(signal: 'KILL' | 'STOP' | 'CONT' = 'KILL'): number {
    const pids = this.#children().filter((pid) => /--type=renderer/.test(commandLine(pid)))
    for (const pid of pids) try { process.kill(pid, `SIG${signal}`) } catch { /* gone already */ }
    return pids.length
  }

  /** SIGKILL to all of it at once. */
  async killAll(): Promise<void> {
    const child = this.#process
    this.#process = undefined
    const pids = this.#children()
    for (const pid of [child?.pid, ...pids]) if (pid) try { process.kill(pid, 'SIGKILL') } catch { /* gone already */ }
    if (child && child.exitCode === null && child.signalCode === null) await new Promise((resolve) => { child.once('exit', resolve) })
    await this.#browser?.close().catch(() => {})
    for (const lock of ['SingletonLock', 'SingletonCookie', 'SingletonSocket']) rmSync(join(this.profile, lock), { force: true })
  }

  async dispose(): Promise<void> {
    await this.killAll()
    rmSync(this.profile, { recursive: true, force: true, maxRetries: 5 })
  }

  #children(): number[] {
    try { return execFileSync('pgrep', ['-f', '--', `--user-data-dir=${this.profile}`]).toString().trim().split('\n').map(Number) } catch { return [] }
  }
}

function commandLine(pid: number): string {
  try { return readFileSync(`/proc/${pid}/cmdline`, 'utf8').replaceAll('\0', ' ') } catch { return '' }
}

export const pause = (ms: number): Promise<void> => new Promise((resolve) => { setTimeout(resolve, ms) })

/** A seeded generator (mulberry32), so that a failing run's moments can be tried again. */
export function seeded(seed: number): () => number {
  let state = seed >>> 0
  return () => {
    state = (state + 0x6d2b79f5) >>> 0
    let t = Math.imul(state ^ (state >>> 15), state | 1)
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61)
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32
  }
}
