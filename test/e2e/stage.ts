/** What the demo needs to be played: its server, browsers with a profile on disk, and a kill that spares nothing of them. */
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises'
import { createServer as createTcpServer, type AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { chromium, type BrowserContext, type Page } from 'playwright-core'
import { createServer } from 'vite'
import { launchOptions } from '../../scripts/chromium.mjs'
import type { Account, Settings } from '../../demo/server/mail-api.ts'

export interface Server {
  readonly url: string
  set(settings: Partial<Settings>): Promise<void>
  account(): Promise<Account>
  forget(): Promise<void>
  close(): Promise<void>
}

const temporary = (name: string): Promise<string> => mkdtemp(join(tmpdir(), `holdfast-${name}-`))
const discard = (folder: string): Promise<void> => rm(folder, { recursive: true, force: true, maxRetries: 5 })

function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const probe = createTcpServer().once('error', reject).listen(0, '127.0.0.1', () => {
      const { port } = probe.address() as AddressInfo
      probe.close(() => resolve(port))
    })
  })
}

/** The demo as `npm start` serves it, but deaf to changes of files, which would reload the page under test. */
export async function startServer(): Promise<Server> {
  const cacheDir = await temporary('vite')
  const port = await freePort()
  const vite = await createServer({
    configFile: fileURLToPath(new URL('../../vite.config.ts', import.meta.url)),
    mode: 'demo',
    cacheDir,
    logLevel: 'error',
    server: { host: '127.0.0.1', port, strictPort: true, hmr: false, watch: null },
  })
  await vite.listen()
  const url = `http://127.0.0.1:${port}/`
  const call = async (method: string, path: string, body?: unknown): Promise<Response> => {
    const answer = await fetch(url + path, { method, ...(body === undefined ? {} : { body: JSON.stringify(body) }) })
    if (!answer.ok) throw new Error(`${answer.status} from ${method} /${path}: ${await answer.text()}`)
    return answer
  }
  return {
    url,
    async set(settings) { await call('PUT', 'api/settings', settings) },
    async account() { return await (await call('GET', 'api/effects')).json() as Account },
    async forget() { await call('DELETE', 'api/effects') },
    async close() {
      await vite.close()
      await discard(cacheDir)
    },
  }
}

/** One person's browser: closed or killed, it opens again with what it had stored. */
export interface Visitor {
  open(): Promise<Page>
  /** As if the power of the process were cut: SIGKILL to the browser and all that it started. */
  kill(): Promise<void>
  leave(): Promise<void>
}

export async function visitor(url: string): Promise<Visitor> {
  const profile = await temporary('profile')
  let context: BrowserContext | undefined
  const { executablePath, args } = launchOptions()
  return {
    async open() {
      context ??= await chromium.launchPersistentContext(profile, { executablePath, args, viewport: { width: 1280, height: 800 } })
      const page = await context.newPage()
      await page.goto(url)
      await page.waitForFunction(() => 'holdfast' in window)
      return page
    },
    async kill() {
      const dying = context
      context = undefined
      for (const pid of await processesOf(profile)) {
        try { process.kill(pid, 'SIGKILL') } catch { /* gone with its parent */ }
      }
      await dying?.close().catch(() => {})
      while ((await processesOf(profile)).length > 0) await new Promise((done) => setTimeout(done, 20))
    },
    async leave() {
      await context?.close()
      await discard(profile)
    },
  }
}

/** Linux: whoever names the profile on its command line, and their descendants, children last. */
async function processesOf(profile: string): Promise<number[]> {
  const all = await Promise.all((await readdir('/proc')).filter((name) => /^\d+$/.test(name)).map(async (pid) => {
    try {
      const [command, stat] = await Promise.all([readFile(`/proc/${pid}/cmdline`, 'utf8'), readFile(`/proc/${pid}/stat`, 'utf8')])
      const [state, parent] = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
      return { pid: Number(pid), parent: Number(parent), root: command.includes(profile), dead: state === 'Z' }
    } catch {
      return undefined
    }
  }))
  const alive = all.filter((one) => one !== undefined && !one.dead) as Array<{ pid: number; parent: number; root: boolean }>
  const found = new Set(alive.filter(({ root }) => root).map(({ pid }) => pid))
  for (let size = -1; size !== found.size;) {
    size = found.size
    for (const { pid, parent } of alive) if (found.has(parent)) found.add(pid)
  }
  return [...found]
}
