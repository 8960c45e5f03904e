/** The desktop app in a real Electron, which is no dependency of this package: see `how`. */
import { execFileSync, spawnSync } from 'node:child_process'
import { chmodSync, existsSync, mkdtempSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { expect, it } from 'vitest'

const root = fileURLToPath(new URL('../../', import.meta.url))
const runner = process.env.ELECTRON_RUNNER ?? join(root, '../shared/electron/run')
const given = process.env.ELECTRON_OVERRIDE_DIST_PATH !== undefined
const present = given || existsSync(runner)
const how = `SKIPPED: the desktop app, for want of an Electron. Have a folder with its executable:
    ELECTRON_OVERRIDE_DIST_PATH=<folder> npm run test:electron
or a program that sets that variable and runs its arguments:
    ELECTRON_RUNNER=<program> npm run test:electron`
if (!present) console.warn(how)

it.skipIf(!present && process.env.REQUIRE_ELECTRON !== '1')('keeps a job through kill -9 of the whole app', () => {
  if (!present) throw new Error(how)
  execFileSync('npm', ['run', '--silent', 'build:demo'], { cwd: root, stdio: ['ignore', 'ignore', 'inherit'] })
  const folder = mkdtempSync(join(tmpdir(), 'holdfast-electron-'))
  // The runner's Electron is another user.
  chmodSync(folder, 0o777)

  const command = [...(given ? [] : [runner]), process.execPath, join(root, 'test/electron/drive.mjs'), join(root, 'electron/main.mjs'), folder]
  const { status, stdout } = spawnSync(command[0] ?? '', command.slice(1), { encoding: 'utf8', stdio: ['ignore', 'pipe', 'inherit'], timeout: 240_000 })
  expect(status).toBe(0)

  const { version, ...seen } = JSON.parse(stdout.trim().split('\n').at(-1) ?? '') as { version: string }
  console.log(`ran on Electron ${version}; screenshot: ${join(folder, 'demo.png')}`)
  expect(seen).toEqual({
    renderer: { url: 'app://holdfast/', secure: true, node: false },
    signal: 'SIGKILL',
    job: { id: true, state: 'delayed', data: { kept: true } },
    stayed: 'app://holdfast/',
  })
})
