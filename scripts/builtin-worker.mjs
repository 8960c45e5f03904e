// @ts-check
// The built-in worker as one self-contained script: the library ships it as a file and as a string, Vite runs it from the sources.
import { fileURLToPath } from 'node:url'
import { rolldown } from 'rolldown'

const source = (/** @type {string} */ path) => fileURLToPath(new URL(`../src/${path}`, import.meta.url))

/** @returns {Promise<string>} an IIFE: valid as module, classic and blob worker */
export function bundleWorker() {
  return oneFile('builtin-worker.ts', 'iife')
}

/**
 * `holdfast/service-worker` as one self-contained module: service workers have no import maps, and may import nothing once they run.
 * They start no workers either, so what does is left out.
 */
export function bundleServiceWorker() {
  const workers = { name: 'holdfast:no-workers', load: { filter: { id: [source('door/spawn.ts'), source('door/fallback.ts')] }, handler: () => 'export const urlWorker = undefined' } }
  return oneFile('service-worker.ts', 'esm', [workers])
}

/** @param {string} path @param {'iife' | 'esm'} format @param {import('rolldown').Plugin[]} [plugins] */
async function oneFile(path, format, plugins = []) {
  const bundle = await rolldown({ input: source(path), platform: 'browser', plugins })
  const { output } = await bundle.generate({ format, minify: true, codeSplitting: false, comments: { annotation: false } })
  await bundle.close()
  return output[0].code
}

/** Fills `src/door/inline.ts` with the worker's source. For rolldown and Vite alike. */
export function inlineWorker() {
  const inline = source('door/inline.ts')
  return {
    name: 'holdfast:inline-worker',
    load: {
      filter: { id: inline },
      handler: async () => `export const source = ${JSON.stringify(await bundleWorker())}`,
    },
  }
}

/** In Vite the sources have no `worker.js` beside them: their URL becomes that of `builtin-worker.ts`. */
export function sourceWorkerUrl() {
  return {
    name: 'holdfast:source-worker-url',
    enforce: /** @type {const} */ ('pre'),
    transform: {
      filter: { id: [source('door/spawn.ts'), source('door/fallback.ts')] },
      /** @param {string} code */
      handler: (code) => `import workerUrl from '../builtin-worker.ts?worker&url'\n${code.replaceAll(`'./worker.js'`, 'workerUrl')}`,
    },
  }
}
