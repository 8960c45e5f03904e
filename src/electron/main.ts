/** `holdfast/electron/main`: a desktop app whose jobs go on with every window closed. `main(options)` before the app is ready is all it takes. */
import { app, autoUpdater, BrowserWindow, net, powerMonitor, type BrowserWindowConstructorOptions, type MessagePortMain } from 'electron'
import { resolve } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath, pathToFileURL } from 'node:url'
import { invalid } from '../core/errors.ts'
import type { Queue, QueueMap, Stats } from '../queue.ts'
import { addressOf } from './alive.ts'
import { engineWindow } from './engine-window.ts'
import { guard } from './guard.ts'
import { nodeProcess, type NodeProcess } from './node-process.ts'
import { checkHandle, checkMain, checkPath } from './options.ts'
import { registerScheme, SCHEME, servePages } from './pages.ts'
import type { ToEngine, ToMain } from './protocol.ts'
import { remote } from './remote.ts'
import { queueTray, type TrayOptions } from './tray.ts'

export interface MainOptions {
  /** The queue's name, as in `openQueue(name)`. */
  readonly name: string
  /** The app's pages are at `app://<host>/`. That is the identity of their data, the queue included: it must never change. Lower case letters, digits, `.` and `-`. */
  readonly host: string
  /** The folder with the app's built pages, absolute. */
  readonly pages: string
  /** A development server to take the pages from instead, such as `http://localhost:5173`. Their origin stays. */
  readonly dev?: string | undefined
  /** The page that runs the jobs, in a window that is never shown. Default `/engine.html`. */
  readonly engine?: string
  /** Origins that pages may send requests to: the `connect-src` of their policy, besides the app's own. Default: none. */
  readonly connect?: readonly string[]
  /** Origins whose requests main sends for an engine page that opened its queue with `http: {via: 'main'}`: they need not know of CORS. Default: none. */
  readonly via?: readonly string[]
  /** The Content Security Policy of all pages, in place of one that allows the app's own files and `connect`. */
  readonly policy?: string
  /** Permissions that pages may have, by Electron's names. Default: none. */
  readonly permissions?: readonly string[]
  /** What windows are like. Whatever this says, they are sandboxed, isolated and without Node. */
  readonly window?: BrowserWindowConstructorOptions
  /** A tray icon with the counts, Open, Pause and Quit. Default: none. */
  readonly tray?: TrayOptions
  /** How long Quit waits for what runs. Default 2000 ms. */
  readonly drainMs?: number
}

export interface HandleOptions {
  /** How many jobs run at once. Default 1. */
  readonly concurrency?: number
}

/** The handle in the main process, and what only an app has. Handlers are not given to it: they live in the engine page, or in Node by `handle`. */
export interface DesktopQueue<M extends QueueMap = QueueMap> extends Omit<Queue<M>, 'process' | 'close'> {
  /**
   * Runs the jobs of a queue in a process of Node. The file's default export is a handler, or an object with one for each job name; its path is absolute, a `file:` URL, or relative to the app's folder.
   * One process a queue; it ends, however that comes, before the next one begins.
   */
  handle(queue: keyof M & string, file: string | URL, options?: HandleOptions): void
  /** Shows the app: its first window if there is one, else a new one. With a path such as `/settings.html`, a new window there. */
  open(path?: string): BrowserWindow
  /** Calls back with the counts whenever they may have changed, at most twice a second; returns how to stop. */
  watch(listener: (stats: Stats) => void): () => void
}

/** Node handlers and their options, by an id of their own. */
interface Handled { readonly queue: string; readonly concurrency: number; readonly process: NodeProcess }

const NETWORK_MS = 5000
const WATCH_MS = 500
/** A window whose page died is loaded again, but not one that dies of its own page. */
const RELOAD_MS = 10_000
/** What handlers are given to heed that the engine page is gone; they take a second over it. */
const END_MS = 1500
/** What a page may take beyond the drain to say that it is done. */
const GRACE_MS = 500
/** Windows that are still there after that do not want to close. */
const CLOSE_MS = 10_000
const LOOK_MS = 20

let called = false

const beside = (file: string): string => fileURLToPath(new URL(file, import.meta.url))

/**
 * Call once, in the main process, before the app is ready.
 * @throws HoldfastError `VALIDATION` for what it cannot be told
 */
export function main<M extends QueueMap = QueueMap>(given: MainOptions): DesktopQueue<M> {
  const options = checkMain(given)
  const { name, host, engine: page = '/engine.html', connect = [], via = [], permissions = [], drainMs = 2000 } = options
  if (called) throw invalid('main', 'was called before: an app has one queue')
  if (app.isReady()) throw invalid('main', 'must be called before the app is ready: at the top of an ES module, and not after an await')
  called = true
  const origin = `${SCHEME}://${host}`
  const far = remote(name)
  const handled = new Map<number, Handled>()
  let port: MessagePortMain | undefined
  let stage: 'staying' | 'asked' | 'draining' | 'done' = 'staying'
  let quitting = false
  /** The app ends, and nothing can stop it any more. */
  let left = false
  let startAgain = false

  const say = (message: ToEngine, ports: MessagePortMain[] = []): void => { port?.postMessage(message, ports) }

  function serve(id: number, { queue, concurrency, process }: Handled): void {
    process.serve({
      handlers(given) { say({ t: 'handlers', id, queue, concurrency }, [given]) },
      gone(how) { say({ t: 'gone', id, ...how }) },
    })
  }

  const endHandlers = async (graceMs: number): Promise<void> => { await Promise.all([...handled.values()].map(({ process }) => process.end(graceMs))) }

  let closed = (): void => {}
  function hear(message: ToMain): void {
    if (message.t === 'stuck') handled.get(message.id)?.process.kill()
    else if (message.t === 'closed') closed()
    else far.hear(message)
  }

  const engine = engineWindow({
    origin, page, name, preload: beside('./electron-preload.cjs'), mayClose,
    connected(given) {
      port = given
      given.on('message', ({ data }: { readonly data: ToMain }) => {
        // Whatever a page says, main goes on.
        try { hear(data) } catch (error) { console.error('holdfast: not understood of the engine page:', error) }
      })
      given.start()
      say({ t: 'network', online: net.isOnline() })
      far.connect(given)
      for (const [id, one] of handled) serve(id, one)
    },
    async lost() {
      port = undefined
      far.lost()
      closed()
      await endHandlers(END_MS)
    },
  })

  // ---- windows ----

  const windows = (): BrowserWindow[] => BrowserWindow.getAllWindows().filter((one) => one !== engine.window)
  function open(path?: string): BrowserWindow {
    checkPath(path)
    const [first] = windows()
    if (first && path === undefined) {
      if (first.isMinimized()) first.restore()
      first.show()
      first.focus()
      return first
    }
    const { webPreferences, ...given } = options.window ?? {}
    const window = new BrowserWindow({ width: 1280, height: 800, ...given, webPreferences: { ...webPreferences, sandbox: true, contextIsolation: true, nodeIntegration: false, nodeIntegrationInSubFrames: false, nodeIntegrationInWorker: false, webSecurity: true, webviewTag: false } })
    window.loadURL(origin + (path ?? '/')).catch((error: unknown) => { console.error(error) })
    let last = -Infinity
    window.webContents.on('render-process-gone', (_event, { reason }) => {
      const again = reason !== 'clean-exit' && Date.now() - last > RELOAD_MS
      last = Date.now()
      if (again) window.reload()
    })
    return window
  }

  // ---- signals ----

  function watchDevice(): void {
    let online = net.isOnline()
    setInterval(() => {
      const now = net.isOnline()
      if (now !== online) say({ t: 'network', online: now })
      online = now
    }, NETWORK_MS).unref()
    for (const sign of ['resume', 'unlock-screen'] as const) powerMonitor.on(sign as 'resume', () => { say({ t: 'woke' }) })
  }

  function watch(listener: (stats: Stats) => void): () => void {
    let timer: ReturnType<typeof setTimeout> | undefined
    const look = (): void => { timer = undefined; far.queue.stats().then(listener, () => {}) }
    const off = far.queue.on('*', () => { timer ??= setTimeout(look, WATCH_MS) })
    look()
    return () => { clearTimeout(timer); off() }
  }

  // ---- quitting ----

  /** Nothing new is begun; what runs has `drainMs` to end, and is given back then. */
  async function drain(): Promise<void> {
    if (port) await new Promise<void>((resolve) => {
      closed = resolve
      say({ t: 'close', drainMs })
      setTimeout(resolve, drainMs + GRACE_MS)
    })
    await endHandlers(0)
  }

  async function leave(): Promise<void> {
    stage = 'draining'
    await drain()
    stage = 'done'
    app.quit()
    if (left) return
    // Refused at the last moment.
    stage = 'staying'
    engine.renew()
  }

  /** Nobody has refused to quit, but that other windows may do yet: what runs is not touched before they are gone. */
  async function quit(): Promise<void> {
    stage = 'asked'
    for (const end = Date.now() + CLOSE_MS; windows().length > 0; await sleep(LOOK_MS)) if (Date.now() > end) {
      stage = 'staying'
      return
    }
    await leave()
  }

  // Who quits is asked first; then, at once, each window is told to close.
  app.on('before-quit', () => {
    quitting = true
    setImmediate(() => { quitting = false })
  })
  function mayClose(): boolean {
    if (stage === 'done') left = true
    else if (stage === 'staying' && quitting) void quit()
    return left
  }
  app.on('will-quit', (event) => {
    left = true
    if (stage === 'done') {
      if (startAgain) app.relaunch()
      far.close()
      engine.end()
      return
    }
    event.preventDefault()
    if (stage !== 'draining') void leave()
  })
  // An update closes the windows first: the engine's is not to be made anew then.
  autoUpdater.on('before-quit-for-update', () => {
    stage = 'done'
    engine.end()
    void drain()
  })

  const desktop = {
    ...far.queue as unknown as Omit<Queue<M>, 'process' | 'close'>,
    open, watch,
    handle(queue: string, file: string | URL, handling: HandleOptions = {}) {
      checkHandle(queue, file, handling)
      const { concurrency = 1 } = handling
      if ([...handled.values()].some((one) => one.queue === queue)) throw invalid('queue', `${queue} has its handlers already`)
      const url = file instanceof URL || file.startsWith('file:') ? String(file) : pathToFileURL(resolve(app.getAppPath(), file)).href
      const id = handled.size
      const one: Handled = { queue, concurrency, process: nodeProcess(url, queue, addressOf(app.getPath('userData'), queue)) }
      handled.set(id, one)
      if (port) serve(id, one)
    },
  } satisfies DesktopQueue<M>

  // Two processes on one profile would fight over the database.
  if (!app.requestSingleInstanceLock()) { app.exit(0); return desktop }
  registerScheme()
  app.enableSandbox()
  app.on('second-instance', () => {
    if (stage === 'draining' || stage === 'done') startAgain = true
    else open()
  })
  app.on('activate', () => { open() })
  // All windows may be closed: the jobs go on.
  app.on('window-all-closed', () => {})
  void app.whenReady().then(() => {
    guard({ origin, permissions, open })
    servePages({ host, folder: options.pages, dev: options.dev, policy: options.policy ?? policyOf(connect, options.dev), via, worker: beside('./worker.js') })
    watchDevice()
    engine.start()
    if (options.tray) {
      const tray = queueTray(far.queue, options.tray, () => { open() })
      watch((stats) => { tray.show(stats) })
    }
  })
  return desktop
}

/** What pages may load and ask: their own files, and the named origins. */
function policyOf(connect: readonly string[], dev: string | undefined): string {
  const sources = [...connect, ...(dev === undefined ? [] : [dev.replace(/^http/, 'ws')])]
  return [
    "default-src 'self'", "script-src 'self'", "style-src 'self' 'unsafe-inline'", "img-src 'self' data: blob:", "worker-src 'self' blob:", ["connect-src 'self'", ...sources].join(' '),
    "object-src 'none'", "base-uri 'none'", "form-action 'none'", "frame-src 'none'", "frame-ancestors 'none'",
  ].join('; ')
}

export { HoldfastError } from '../core/errors.ts'
export type { NodeHandlers } from './node.ts'
export type { TrayOptions } from './tray.ts'
export type * from '../queue.ts'
