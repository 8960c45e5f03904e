// @ts-check
// Everything that must hold, as one command. Its last line counts what passed and failed; a check or a build counts as one test.
import { spawnSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { ensureChromium } from './chromium.mjs'
import { ensureFirefox } from './firefox.mjs'

const root = fileURLToPath(new URL('../', import.meta.url))
const reports = mkdtempSync(join(tmpdir(), 'holdfast-test-'))
const sum = { passed: 0, failed: 0, skipped: 0 }

console.log(`chromium: ${ensureChromium().executablePath}`)
console.log(`firefox: ${ensureFirefox() ?? 'NONE, so its tests are skipped'}`)
single('check')
single('build')
project('unit')
project('browser')
project('system')
project('electron', electronRunner())
rmSync(reports, { recursive: true, force: true })

if (sum.passed + sum.failed === 0) sum.failed = 1
console.log(`${sum.passed} passed, ${sum.failed} failed${sum.skipped > 0 ? `, ${sum.skipped} skipped` : ''}`)
process.exitCode = sum.failed > 0 ? 1 : 0

/** @param {string[]} args */
function npm(...args) { return run('npm', ...args) }

/** @param {string[]} command */
function run(...command) {
  const [program = '', ...args] = command
  console.log(`\n> ${command.join(' ')}`)
  return spawnSync(program, args, { cwd: root, stdio: 'inherit', shell: process.platform === 'win32' }).status === 0
}

/** @param {string} script */
function single(script) {
  if (npm('run', '--silent', script)) sum.passed++
  else sum.failed++
}

/** What gives the desktop tests an Electron, where one is not given by $ELECTRON_OVERRIDE_DIST_PATH; see test/electron/stage.ts. */
function electronRunner() {
  const { ELECTRON_RUNNER: runner, ELECTRON_OVERRIDE_DIST_PATH: given } = process.env
  return runner && !given ? [runner] : []
}

/** @param {string} name @param {string[]} runner */
function project(name, runner = []) {
  const file = join(reports, `${name}.json`)
  const ok = run(...runner, 'npm', 'exec', '--', 'vitest', 'run', '--project', name, '--reporter=default', '--reporter=json', `--outputFile.json=${file}`)
  const { passed, failed, skipped } = counted(file)
  sum.passed += passed
  sum.skipped += skipped
  // A file that does not load, or an error outside of any test, fails no test of its own.
  sum.failed += ok ? failed : Math.max(failed, 1)
}

/** @param {string} file */
function counted(file) {
  try {
    const { numPassedTests: passed, numFailedTests: failed, numPendingTests: pending, numTodoTests: todo } = JSON.parse(readFileSync(file, 'utf8'))
    return { passed, failed, skipped: pending + todo }
  } catch {
    return { passed: 0, failed: 0, skipped: 0 }
  }
}
