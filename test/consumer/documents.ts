/** The documents as their readers use them: their code, written out as files of an app that Vite serves. */
import { existsSync, mkdirSync, mkdtempSync, readFileSync, realpathSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { basename, dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { getRequestListener } from '@hono/node-server'
import type { Hono } from 'hono'
import { createServer } from 'vite'

export const root = fileURLToPath(new URL('../../', import.meta.url))
export const read = (file: string): string => readFileSync(join(root, file), 'utf8')

export const DOCUMENTS = ['README.md', 'docs/reference.md', 'docs/requests.md', 'docs/limits.md', 'docs/speed.md', 'docs/recipes.md', 'docs/electron.md']

export interface Block { readonly file: string; readonly code: string; readonly prints: readonly string[] }

/**
 * A block that begins with `// name.ts` is that file, and one that opens a queue stands on its own too; others have a queue already. A line that ends with
 * `// → text` prints that text. Each document has a folder.
 */
const blocksOf = (document: string): Block[] => [...read(document).matchAll(/^```ts\n(.*?)^```/gms)].map(([, code = ''], i) => {
  const name = /^\/\/ (\S+\.ts)\n/.exec(code)?.[1]
  return {
    file: join(basename(document, '.md'), name ?? `block-${i + 1}.ts`),
    code: name !== undefined || /openQueue[<(]/.test(code) ? code : `${code}\ndeclare const queue: import('holdfast').Queue\nexport {}\n`,
    prints: [...code.matchAll(/ \/\/ → (.+)$/gm)].map(([, text = '']) => text),
  }
})

export interface App { readonly folder: string; readonly blocks: readonly Block[]; serve(api: Hono): Promise<{ readonly url: string; close(): Promise<void> }>; remove(): void }

export function writeApp(): App {
  const folder = realpathSync(mkdtempSync(join(tmpdir(), 'holdfast-documents-')))
  const blocks = DOCUMENTS.flatMap(blocksOf)
  for (const { file, code } of blocks) {
    mkdirSync(dirname(join(folder, file)), { recursive: true })
    writeFileSync(join(folder, file), code)
    writeFileSync(join(folder, `${file}.html`), `<!doctype html><html><head><title>${file}</title></head><body><script type="module" src="/${file}"></script></body></html>`)
  }
  symlinkSync(join(root, 'node_modules'), join(folder, 'node_modules'))
  return {
    folder, blocks,
    async serve(api) {
      const listener = getRequestListener(api.fetch)
      const server = await createServer({
        root: folder, configFile: join(root, 'vite.config.ts'), mode: 'test', logLevel: 'error', cacheDir: join(folder, '.vite'),
        server: { host: '127.0.0.1', port: 0, hmr: false, watch: null, fs: { allow: [folder] } },
        plugins: [{ name: 'what the documents ask', configureServer({ middlewares }) { middlewares.use((request, response, next) => { if (request.url?.startsWith('/api/')) void listener(request, response); else next() }) } }],
      })
      await server.listen()
      return { url: server.resolvedUrls?.local[0] ?? '', close: () => server.close() }
    },
    remove() { rmSync(folder, { recursive: true, force: true }) },
  }
}

/** Links of a document that lead nowhere. */
export function brokenLinks(document: string): string[] {
  const anchorsOf = (text: string): string[] => [...text.matchAll(/^#+ (.+)$/gm)].map(([, heading = '']) => heading.toLowerCase().replace(/[^\w -]/g, '').replaceAll(' ', '-'))
  return [...read(document).matchAll(/\]\((?!https?:)([^)]+)\)/g)].map(([, link = '']) => link).filter((link) => {
    const [path = '', anchor] = link.split('#')
    const file = path === '' ? document : join(dirname(document), path)
    return !existsSync(join(root, file)) || (anchor !== undefined && !anchorsOf(read(file)).includes(anchor))
  })
}
