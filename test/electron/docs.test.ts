/** The app of docs/electron.md as its readers paste it. */
import { chmodSync, mkdirSync, mkdtempSync, readFileSync, symlinkSync, writeFileSync, copyFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { rolldown } from 'rolldown'
import { describe, expect, it, onTestFinished } from 'vitest'
import { inlineWorker } from '../../scripts/builtin-worker.mjs'
import { buildLibrary, discard, launch, present, root, skipped } from './stage.ts'

skipped()

const blocks = (document: string): Map<string, string> =>
  new Map([...readFileSync(join(root, document), 'utf8').matchAll(/^```ts\n\/\/ (\S+)\.ts\n(.*?)^```/gms)].map(([, name = '', code = '']) => [name, code]))

it('is the app of the README', () => {
  expect(blocks('README.md').get('main')).toBe(blocks('docs/electron.md').get('main'))
  expect(blocks('docs/electron.md').get('main')!.trim().split('\n').length).toBeLessThanOrEqual(10)
})

describe.skipIf(!present)('the app', () => {
  it('runs jobs in the engine page and in Node', async () => {
    buildLibrary()
    const folder = mkdtempSync(join(tmpdir(), 'holdfast-electron-'))
    onTestFinished(() => discard(folder))
    mkdirSync(join(folder, 'pages'))
    mkdirSync(join(folder, 'node_modules'))
    symlinkSync(root, join(folder, 'node_modules/holdfast'))
    const code = blocks('docs/electron.md')
    code.delete('engine-via')
    for (const [name, text] of code) {
      const inPage = name === 'engine' || name === 'page'
      // What a page of theirs would ask of Node.
      writeFileSync(join(folder, `${name}.ts`), name === 'page' ? `${text}document.title += await queue.waitFor(await queue.push('files', 'size', { path: ${JSON.stringify(join(folder, 'size'))} }))` : text)
      const bundle = await rolldown({
        input: join(folder, `${name}.ts`), external: inPage ? [] : [/^[^./]/], platform: inPage ? 'browser' : 'node', plugins: [inlineWorker()],
        resolve: { alias: { 'holdfast/electron/renderer': join(root, 'src/electron/renderer.ts') } },
      })
      await bundle.write({ dir: inPage ? join(folder, 'pages') : folder, format: 'esm', entryFileNames: '[name].js', chunkFileNames: `${name}-[name]-[hash].js` })
      await bundle.close()
    }
    for (const [html, script] of [['index', 'page'], ['engine', 'engine']]) writeFileSync(join(folder, 'pages', `${html}.html`), `<!doctype html><html><head><title>…</title></head><body><script type="module" src="/${script}.js"></script></body></html>`)
    copyFileSync(join(root, 'dist/worker.js'), join(folder, 'pages/worker.js'))
    writeFileSync(join(folder, 'package.json'), JSON.stringify({ name: 'my-app', type: 'module', main: 'main.js' }))
    writeFileSync(join(folder, 'size'), 'x'.repeat(1234))
    chmodSync(folder, 0o777)

    const desktop = await launch(join(folder, 'main.js'), folder, process.env as Record<string, string>, false)
    onTestFinished(() => desktop.stop())
    const page = await desktop.electron.firstWindow()
    const shown = page.url().endsWith('engine.html') ? await desktop.electron.waitForEvent('window') : page
    await shown.waitForFunction(() => document.title === 'sent to ada@harbour.example1234')
  })
})
