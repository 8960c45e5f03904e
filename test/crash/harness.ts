/** A real Chromium that can be killed, pages that work the queue, and a journal outside of both. */
import { spawn, type ChildProcess } from 'node:child_process'
import { appendFileSync, existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { createServer as createHttpServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { chromium, type Browser, type Page } from 'playwright-core'
import { findChromium, flags } from '../../scripts/chromium.mjs'
import { library } from './library.ts'

/**
 * What the pages said, as `what id when`. An id is acknowledged once its push was answered; a line lost by a kill only asks less of us.
 * Lines travel on several connections, so each says when it was said, in epoch ms.
 */
export class Journal {
  readonly acknowledged = new Set<string>()
  readonly completed = new Map<string, number>()
  /** Since they were last looked at. */
  #started: Array<readonly [id: string, when: number]> = []
  starts = 0
  /** Lines of other kinds. */
  readonly notes: Array<{ readonly what: string; readonly id: string; readonly when: number }> = []
  #heard: Array<() => void> = []

  take(line: string): void {
    const [what = '', id = '', at] = line.split(' ')
    const when = Number(at)
    if (what === 'pushed') this.acknowledged.add(id)
    else if (what === 'completed') this.completed.set(id, Math.min(when, this.completed.get(id) ?? Infinity))
    else if (what === 'started') { this.#started.push([id, when]); this.starts++ } else if (what !== '') this.notes.push({ what, id, when })
    for (const heard of this.#heard.splice(0)) heard()
  }

  /** Asks no more after those that were acknowledged first. */
  forget(count: number): number {
    const gone = [...this.acknowledged].slice(0, count)
    for (const id of gone) this.acknowledged.delete(id)
    return gone.length
  }

  /** Resolves when something was said. */
  next(): Promise<void> { return new Promise((resolve) => { this.#heard.push(resolve) }) }

  /** Jobs whose handler was started after their completion had been told; each is found once. */
  takeDoubled(): string[] {
    const doubled = this.#started.filter(([id, when]) => when > (this.completed.get(id) ?? Infinity)).map(([id]) => id)
    this.#started = []
    return doubled
  }
}

export interface Site { readonly url: string; readonly journal: Journal; close(): Promise<void> }

const read = (request: IncomingMessage): Promise<string> => new Promise((resolve) => {
  let text = ''
  request.on('data', (chunk: Buffer) => { text += chunk.toString() })
  request.on('end', () => { resolve(text) })
})

/** Every page begins with this: the library as `holdfast`, and `tell(line)` for the journal, one request at a time. */
const HEAD = `<script type="importmap">{"imports":{"holdfast":"/holdfast/index.js","holdfast/service-worker/page":"/holdfast/service-worker-page.js"}}</script><script>
  const when = () => performance.timeOrigin + performance.now()
  const lines = []
  let telling = false
  async function send() {
    telling = true
    while (lines.length > 0) await fetch('/journal', { method: 'POST', body: lines.splice(0).join('\\n') }).catch(() => {})
    telling = false
  }
  if (new URLSearchParams(location.search).has('bare')) {
    Object.defineProperty(navigator, 'locks', { value: undefined })
    delete window.BroadcastChannel
  }
  window.tell = (what, id = '') => { lines.push(what + ' ' + id + ' ' + when()); if (!telling) void send() }
</script>`

/**
 * Serves the library and pages on one fixed origin, and takes the journal. `/api/` is asked with its body as text, `/raw/` before it is read.
 * One script is that of `/page`; several are served under their names, and as they are if that ends in `.js`.
 */
export async function serveSite(pages: string | Readonly<Record<string, string>>, api: (request: IncomingMessage, body: string, response: ServerResponse) => void = (_request, _body, response) => { response.end() }): Promise<Site> {
  const journal = new Journal()
  const files = await library()
  const scripts: Readonly<Record<string, string>> = typeof pages === 'string' ? { page: pages } : pages
  const http = createHttpServer((request, response) => {
    const { pathname } = new URL(request.url ?? '/', 'http://host')
    const file = files.get(pathname.replace('/holdfast/', ''))
    const page = scripts[pathname.slice(1)]
    if (pathname === '/journal') void read(request).then((text) => { for (const line of text.split('\n')) journal.take(line); response.end() })
    else if (page !== undefined && pathname.endsWith('.js')) response.setHeader('content-type', 'text/javascript').end(page)
    else if (page !== undefined) response.setHeader('content-type', 'text/html').end(`<!doctype html><html><head><title>page</title>${HEAD}</head><body><script type="module">${page}</script></body></html>`)
    else if (pathname === '/empty') response.setHeader('content-type', 'text/html').end('<!doctype html><title>empty</title>')
    else if (pathname.startsWith('/raw/')) api(request, '', response)
    else if (pathname.startsWith('/api/')) void read(request).then((text) => { api(request, text, response) })
    else if (file === undefined) response.writeHead(404).end()
    else response.writeHead(200, { 'content-type': 'text/javascript', 'cache-control': 'max-age=86400' }).end(file)
  })
  await new Promise<void>((resolve) => { http.listen(0, '127.0.0.1', resolve) })
  return {
    url: `http://127.0.0.1:${(http.address() as AddressInfo).port}`, journal,
    async close() { http.closeAllConnections(); await new Promise((resolve) => { http.close(resolve) }) },
  }
}

type Signal = 'KILL' | 'STOP' | 'CONT'
export const signal = (pid: number, name: Signal): void => { try { process.kill(pid, `SIG${name}`) } catch { /* gone already */ } }

/** Where a browser says that it can be driven. */
export const listening = (child: ChildProcess, what: RegExp): Promise<string> => new Promise((resolve, reject) => {
  let text = ''
  child.stderr?.on('data', (chunk: Buffer) => {
    if (text.length < 10_000) text += chunk.toString()
    const match = what.exec(text)
    if (match?.[1]) resolve(match[1])
  })
  child.on('exit', () => { reject(new Error(`The browser ended before it listened: ${text}`)) })
})

/** A page and the process that renders it. */
export interface Tab { readonly page: Page; readonly pid: number }

export type Backend = 'leveldb' | 'sqlite'

export class KillableBrowser {
  readonly profile: string
  readonly #flags: readonly string[]
  #process: ChildProcess | undefined
  #browser: Browser | undefined
  /** What Chromium last noted when it opened its databases. */
  #log = ''

  /** New profiles of today's Chromium keep IndexedDB in SQLite, older ones in LevelDB. */
  constructor({ folder = tmpdir(), backend = 'leveldb', more = [] }: { readonly folder?: string; readonly backend?: Backend; readonly more?: readonly string[] } = {}) {
    this.profile = mkdtempSync(join(folder, 'holdfast-crash-'))
    this.#flags = [...backend === 'sqlite' ? ['--enable-features=IdbSqliteBackingStore'] : [], ...more]
  }

  async start(): Promise<Browser> {
    const executable = findChromium()
    if (!executable) throw new Error('no Chromium found')
    const child = spawn(executable, [
      ...flags, ...this.#flags, '--headless=new', `--user-data-dir=${this.profile}`, '--remote-debugging-port=0',
      // A renderer kept in store would be taken for a tab.
      '--disable-features=SpareRendererForSitePerProcess', 'about:blank',
    ], { stdio: ['ignore', 'ignore', 'pipe'], detached: true })
    this.#process = child
    this.#browser = await chromium.connectOverCDP(await listening(child, /DevTools listening on (ws:\S+)/))
    return this.#browser
  }

  async page(): Promise<Page> {
    const context = this.#browser?.contexts()[0]
    if (!context) throw new Error('the browser is not running')
    return context.newPage()
  }

  /** A page in a process of its own. */
  async tab(url: string): Promise<Tab> {
    const before = new Set(this.renderers())
    const page = await this.page()
    await page.goto(url)
    const [pid, ...more] = this.renderers().filter((one) => !before.has(one))
    if (pid === undefined || more.length > 0) throw new Error(`${more.length === 0 ? 'no' : 'more than one'} new renderer for ${url}`)
    return { page, pid }
  }

  renderers(): number[] { return this.#processes().filter(({ command }) => command.includes('--type=renderer')).map(({ pid }) => pid) }

  /** SIGKILL to every renderer of this browser: its pages, their workers and their locks. */
  killRenderers(): void { for (const pid of this.renderers()) signal(pid, 'KILL') }

  /**
   * Whether Chromium has made the databases of an origin anew since this was last asked, by its own log. LevelDB goes on writing to a log whose last record a kill
   * tore, cannot read it at the start after, and all of the origin is thrown away: github.com/google/leveldb/issues/1287. No page can prevent it.
   */
  remade(): boolean {
    const log = this.files('IndexedDB', /LOG$/).map((path) => readFileSync(path, 'utf8')).join('')
    const another = log !== this.#log
    this.#log = log
    return another && log.includes('since it was missing')
  }

  /** What a kill in the middle of a write leaves behind: the head of a record, and not all of its body. */
  tearLog(): void {
    const torn = Buffer.alloc(27, 7)
    torn.writeUInt16LE(300, 4)
    torn[6] = 1
    for (const path of this.files('IndexedDB', /\d\.log$/)) appendFileSync(path, torn)
  }

  /** Files below a folder of the profile. */
  files(folder: string, name: RegExp): string[] {
    const at = join(this.profile, 'Default', folder)
    return existsSync(at) ? readdirSync(at, { recursive: true, encoding: 'utf8' }).filter((path) => name.test(path)).map((path) => join(at, path)) : []
  }

  /** SIGKILL to all of it at once. */
  async killAll(): Promise<void> {
    const child = this.#process
    this.#process = undefined
    for (const pid of [child?.pid, ...this.#processes().map(({ pid }) => pid)]) if (pid !== undefined) signal(pid, 'KILL')
    await this.#browser?.close().catch(() => {})
    // One that still ended would hold the profile's files.
    while (this.#processes().length > 0) await pause(10)
    for (const lock of ['SingletonLock', 'SingletonCookie', 'SingletonSocket']) rmSync(join(this.profile, lock), { force: true })
  }

  async dispose(): Promise<void> {
    await this.killAll()
    rmSync(this.profile, { recursive: true, force: true, maxRetries: 5 })
  }

  /** A dead one that nobody waited for has no command line any more. */
  #processes(): Array<{ readonly pid: number; readonly command: string }> { return processesOf(`--user-data-dir=${this.profile}`) }
}

/** Who names `text` on its command line. Linux. */
export function processesOf(text: string): Array<{ readonly pid: number; readonly command: string }> {
  return readdirSync('/proc').filter((name) => /^\d+$/.test(name)).flatMap((name) => {
    try {
      const command = readFileSync(`/proc/${name}/cmdline`, 'utf8').replaceAll('\0', ' ')
      return command.includes(text) ? [{ pid: Number(name), command }] : []
    } catch { return [] }
  })
}

export const pause = (ms: number): Promise<void> => new Promise((resolve) => { setTimeout(resolve, ms) })

export async function until(what: () => boolean | Promise<boolean>, ms = 10_000): Promise<void> {
  for (const end = performance.now() + ms; !await what(); await pause(10)) if (performance.now() > end) throw new Error(`not within ${ms} ms: ${what.toString()}`)
}

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
