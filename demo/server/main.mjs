/** The mail API on its own, for pages that are not served by Vite (the desktop app): `node demo/server/main.mjs [port]`. */
import { fileURLToPath } from 'node:url'
import { serve } from '@hono/node-server'
import { runnerImport } from 'vite'

// Node 20 does not read TypeScript; Vite, which the demo needs anyway, does.
const { module } = await runnerImport(fileURLToPath(new URL('./mail-api.ts', import.meta.url)))
const port = Number(process.argv[2] ?? process.env.PORT ?? 4040)
serve({ fetch: module.createMailApi().fetch, port, hostname: '127.0.0.1' }, () => console.log(`Harbour Mail answers on http://127.0.0.1:${port}/api/`))
