import { fileURLToPath } from 'node:url'
import { playwright } from '@vitest/browser-playwright'
import { defineConfig } from 'vitest/config'
import { mailApi } from './demo/server/vite-plugin.ts'
import { inlineWorker, sourceWorkerUrl } from './scripts/builtin-worker.mjs'
import { findChromium, flags } from './scripts/chromium.mjs'

const path = (relative: string) => fileURLToPath(new URL(relative, import.meta.url))
const executablePath = findChromium()

/** The demo (`--mode demo`) and the tests, both from the sources. The library itself is built by scripts/build.mjs. */
export default defineConfig(({ mode }) => ({
  root: mode === 'demo' || mode === 'desktop' ? path('demo') : path('.'),
  plugins: [inlineWorker(), sourceWorkerUrl(), ...(mode === 'demo' ? [mailApi()] : [])],
  resolve: {
    alias: {
      'holdfast/electron/renderer': path('src/electron/renderer.ts'),
      'holdfast/service-worker/page': path('src/service-worker-page.ts'), 'holdfast/service-worker': path('src/service-worker.ts'),
      'holdfast/worker': path('src/worker.ts'), 
      // In the desktop app the same page is a window, and does not run jobs.
      holdfast: path(mode === 'desktop' ? 'src/electron/renderer.ts' : 'src/index.ts'),
    },
  },
  worker: { format: 'es', plugins: () => [inlineWorker(), sourceWorkerUrl()] },
  // Found late, in the worker, they would reload the page.
  optimizeDeps: { include: ['comlink'] },
  // The origin is the identity of the data: the same port each time, unless it is taken.
  server: { port: 5173, fs: { allow: [path('.')] } },
  preview: { port: 4173 },
  build: {
    outDir: path(mode === 'desktop' ? 'dist-desktop' : 'dist-demo'), emptyOutDir: true, target: 'es2022',
    ...(mode === 'desktop' && { rolldownOptions: { input: [path('demo/index.html'), path('demo/engine.html')] } }),
  },
  test: {
    passWithNoTests: true,
    projects: [
      {
        extends: true,
        test: {
          name: 'unit',
          include: ['test/unit/**/*.test.ts', 'test/simulation/**/*.test.ts', 'test/layers.test.ts'],
          // fake-indexeddb waits by setImmediate.
          fakeTimers: { toFake: ['setTimeout', 'clearTimeout', 'setInterval', 'clearInterval', 'Date', 'performance'] },
        },
      },
      {
        extends: true,
        test: {
          name: 'browser',
          include: ['test/browser/**/*.test.ts'],
          testTimeout: 30_000,
          browser: {
            enabled: true,
            headless: true,
            screenshotFailures: false,
            provider: playwright({ launchOptions: { ...(executablePath && { executablePath }), args: flags } }),
            instances: [{ browser: 'chromium' }],
          },
        },
      },
      {
        extends: true,
        test: {
          // Whole browsers, packages and apps: one at a time.
          name: 'system',
          include: ['test/{crash,e2e,consumer}/**/*.test.ts'],
          fileParallelism: false,
          testTimeout: 300_000,
          hookTimeout: 300_000,
        },
      },
      {
        extends: true,
        test: {
          // In a real Electron, where one is given.
          name: 'electron',
          include: ['test/electron/**/*.test.ts'],
          fileParallelism: false,
          testTimeout: 60_000,
          hookTimeout: 300_000,
        },
      },
    ],
  },
}))
