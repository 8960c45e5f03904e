/** The process of a queue's Node handlers: one at a time, begun anew when it or its engine page is gone, and never before the last one has ended. */
import { utilityProcess, type MessagePortMain, MessageChannelMain, type UtilityProcess } from 'electron'
import { fileURLToPath } from 'node:url'
import { whenFree } from './alive.ts'

export interface NodeProcess {
  /** The engine page is there: it is to have a port to the process. */
  serve(give: Give): void
  /** Nobody is served any more: resolves when the process has ended, which it has `graceMs` to do by itself. */
  end(graceMs: number): Promise<void>
  /** Ends it at once; it is begun anew. */
  kill(): void
}
export interface Give {
  handlers(port: MessagePortMain): void
  gone(how: { readonly meant: boolean; readonly why: string }): void
}

const program = fileURLToPath(new URL('./electron-node.js', import.meta.url))
const RESTART_MS = 1000
const LONGEST_RESTART_MS = 60_000
/** Whoever has lived so long may be begun anew at once. */
const STABLE_MS = 10_000

export function nodeProcess(file: string, queue: string, address: string): NodeProcess {
  let child: UtilityProcess | undefined
  let ended: Promise<void> = Promise.resolve()
  let serving: Give | undefined
  let meant = false
  let patience = 0

  async function start(give: Give): Promise<void> {
    await ended
    await whenFree(address)
    if (serving !== give) return
    meant = false
    const begun = Date.now()
    const one = utilityProcess.fork(program, [file, address], { serviceName: `holdfast ${queue}`, stdio: 'inherit' })
    child = one
    const { port1, port2 } = new MessageChannelMain()
    one.postMessage(null, [port2])
    give.handlers(port1)
    ended = new Promise((resolve) => {
      one.once('exit', (code) => {
        child = undefined
        resolve()
        if (serving !== give) return
        give.gone({ meant, why: `exit code ${code}` })
        patience = meant || Date.now() - begun > STABLE_MS ? 0 : Math.min(LONGEST_RESTART_MS, 2 * patience || RESTART_MS)
        setTimeout(() => { if (serving === give) void start(give) }, patience)
      })
    })
  }

  const kill = (): void => { if (child?.pid !== undefined) try { process.kill(child.pid, 'SIGKILL') } catch { /* It has ended. */ } }

  return {
    serve(give) { serving = give; void start(give) },
    async end(graceMs) {
      serving = undefined
      if (!child) return
      const late = setTimeout(kill, graceMs)
      await ended
      clearTimeout(late)
    },
    kill() { meant = true; kill() },
  }
}
