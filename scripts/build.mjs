// @ts-check
// Builds the library into dist/.
import { spawnSync } from 'node:child_process'
import { readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { rolldown } from 'rolldown'
import { bundleWorker, inlineWorker } from './builtin-worker.mjs'

const root = fileURLToPath(new URL('../', import.meta.url))
const dist = join(root, 'dist')
const { dependencies } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'))

rmSync(dist, { recursive: true, force: true })
await scripts()
writeFileSync(join(dist, 'worker.js'), await bundleWorker())
declarations()

async function scripts() {
  const bundle = await rolldown({
    input: { index: join(root, 'src/index.ts'), serve: join(root, 'src/worker.ts') },
    external: Object.keys(dependencies),
    platform: 'browser',
    plugins: [inlineWorker()],
  })
  // One flat folder: `./worker.js` must lie beside whatever file names it.
  const { output } = await bundle.write({ dir: dist, format: 'esm', entryFileNames: '[name].js', chunkFileNames: '[name].js' })
  await bundle.close()
  if (output.some((file) => file.fileName === 'worker.js')) throw new Error('dist/worker.js is the built-in worker: name that source file otherwise')
  const index = output.find((file) => file.fileName === 'index.js')
  const literal = `new Worker(new URL("./worker.js", import.meta.url), { type: "module" })`
  if (index?.type !== 'chunk' || !index.code.includes(literal)) throw new Error(`dist/index.js must contain ${literal}: bundlers look for it`)
}

function declarations() {
  const { status } = spawnSync(join(root, 'node_modules/.bin/tsc'), ['-p', 'tsconfig.build.json'], { cwd: root, stdio: 'inherit', shell: process.platform === 'win32' })
  if (status !== 0) process.exit(status ?? 1)
  // tsc leaves the sources' `.ts` in the declarations' imports.
  const types = join(dist, 'types')
  for (const file of readdirSync(types, { recursive: true, encoding: 'utf8' })) {
    if (!file.endsWith('.d.ts')) continue
    const path = join(types, file)
    writeFileSync(path, readFileSync(path, 'utf8').replace(/((?:from|import)\s*\(?\s*['"]\.[^'"]*)\.ts(?=['"])/g, '$1.js'))
  }
}
