/** The README as its readers use it: its code is pasted, its tables are looked up. */
import { spawnSync } from 'node:child_process'
import { existsSync, mkdtempSync, readFileSync, realpathSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { chromium, type Browser } from 'playwright-core'
import { createServer, type ViteDevServer } from 'vite'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { createQueue } from 'holdfast'
import { launchOptions } from '../../scripts/chromium.mjs'

const root = fileURLToPath(new URL('../../', import.meta.url))
const read = (file: string): string => readFileSync(join(root, file), 'utf8')
const readme = read('README.md')

/** A block that begins with `// name.ts` is that file; a line that ends with `// → text` prints that text. */
const blocks = [...readme.matchAll(/^```ts\n(.*?)^```/gms)].map(([, code = ''], i) => ({
  file: /^\/\/ (\S+\.ts)\n/.exec(code)?.[1] ?? `block-${i + 1}.ts`,
  code: /openQueue[<(]|serve(Sync)?\(/.test(code) ? code : `${code}\ndeclare const queue: import('holdfast').Queue\nexport {}\n`,
  prints: [...code.matchAll(/ \/\/ → (.+)$/gm)].map(([, text]) => text),
}))
const app = realpathSync(mkdtempSync(join(tmpdir(), 'holdfast-readme-')))
beforeAll(() => {
  for (const { file, code } of blocks) writeFileSync(join(app, file), code)
  symlinkSync(join(root, 'node_modules'), join(app, 'node_modules'))
})
afterAll(() => rmSync(app, { recursive: true, force: true }))

it('has code that the compiler accepts as it stands', () => {
  const config = { extends: join(root, 'tsconfig.json'), compilerOptions: { types: [] }, include: [], files: blocks.map(({ file }) => file) }
  writeFileSync(join(app, 'tsconfig.json'), JSON.stringify(config))
  const { status, stdout, stderr } = spawnSync(join(root, 'node_modules/.bin/tsc'), ['-p', app], { encoding: 'utf8' })
  expect(stdout + stderr).toBe('')
  expect(status).toBe(0)
})

const runnable = blocks.filter(({ prints }) => prints.length > 0)

let browser: Browser
let server: ViteDevServer
beforeAll(async () => {
  for (const { file } of runnable) writeFileSync(join(app, `${file}.html`), `<!doctype html><html><head><title>${file}</title></head><body><script type="module" src="./${file}"></script></body></html>`)
  server = await createServer({
    root: app, configFile: join(root, 'vite.config.ts'), mode: 'test', logLevel: 'error', cacheDir: join(app, '.vite'),
    server: { host: '127.0.0.1', port: 0, hmr: false, watch: null, fs: { allow: [app] } },
    plugins: [{
      name: 'the shop that the README asks',
      configureServer({ middlewares }) { middlewares.use('/api/orders', (_request, response) => { response.writeHead(201, { 'content-type': 'application/json' }).end('{"order": 7}') }) },
    }],
  })
  await server.listen()
  browser = await chromium.launch(launchOptions())
})
afterAll(async () => { await browser?.close(); await server?.close() })

it.each(runnable)('$file prints what it says', async ({ file, prints }) => {
  const page = await browser.newPage()
  const printed: string[] = []
  page.on('console', (message) => { if (message.type() === 'log') printed.push(message.text()) })
  page.on('pageerror', (error) => { printed.push(String(error)) })
  await page.goto(`${server.resolvedUrls?.local[0] ?? ''}${file}.html`)
  await expect.poll(() => printed, { timeout: 20_000 }).toEqual(prints)
  await page.close()
})

it('a queue can be made on a server, where its calls are refused', async () => {
  await expect(createQueue('my-app').push('emails', 'welcome', {})).rejects.toMatchObject({ code: 'STORAGE' })
})

/** The names of the members of an interface, or of the literals of a union. */
const members = (file: string, name: string): string[] => {
  const text = read(file)
  const body = new RegExp(`export interface ${name}\\b.*?\\{\\n(.*?)^\\}`, 'ms').exec(text)?.[1]
  if (body !== undefined) return [...body.matchAll(/^ {2}(?:readonly )?(\w+)\??[<(:]/gm)].map(([, member = '']) => member)
  return [...(new RegExp(`export type ${name} =\\n(.*?)\\n\\n`, 's').exec(text)?.[1] ?? '').matchAll(/'([^']+)'/g)].map(([, literal = '']) => literal)
}

it.each([
  ['src/queue.ts', 'Queue'], ['src/queue.ts', 'OpenOptions'], ['src/queue.ts', 'QueueSettings'], ['src/queue.ts', 'Context'], ['src/queue.ts', 'Processor'],
  ['src/queue.ts', 'FetchInit'], ['src/queue.ts', 'FetchOptions'], ['src/queue.ts', 'Filter'], ['src/queue.ts', 'ListFilter'], ['src/queue.ts', 'EventType'], ['src/core/push.ts', 'PushOptions'], ['src/core/errors.ts', 'ErrorCode'],
])('leaves out nothing of %s: %s', (file, name) => {
  const names = members(file, name)
  expect(names.length).toBeGreaterThan(1)
  const code = [...readme.matchAll(/`+[^`]+`+/g)].join('\n')
  expect(names.filter((member) => !new RegExp(`(?<![\\w-])${member}(?![\\w-])`).test(code))).toEqual([])
})

it('points at what is there', () => {
  const links = [...readme.matchAll(/\]\((?!https?:)([^)]+)\)/g)].map(([, link = '']) => link)
  const heading = (text: string): string => `#${text.toLowerCase().replace(/[^\w -]/g, '').replaceAll(' ', '-')}`
  const anchors = [...readme.matchAll(/^#+ (.+)$/gm)].map(([, text = '']) => heading(text))
  expect(links.filter((link) => link.startsWith('#') ? !anchors.includes(link) : !existsSync(join(root, link)))).toEqual([])
})
