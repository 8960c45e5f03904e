// @ts-check
// The desktop app, and the mail server that it talks to. Electron is downloaded at the first start, unless a folder with one is given.
import { spawn } from 'node:child_process'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

const cwd = fileURLToPath(new URL('../', import.meta.url))
const given = process.env.ELECTRON_OVERRIDE_DIST_PATH
const [command, ...args] = given ? [join(given, 'electron')] : ['npx', '--yes', 'electron@45.4.1']

const server = spawn(process.execPath, ['demo/server/main.mjs'], { cwd, stdio: 'inherit' })
const app = spawn(command, [...args, 'electron/main.mjs', ...process.argv.slice(2)], { cwd, stdio: 'inherit', shell: process.platform === 'win32' })
app.on('exit', (code) => {
  server.kill()
  process.exitCode = code ?? 1
})
