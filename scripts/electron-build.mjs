// @ts-check
// Packages the desktop app into dist-app/: node scripts/electron-build.mjs [--dir] [electron-builder's arguments]
// With ELECTRON_OVERRIDE_DIST_PATH that Electron is packaged; else electron-builder downloads the one that package.json names.
import { spawnSync } from 'node:child_process'
import { cpSync, mkdirSync, rmSync, writeFileSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

const root = fileURLToPath(new URL('../', import.meta.url))
const stage = join(root, 'dist-app/app')
const { version, exports, devDependencies } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'))
const BUILDER = 'electron-builder@26.17.0'

// What the app needs and nothing else: its main, its pages, and the library as it is installed.
rmSync(join(root, 'dist-app'), { recursive: true, force: true })
mkdirSync(join(stage, 'node_modules/holdfast'), { recursive: true })
for (const name of ['main.mjs', 'hash.mjs', 'tray.png']) cpSync(join(root, 'electron', name), join(stage, 'electron', name))
cpSync(join(root, 'dist-desktop'), join(stage, 'dist-desktop'), { recursive: true })
cpSync(join(root, 'dist'), join(stage, 'node_modules/holdfast/dist'), { recursive: true })
// Main needs nothing else of it; the pages are built.
writeFileSync(join(stage, 'node_modules/holdfast/package.json'), JSON.stringify({ name: 'holdfast', version, type: 'module', exports }))
writeFileSync(join(stage, 'package.json'), JSON.stringify({
  name: 'harbour-mail', productName: 'Harbour Mail', version, description: 'The demo of holdfast as a desktop app', author: 'holdfast', private: true, type: 'module', main: 'electron/main.mjs', dependencies: { holdfast: version },
}))

const { status } = spawnSync('npx', ['--yes', BUILDER, '--projectDir', stage, '--config', join(root, 'electron/builder.config.cjs'), '--publish', 'never', ...process.argv.slice(2)], {
  cwd: root, stdio: 'inherit', shell: process.platform === 'win32', env: { ...process.env, HOLDFAST_ELECTRON_VERSION: process.env.HOLDFAST_ELECTRON_VERSION ?? devDependencies.electron },
})
process.exitCode = status ?? 1
