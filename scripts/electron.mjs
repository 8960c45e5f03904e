// @ts-check
// The desktop app and what it talks to: the mail server, and in development Vite. Electron is downloaded at the first start, unless a folder with one is given.
//   node scripts/electron.mjs [--built] [ARGUMENTS]      --built: the pages of dist-desktop/ in place of Vite's
import { spawn } from 'node:child_process'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { createServer } from 'vite'

const cwd = fileURLToPath(new URL('../', import.meta.url))
const given = process.env.ELECTRON_OVERRIDE_DIST_PATH
const built = process.argv.includes('--built')
const rest = process.argv.slice(2).filter((argument) => argument !== '--built')
const [command, ...args] = given ? [join(given, 'electron')] : ['npx', 'electron']

// Known beforehand: the page's own address does not name it.
const DEV_PORT = 5174
const vite = built ? undefined : await createServer({ configFile: join(cwd, 'vite.config.ts'), mode: 'desktop', server: { host: '127.0.0.1', port: DEV_PORT, strictPort: true, hmr: { protocol: 'ws', host: '127.0.0.1', clientPort: DEV_PORT } } })
await vite?.listen()
const server = spawn(process.execPath, ['demo/server/main.mjs'], { cwd, stdio: 'inherit' })
const env = { ...process.env, ...(vite && { HOLDFAST_DEV: vite.resolvedUrls?.local[0] ?? '' }) }
const app = spawn(command, [...args, 'electron/main.mjs', ...rest], { cwd, env, stdio: 'inherit', shell: process.platform === 'win32' })
app.on('exit', (code) => { process.exit(code ?? 1) })
// Vite ends this process by itself when it is told to stop.
for (const signal of /** @type {const} */ (['SIGINT', 'SIGTERM'])) process.on(signal, () => { process.exit(1) })
process.on('exit', () => {
  app.kill()
  server.kill()
})
