// @ts-check
// The desktop app, and the mail server that it talks to. Electron itself is downloaded at the first start.
import { spawn } from 'node:child_process'
import { fileURLToPath } from 'node:url'

const cwd = fileURLToPath(new URL('../', import.meta.url))
const server = spawn(process.execPath, ['demo/server/main.mjs'], { cwd, stdio: 'inherit' })
const app = spawn('npx', ['--yes', 'electron@45.4.1', 'electron/main.mjs', ...process.argv.slice(2)], { cwd, stdio: 'inherit', shell: process.platform === 'win32' })
app.on('exit', (code) => {
  server.kill()
  process.exitCode = code ?? 1
})
