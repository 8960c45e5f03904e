/** A real Electron, an app to run in it, and what it did; see `how` for where the Electron comes from. */
import { execFileSync } from 'node:child_process'
import { chmodSync, copyFileSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { networkInterfaces, tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { _electron, type ElectronApplication, type Page } from 'playwright-core'
import { rolldown } from 'rolldown'
import type { BrowserWindow } from 'electron'
import type { Queue } from 'holdfast'
import type { DesktopQueue } from 'holdfast/electron/main'
import { inlineWorker } from '../../scripts/builtin-worker.mjs'

export const root = fileURLToPath(new URL('../../', import.meta.url))
const given = process.env.ELECTRON_OVERRIDE_DIST_PATH
export const present = given !== undefined
export const executable = join(given ?? '', 'electron')
export const APP = join(root, 'test/electron/app/main.mjs')
const how = `SKIPPED: the desktop tests, for want of an Electron. Have a folder with its executable:
    ELECTRON_OVERRIDE_DIST_PATH=<folder> npm run test:electron
or a program that sets that variable and runs its arguments:
    <program> npm run test:electron     (npm test: ELECTRON_RUNNER=<program> npm test)`

/** Says what is not tested, and how it would be; where that must be, it is a failure. */
export function skipped(): void {
  if (present) return
  console.warn(how)
  if (process.env['REQUIRE_ELECTRON'] === '1') throw new Error(how)
}

/** What the tests see of pages and main. */
export type PageGlobals = Window & { readonly queue: Queue }

export const pause = (ms: number): Promise<void> => new Promise((resolve) => { setTimeout(resolve, ms) })
export async function until(what: () => unknown, ms = 20_000): Promise<void> {
  for (const end = performance.now() + ms; !await what(); await pause(20)) if (performance.now() > end) throw new Error(`not within ${ms} ms: ${what}`)
}

/** What a killed app leaves running ends in a moment, and writes until then. */
export const discard = (folder: string): Promise<void> => until(() => {
  try { rmSync(folder, { recursive: true, force: true }); return true } catch { return false }
})

export function buildLibrary(): void { execFileSync(process.execPath, [join(root, 'scripts/build.mjs')], { stdio: ['ignore', 'ignore', 'inherit'] }) }

/** Where there is only the loopback, browsers say that they are offline: this gives them a network that leads nowhere. */
export function ensureNetwork(): void {
  if (Object.values(networkInterfaces()).flat().some((one) => one?.internal === false)) return
  const commands = ['ip link add hold0 type veth peer name hold1', 'ip addr add 198.51.100.2/24 dev hold0', 'ip link set hold1 up', 'ip link set hold0 up']
  execFileSync('sh', ['-ec', commands.join('\n')], { stdio: 'inherit' })
}

export interface Notes { readonly url: string; readonly lines: Array<readonly [what: string, id: string, when: number]>; close(): void }

/** What pages say, beyond the reach of a kill. */
export async function takeNotes(): Promise<Notes> {
  const lines: Notes['lines'] = []
  const server = createServer((request, response) => {
    let body = ''
    request.on('data', (part) => { body += part }).on('end', () => {
      const [what = '', id = '', when] = body.split(' ')
      // One that knows nothing of CORS.
      if (request.url?.startsWith('/plain')) {
        lines.push([`plain ${request.method}`, `${request.headers['idempotency-key']} ${request.headers.origin} ${body}`, Date.now()])
        if (request.url === '/plain/cut') { request.socket.destroy(); return }
        const [, what, given = ''] = /^\/plain\/(to|status|page)\?(.*)/.exec(request.url) ?? []
        if (what) lines.push([`asked ${what}`, `${given} ${request.headers.authorization}`, Date.now()])
        if (what === 'to') response.writeHead(302, { location: decodeURIComponent(given) }).end()
        else if (what === 'status') response.writeHead(Number(given), { 'clear-site-data': '"*"' }).end()
        else if (what === 'page') response.writeHead(200, { 'content-type': given }).end('globalThis.remote = true; postMessage(location.origin)')
        else if (request.url === '/plain/moved') response.writeHead(303, { location: '/plain' }).end()
        else response.writeHead(request.url === '/plain/422' ? 422 : 201, { 'content-type': 'application/json', 'retry-after': '7' }).end('{"order":7}')
        return
      }
      if (request.method === 'POST') lines.push([what, id, Number(when)])
      response.writeHead(200, { 'access-control-allow-origin': '*', 'access-control-allow-headers': '*' }).end('{}')
    })
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/note`, lines, close() { server.close(); server.closeAllConnections() } }
}

export interface Desktop {
  readonly electron: ElectronApplication
  /** The window that was opened first. */
  readonly page: Page
  /** Another window, in place of those that are there. */
  open(): Promise<Page>
  /** The hidden one. */
  engine(): Promise<Page>
  /** The first window and the engine page, by process. */
  renderer(which: 'engine' | 'window'): Promise<number>
  stop(): Promise<void>
}

/** Runs a function in the main process, with its handle. */
export type InMain = <R, A = undefined>(work: (queue: DesktopQueue, given: A) => R | Promise<R>, given?: A) => Promise<R>
export const inMainOf = ({ electron }: Desktop): InMain => (work, given) =>
  electron.evaluate<never>(`(${String(work)})(globalThis.queue, ${JSON.stringify(given)})`)

export interface Stage {
  readonly folder: string
  readonly notes: Notes
  readonly env: Readonly<Record<string, string>>
  /** Lines of the Node handlers. */
  journal(): Array<readonly [what: string, id: string, pid: number, when: number]>
  start(env?: Readonly<Record<string, string>>): Promise<Desktop>
  close(): Promise<void>
}

/** A profile of its own, kept over its starts. */
export async function openStage(): Promise<Stage> {
  ensureNetwork()
  const folder = mkdtempSync(join(tmpdir(), 'holdfast-electron-'))
  const notes = await takeNotes()
  const pages = join(folder, 'pages')
  mkdirSync(pages)
  await bundlePages(pages, notes.url)
  const journal = join(folder, 'journal')
  writeFileSync(journal, '')
  // The runner's Electron is another user.
  for (const path of [folder, journal]) chmodSync(path, 0o777)
  const env = { ...process.env as Record<string, string>, PAGES: pages, NOTES: notes.url, JOURNAL: journal }
  const running = new Set<Desktop>()
  return {
    folder, notes, env,
    journal: () => readFileSync(journal, 'utf8').split('\n').filter(Boolean).map((line) => {
      const [what = '', id = '', pid, when] = line.split(' ')
      return [what, id, Number(pid), Number(when)] as const
    }),
    async start(more = {}) {
      const desktop = await launch(APP, folder, { ...env, ...more })
      running.add(desktop)
      return desktop
    },
    async close() {
      for (const desktop of running) await desktop.stop().catch(() => {})
      notes.close()
      await discard(folder)
    },
  }
}

/** Holds the app back until playwright is there to see its first window; it does that by itself only for an Electron of its own finding. */
const LOADER = join(root, 'node_modules/playwright-core/lib/server/electron/loader.js')

/** Starts an app; resolves when its first window, if it has one, has opened its queue. */
export async function launch(app: string, folder: string, env: Record<string, string>, windows = env['WINDOW'] !== 'none'): Promise<Desktop> {
  const electron = await _electron.launch({ executablePath: executable, args: ['-r', LOADER, app, `--user-data-dir=${join(folder, 'data')}`], env, timeout: 60_000 })
  electron.process().stderr?.on('data', (text: Buffer) => { if (process.env['ELECTRON_LOG']) process.stderr.write(text) })
  const isEngine = (page: Page): boolean => page.url().includes('/engine.html')
  const pageOf = async (engine: boolean): Promise<Page> => {
    let found: Page | undefined
    await until(() => { found = electron.windows().find((page) => page.url() !== 'about:blank' && page.url() !== '' && isEngine(page) === engine); return found })
    return found!
  }
  const page = windows ? await pageOf(false) : undefined as unknown as Page
  if (windows) await page.waitForFunction(() => 'queue' in window || 'holdfast' in window)
  let stopping: Promise<void> | undefined
  return {
    electron, page,
    async open() {
      const opened = electron.waitForEvent('window', (one) => !isEngine(one))
      await electron.evaluate(({ app: running, BrowserWindow: windowsOf }) => {
        for (const one of windowsOf.getAllWindows()) if (!one.webContents.getURL().includes('/engine.html')) one.destroy()
        running.emit('activate')
      })
      const next = await opened
      await next.waitForFunction(() => 'queue' in window || 'holdfast' in window)
      return next
    },
    engine: () => pageOf(true),
    renderer: (which) => electron.evaluate(({ BrowserWindow: windowsOf }, engine) => (windowsOf.getAllWindows() as BrowserWindow[]).find((one) => one.webContents.getURL().includes('/engine.html') === engine)?.webContents.getOSProcessId() ?? 0, which === 'engine'),
    stop: () => stopping ??= (async () => {
      const child = electron.process()
      if (child.exitCode === null && child.signalCode === null) { child.kill('SIGKILL'); await once(child, 'exit') }
    })(),
  }
}

async function bundlePages(folder: string, notes: string): Promise<void> {
  const source = join(root, 'test/electron/app')
  const bundle = await rolldown({
    input: { engine: join(source, 'engine.js'), index: join(source, 'index.js') }, platform: 'browser', plugins: [inlineWorker()],
    resolve: { alias: { 'holdfast/electron/renderer': join(root, 'src/electron/renderer.ts') } },
  })
  await bundle.write({ dir: folder, format: 'esm', entryFileNames: '[name].js', chunkFileNames: 'chunk-[name]-[hash].js' })
  await bundle.close()
  copyFileSync(join(root, 'dist/worker.js'), join(folder, 'worker.js'))
  for (const name of ['engine', 'index']) writeFileSync(join(folder, `${name}.html`), `<!doctype html><html><head><title>${name}</title><meta name="notes" content="${notes}"></head><body><script type="module" src="/${name}.js"></script></body></html>`)
}
