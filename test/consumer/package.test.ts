/** The package as others get it: the packed tarball in an otherwise empty app. */
import { spawnSync } from 'node:child_process'
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { gzipSync } from 'node:zlib'
import { chromium, type Browser } from 'playwright-core'
import { publint } from 'publint'
import { rolldown } from 'rolldown'
import { build, createServer, preview, type InlineConfig } from 'vite'
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from 'vitest'
import { launchOptions } from '../../scripts/chromium.mjs'

const root = fileURLToPath(new URL('../../', import.meta.url))
const app = mkdtempSync(join(tmpdir(), 'holdfast-consumer-'))
const installed = join(app, 'node_modules/holdfast')
const { dependencies } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as { dependencies: Record<string, string> }
let tarball: string

function run(cwd: string, command: string, ...args: string[]): string {
  const { status, stdout, stderr } = spawnSync(command, args, { cwd, encoding: 'utf8' })
  if (status !== 0) throw new Error(`${command} ${args.join(' ')}\n${stdout}${stderr}`)
  return stdout
}

beforeAll(() => {
  // What `npm install holdfast` would leave, without asking a registry.
  run(root, 'npm', 'run', '--silent', 'build')
  const [packed] = JSON.parse(run(root, 'npm', 'pack', '--ignore-scripts', '--silent', '--json', '--pack-destination', app)) as [{ filename: string }]
  tarball = join(app, packed.filename)
  cpSync(join(root, 'test/consumer/app'), app, { recursive: true })
  mkdirSync(installed, { recursive: true })
  run(installed, 'tar', 'xzf', tarball, '--strip-components=1')
  for (const name of Object.keys(dependencies)) cpSync(join(root, 'node_modules', name), join(app, 'node_modules', name), { recursive: true })
})
afterAll(() => rmSync(app, { recursive: true, force: true }))

describe('in Vite', () => {
  const config: InlineConfig = { root: app, configFile: false, logLevel: 'warn', server: { port: 0 }, preview: { port: 0 } }
  let browser: Browser
  beforeAll(async () => {
    browser = await chromium.launch(launchOptions())
    await build({ ...config, mode: 'production' })
  })
  afterAll(() => browser.close())

  /** What the app printed, and the workers it runs. */
  async function visit(url: string | undefined) {
    const page = await browser.newPage()
    onTestFinished(() => page.close())
    await page.goto(url ?? '')
    const output = page.locator('output:not(:empty)')
    return { printed: await output.textContent({ timeout: 30_000 }), workers: page.workers().map((worker) => new URL(worker.url()).protocol) }
  }

  it('runs a job when built', async () => {
    const server = await preview(config)
    onTestFinished(() => server.close())
    expect(await visit(server.resolvedUrls?.local[0])).toEqual({ printed: 'hello harbour', workers: ['http:'] })
  })

  it.each([
    ["require-trusted-types-for 'script'; trusted-types holdfast", ['http:']],
    ['worker-src blob:', ['blob:']],
    ["worker-src 'none'", []],
  ])('runs a job under the policy %s', async (policy, workers) => {
    const server = await preview({ ...config, preview: { port: 0, headers: { 'content-security-policy': policy } } })
    onTestFinished(() => server.close())
    expect(await visit(server.resolvedUrls?.local[0])).toEqual({ printed: 'hello harbour', workers })
  })

  it('runs a job in development', async () => {
    const server = await createServer(config)
    onTestFinished(() => server.close())
    await server.listen()
    expect(await visit(server.resolvedUrls?.local[0])).toEqual({ printed: 'hello harbour', workers: ['http:'] })
  })
})

it('has types that a strict app accepts', () => {
  run(app, join(root, 'node_modules/.bin/tsc'))
})

it('is well formed', async () => {
  const { messages } = await publint({ pkgDir: installed, pack: false, strict: true })
  expect(messages).toEqual([])
  run(app, join(root, 'node_modules/.bin/attw'), tarball, '--profile', 'esm-only')
})

it('keeps what a page loads within 6000 bytes, minified and compressed', async () => {
  // As an app that opens a queue gets it: what it does not import is left out, and what loads later is another file.
  const entry = join(app, 'entry.js')
  writeFileSync(entry, "import { openQueue } from 'holdfast'\nconsole.log(openQueue)\n")
  const bundle = await rolldown({ input: entry, external: Object.keys(dependencies), platform: 'browser' })
  const { output } = await bundle.generate({ format: 'esm', minify: true })
  await bundle.close()
  const chunks = new Map(output.flatMap((chunk) => (chunk.type === 'chunk' ? [[chunk.fileName, chunk]] : [])))
  const loaded = new Set([output[0].fileName])
  for (const name of loaded) for (const imported of chunks.get(name)?.imports ?? []) if (chunks.has(imported)) loaded.add(imported)
  const size = [...loaded].reduce((sum, name) => sum + gzipSync(chunks.get(name)?.code ?? '', { level: 9 }).length, 0)
  console.log(`the page's part: ${size} bytes, minified and compressed`)
  expect(size).toBeLessThanOrEqual(6000)
})

it('keeps the worker within 49 500 bytes as it is shipped, compressed', () => {
  const size = gzipSync(readFileSync(join(installed, 'dist/worker.js')), { level: 9 }).length
  console.log(`dist/worker.js: ${size} bytes, compressed`)
  expect(size).toBeLessThanOrEqual(49_500)
})

it('ships the service worker as one file that needs no other, and what a page needs of it within 700 bytes', async () => {
  const read = (file: string): string => readFileSync(join(installed, 'dist', file), 'utf8')
  expect(read('service-worker.js')).not.toMatch(/\bimport\b[ ({"'`]|new Worker\b|importScripts/)
  const bundle = await rolldown({ input: join(app, 'sw.ts'), platform: 'browser' })
  const { output } = await bundle.generate({ format: 'iife', minify: true })
  await bundle.close()
  expect(output).toHaveLength(1)
  const [service, page] = [output[0].code, read('service-worker-page.js')].map((code) => gzipSync(code, { level: 9 }).length)
  console.log(`an app's service worker: ${service} bytes, a page's part of it: ${page}, compressed`)
  expect(service).toBeLessThanOrEqual(66_000)
  expect(page).toBeLessThanOrEqual(700)
})
