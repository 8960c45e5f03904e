/** The library as one build in memory: pages that live for a moment must not ask for fifty sources first. */
import { fileURLToPath } from 'node:url'
import { rolldown } from 'rolldown'
import { bundleServiceWorker, bundleWorker, inlineWorker } from '../../scripts/builtin-worker.mjs'

export const FRANK_QUOTA = 24_000_000

/** What a worker runs before the library does, by the name under which it is served beside `worker.js`. */
const PRELUDES = {
  /** As in a browser that has neither Web Locks nor BroadcastChannel. */
  'bare-worker.js': `Object.defineProperty(navigator, 'locks', { value: undefined }); delete globalThis.BroadcastChannel`,
  /** As a service worker, which has no XMLHttpRequest. */
  'fetching-worker.js': 'delete globalThis.XMLHttpRequest',
  /** Told the quota that the test set; Chromium itself names a made-up one since it hides the size of the disk. */
  'frank-worker.js': `navigator.storage.estimate = async () => ({ ...await Object.getPrototypeOf(navigator.storage).estimate.call(navigator.storage), quota: ${FRANK_QUOTA} })`,
  /** Its time goes ten times as fast; the date is everybody's. */
  'hasty-worker.js': `
    const now = performance.now.bind(performance), later = setTimeout
    performance.now = () => now() * 10
    globalThis.setTimeout = (call, ms, ...more) => later(call, ms / 10, ...more)`,
}

const source = (path: string): string => fileURLToPath(new URL(`../../src/${path}`, import.meta.url))

let built: Promise<ReadonlyMap<string, string>> | undefined

/** File name → source. */
export const library = (): Promise<ReadonlyMap<string, string>> => built ??= build()

async function build(): Promise<ReadonlyMap<string, string>> {
  const input = { index: source('index.ts'), 'service-worker-page': source('service-worker-page.ts') }
  const bundle = await rolldown({ input, platform: 'browser', plugins: [inlineWorker()] })
  const { output } = await bundle.generate({ format: 'esm', entryFileNames: '[name].js', chunkFileNames: '[name]-[hash].js' })
  await bundle.close()
  const worker = await bundleWorker()
  return new Map([
    ...output.flatMap((file): Array<[string, string]> => file.type === 'chunk' ? [[file.fileName, file.code]] : []),
    ['worker.js', worker],
    ['service-worker.js', await bundleServiceWorker()],
    ...Object.entries(PRELUDES).map(([name, before]): [string, string] => [name, `${before};\n${worker}`]),
  ])
}
