// @ts-check
// The parts of `holdfast/electron`, each one file: main, the preload, and what a process of Node handlers runs; and what pages import.
import { fileURLToPath } from 'node:url'
import { rolldown } from 'rolldown'

const source = (/** @type {string} */ path) => fileURLToPath(new URL(`../src/${path}`, import.meta.url))

/** Those that lie beside each other, whoever bundles the app. A sandboxed preload must be CommonJS. */
export async function bundleElectron() {
  return Promise.all([
    oneFile('electron/main.ts', 'electron-main.js', 'esm'),
    oneFile('electron/node.ts', 'electron-node.js', 'esm'),
    oneFile('electron/preload.ts', 'electron-preload.cjs', 'cjs'),
  ])
}

/** The handle in windows: around that of `holdfast`, which it imports, so that there is one of each class of errors. */
export async function bundleRenderer() {
  const index = { name: 'holdfast:index', resolveId: (/** @type {string} */ id) => /^(\.\.\/index|\.\.\/core\/errors|\.\/errors)\.ts$/.test(id) ? { id: './index.js', external: true } : null }
  return (await oneFile('electron/renderer.ts', 'electron-renderer.js', 'esm', [index])).code
}

/** @param {string} path @param {string} file @param {'esm' | 'cjs'} format @param {import('rolldown').Plugin[]} [plugins] */
async function oneFile(path, file, format, plugins = []) {
  const bundle = await rolldown({ input: source(path), external: ['electron', /^node:/], platform: 'node', plugins })
  const { output } = await bundle.generate({ format, codeSplitting: false, comments: { annotation: false } })
  await bundle.close()
  return { file, code: output[0].code }
}
