/** The hidden window that runs the jobs: one at a time, made anew when it dies. Only its own page, at the app's origin, is given a port. */
import { BrowserWindow, MessageChannelMain, type MessagePortMain } from 'electron'
import { CONNECT, ENGINE_ARGUMENT, PORT } from './protocol.ts'

const RESTART_MS = 1000
const LONGEST_RESTART_MS = 60_000
/** Whoever has lived so long may be made anew at once. */
const STABLE_MS = 10_000

export interface EngineWindowOptions {
  readonly origin: string
  readonly page: string
  readonly preload: string
  /** The queue's name. */
  readonly name: string
  /** The page has opened its queue. */
  connected(port: MessagePortMain): void
  /** Its page is gone: resolves when all that it had begun elsewhere has ended. */
  lost(): Promise<void>
  /** It is to be closed, with other windows or by itself. */
  mayClose(): boolean
}

export interface EngineWindow {
  readonly window: BrowserWindow | undefined
  start(): void
  /** Ends it, for another one. */
  renew(): void
  end(): void
}

export function engineWindow({ origin, page, preload, name, connected, lost, mayClose }: EngineWindowOptions): EngineWindow {
  let window: BrowserWindow | undefined
  let patience = 0
  let ended = false
  let losing: Promise<void> = Promise.resolve()

  function start(): void {
    if (ended || window) return
    const begun = Date.now()
    const one = new BrowserWindow({
      show: false, skipTaskbar: true, title: 'engine',
      webPreferences: { preload, sandbox: true, contextIsolation: true, nodeIntegration: false, webviewTag: false, backgroundThrottling: false, additionalArguments: [ENGINE_ARGUMENT] },
    })
    window = one
    let open = false
    let gone = false

    /** It is gone; a reload has another page in the same window. */
    const leave = (): void => {
      if (!open) return
      open = false
      losing = lost()
    }
    const died = (why: string): void => {
      if (gone) return
      gone = true
      leave()
      window = undefined
      if (!one.isDestroyed()) one.destroy()
      if (ended) return
      patience = Date.now() - begun > STABLE_MS ? 0 : Math.min(LONGEST_RESTART_MS, 2 * patience || (patience === 0 && why === 'killed' ? 0 : RESTART_MS))
      setTimeout(start, patience)
    }

    one.webContents.on('render-process-gone', (_event, { reason }) => { died(reason) })
    one.on('closed', () => { died('closed') })
    one.webContents.on('did-fail-load', (_event, code, text, _url, isMainFrame) => {
      if (!isMainFrame) return
      console.error(`holdfast: the engine page ${page} cannot be loaded: ${text} (${code})`)
      died('failed')
    })
    // Not when it begins, which may be refused.
    one.webContents.on('did-navigate', leave)
    one.on('close', (event) => {
      if (!ended && !mayClose()) event.preventDefault()
    })

    // Heard from this window only; and of its frames only the page itself may ask.
    one.webContents.ipc.on(CONNECT, ({ senderFrame: frame }, asked) => {
      if (!frame || frame.parent !== null || frame.origin !== origin || asked !== name || open) return
      open = true
      void losing.then(() => {
        if (!open || gone) return
        const { port1, port2 } = new MessageChannelMain()
        frame.postMessage(PORT, null, [port2])
        connected(port1)
      })
    })
    void one.loadURL(origin + page).catch(() => { /* did-fail-load tells */ })
  }

  return {
    get window() { return window },
    start,
    renew() { window?.destroy() },
    end() {
      ended = true
      const last = window
      window = undefined
      if (last && !last.isDestroyed()) last.destroy()
    },
  }
}
