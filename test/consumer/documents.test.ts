/** The documents as their readers use them: their code is pasted, their tables are looked up. */
import { spawnSync } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { chromium, type Browser } from 'playwright-core'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { createQueue } from 'holdfast'
import { launchOptions } from '../../scripts/chromium.mjs'
import { brokenLinks, DOCUMENTS, read, root, writeApp } from './documents.ts'
import { shop } from './shop.ts'

const app = writeApp()
afterAll(() => { app.remove() })

it('has code that the compiler accepts as it stands', () => {
  const config = { extends: join(root, 'tsconfig.json'), compilerOptions: { types: [] }, include: [], files: app.blocks.map(({ file }) => file) }
  writeFileSync(join(app.folder, 'tsconfig.json'), JSON.stringify(config))
  const { status, stdout, stderr } = spawnSync(join(root, 'node_modules/.bin/tsc'), ['-p', app.folder], { encoding: 'utf8' })
  expect(stdout + stderr).toBe('')
  expect(status).toBe(0)
})

let browser: Browser
let server: Awaited<ReturnType<typeof app.serve>>
beforeAll(async () => {
  server = await app.serve(shop().api)
  browser = await chromium.launch(launchOptions())
})
afterAll(async () => { await browser?.close(); await server?.close() })

it.each(app.blocks.filter(({ prints }) => prints.length > 0))('$file prints what it says', async ({ file, prints }) => {
  const page = await browser.newPage()
  const printed: string[] = []
  page.on('console', (message) => { if (message.type() === 'log') printed.push(message.text()) })
  page.on('pageerror', (error) => { printed.push(String(error)) })
  await page.goto(`${server.url}${file}.html`)
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
  return [...(new RegExp(`(?:export type|const) ${name} = ?\\[?\\n(.*?)\\n(?:\\n|\\])`, 's').exec(text)?.[1] ?? '').matchAll(/'([^']+)'/g)].map(([, literal = '']) => literal)
}

it.each([
  ['src/queue.ts', 'Queue'], ['src/queue.ts', 'OpenOptions'], ['src/queue.ts', 'QueueSettings'], ['src/queue.ts', 'Context'], ['src/queue.ts', 'Processor'],
  ['src/queue.ts', 'FetchInit', 'docs/requests.md'], ['src/queue.ts', 'FetchOptions', 'docs/requests.md'], ['src/queue.ts', 'Filter'], ['src/queue.ts', 'ListFilter'], ['src/core/event.ts', 'TYPES'], ['src/core/push.ts', 'PushOptions'], ['src/core/errors.ts', 'ErrorCode'],
  ['src/electron/main.ts', 'MainOptions', 'docs/electron.md'], ['src/electron/main.ts', 'DesktopQueue', 'docs/electron.md'],
])('leaves out nothing of %s: %s', (file, name, document = 'docs/reference.md') => {
  const names = members(file, name)
  expect(names.length).toBeGreaterThan(1)
  const code = [...read(document).matchAll(/`+[^`]+`+/g)].join('\n')
  expect(names.filter((member) => !new RegExp(`(?<![\\w-])${member}(?![\\w-])`).test(code))).toEqual([])
})

it.each(DOCUMENTS)('%s points at what is there', (document) => {
  expect(brokenLinks(document)).toEqual([])
})
