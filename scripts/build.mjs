// @ts-check
// Builds the library into dist/.
import { spawnSync } from 'node:child_process'
import { readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { rolldown } from 'rolldown'
import { bundleServiceWorker, bundleWorker, inlineWorker } from './builtin-worker.mjs'
import { bundleElectron, bundleRenderer } from './electron-bundles.mjs'

const root = fileURLToPath(new URL('../', import.meta.url))
const dist = join(root, 'dist')
const { dependencies } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'))

rmSync(dist, { recursive: true, force: true })
// Each by itself: what the two would share belongs to neither's first load.
await scripts('index', 'src/index.ts')
await scripts('serve', 'src/worker.ts')
await scripts('service-worker-page', 'src/service-worker-page.ts')
for (const { file, code } of await bundleElectron()) writeFileSync(join(dist, file), code)
writeFileSync(join(dist, 'electron-renderer.js'), await bundleRenderer())
writeFileSync(join(dist, 'service-worker.js'), await bundleServiceWorker())
writeFileSync(join(dist, 'worker.js'), await bundleWorker())
declarations()

/** @param {string} name @param {string} source */
async function scripts(name, source) {
  const bundle = await rolldown({
    input: { [name]: join(root, source) },
    external: Object.keys(dependencies),
    preserveEntrySignatures: 'allow-extension',
    platform: 'browser',
    plugins: [inlineWorker()],
  })
  // One flat folder: `./worker.js` must lie beside whatever file names it.
  const { output } = await bundle.write({ dir: dist, format: 'esm', entryFileNames: '[name].js', chunkFileNames: `${name}-[name].js` })
  await bundle.close()
  if (output.some((file) => file.fileName === 'worker.js')) throw new Error('dist/worker.js is the built-in worker: name that source file otherwise')
  if (name !== 'index') return
  const index = output.find((file) => file.fileName === 'index.js')
  const literal = `new Worker(new URL("./worker.js", import.meta.url), { type: "module" })`
  if (index?.type !== 'chunk' || !index.code.includes(literal)) throw new Error(`dist/index.js must contain ${literal}: bundlers look for it`)
}

function declarations() {
  const { status } = spawnSync(join(root, 'node_modules/.bin/tsc'), ['-p', 'tsconfig.build.json'], { cwd: root, stdio: 'inherit', shell: process.platform === 'win32' })
  if (status !== 0) process.exit(status ?? 1)
  // tsc leaves the sources' `.ts` in the declarations' imports.
  const types = join(dist, 'types')
  // A CommonJS file has types of its own kind; this one exports nothing.
  rmSync(join(types, 'electron/preload.d.ts'))
  writeFileSync(join(types, 'electron/preload.d.cts'), 'export {}\n')
  for (const file of readdirSync(types, { recursive: true, encoding: 'utf8' })) {
    if (!file.endsWith('.d.ts')) continue
    const path = join(types, file)
    writeFileSync(path, readFileSync(path, 'utf8').replace(/((?:from|import)\s*\(?\s*['"]\.[^'"]*)\.ts(?=['"])/g, '$1.js'))
  }
}
