/** The rooms of src/ and the direction of their imports. */
import { readFileSync, readdirSync } from 'node:fs'
import { dirname, join, relative } from 'node:path'
import { fileURLToPath } from 'node:url'
import { expect, it } from 'vitest'

const root = fileURLToPath(new URL('../', import.meta.url))
const sources = (folder: string) => readdirSync(join(root, folder), { recursive: true, encoding: 'utf8' })
  .filter((file) => /\.tsx?$/.test(file)).map((file) => join(folder, file))
const code = (file: string) => readFileSync(join(root, file), 'utf8').replace(/\/\*.*?\*\/|(?<=^|\s)\/\/.*?$/gms, '')
const room = (file: string) => /^src\/(\w+)\//.exec(file)?.[1] ?? file

interface Import { readonly from: string; readonly type: boolean; readonly lazy: boolean }
/** Paths from the root of the tree, or package names. */
const imports = (file: string): Import[] =>
  [...code(file).matchAll(/\b(?:import|export)\s*(type\b)?[\w\s{},*$]*(\()?\s*['"]([^'"]+)['"]/g)].map(([, type, lazy, path = '']) => ({
    from: path.startsWith('.') ? relative(root, join(root, dirname(file), path)) : path, type: type !== undefined, lazy: lazy !== undefined,
  }))

/** What the files of a room may import besides each other: a room, a file, a package; with `type` before it, only its types. */
const allowed: Record<string, readonly string[]> = {
  core: [],
  store: ['core', 'type src/queue.ts'],
  platform: ['type core', 'type src/queue.ts', 'croner'],
  runner: ['core', 'type platform', 'type src/queue.ts'],
  engine: ['core', 'runner', 'store', 'type platform', 'type src/queue.ts'],
  // The public handle, in other processes.
  electron: ['core', 'src/index.ts', 'type src/queue.ts', 'src/door/event-stream.ts', 'electron'],
  door: ['core', 'store', 'platform', 'runner', 'engine', 'type src/queue.ts', 'comlink'],
}

it('knows each room', () => {
  expect(readdirSync(join(root, 'src'), { withFileTypes: true }).filter((entry) => entry.isDirectory()).map(({ name }) => name).sort()).toEqual(Object.keys(allowed).sort())
})

it.each(Object.entries(allowed))('%s imports what it may', (name, may) => {
  const forbidden = sources(`src/${name}`).flatMap((file) => imports(file)
    .filter(({ from, type }) => {
      const all = [name, ...may, ...(type ? may.map((each) => each.replace('type ', '')) : [])]
      return !all.includes(room(from)) && !all.includes(from) && !(name === 'electron' && from.startsWith('node:'))
    })
    .map(({ from, type }) => `${file}: import ${type ? 'type ' : ''}${from}`))
  expect(forbidden).toEqual([])
})

it('keeps the page small: its entry reaches neither engine nor store', () => {
  const reached = new Set(['src/index.ts'])
  for (const file of reached) for (const { from, type, lazy } of imports(file)) if (!type && !lazy && from.startsWith('src/')) reached.add(from)
  expect([...reached].filter((file) => ['engine', 'store'].includes(room(file)))).toEqual([])
})

it('leaves the database to the store and comlink to the door', () => {
  expect(sources('src').filter((file) => room(file) !== 'store' && /\bindexedDB\.|\bIDB[A-Z]\w+\./.test(code(file)))).toEqual([])
  expect(sources('src').filter((file) => room(file) !== 'door' && imports(file).some(({ from }) => from === 'comlink'))).toEqual([])
})

it('shows the demo the public handle only', () => {
  const inner = sources('demo').flatMap(imports).map(({ from }) => from).filter((from) => from.startsWith('src/'))
  expect(inner.filter((from) => !['src/index.ts', 'src/worker.ts'].includes(from))).toEqual([])
})

it('has a pure core', () => {
  const impure = /(?<!instanceof |[.\w$])(Date|Math\.random|async|await|Promise|setTimeout|setInterval|setImmediate|queueMicrotask|performance|navigator|crypto|fetch|console|indexedDB|localStorage|window|document|self|globalThis|process)\b(?!['"]|\??:)/
  const named = sources('src/core').flatMap((file) => code(file).split('\n').map((line) => `${file}: ${line.trim()}`).filter((line) => impure.test(line.slice(file.length))))
  expect(named).toEqual([])
})
