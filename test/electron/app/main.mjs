// @ts-check
// The app under test: its pages are in $PAGES, its Node handlers beside this file, its journal is told by $NOTES.
import { app } from 'electron'
import { main } from 'holdfast/electron/main'

const queue = main({ name: 'test', host: 'holdfast', pages: `${process.env.PAGES}/../pages/`, connect: [new URL(process.env.NOTES ?? '').origin], ...(process.env.VIA && { via: [new URL(process.env.NOTES ?? '').origin], engine: '/engine.html?via' }), window: { show: false } })
queue.handle('node', new URL('./handlers.mjs', import.meta.url), { concurrency: 2 })
/** @type {unknown[]} */
const forged = []
/** @type {unknown[]} */
const uncaught = []
Object.assign(globalThis, { queue, main, forged, uncaught })
for (const what of ['uncaughtException', 'unhandledRejection']) process.on(what, (error) => { console.error(error); uncaught.push(String(error)) })

// Asks for the port as frames would that have no right to it, before the engine page does.
if (process.env.FORGE) app.once('web-contents-created', (_event, contents) => setImmediate(() => {
  const origin = 'app://holdfast'
  for (const frame of [{ parent: null, origin: 'https://evil.invalid' }, { parent: {}, origin }, { parent: null, origin: 'null' }, { parent: null, origin: `${origin}.evil.invalid` }])
    contents.ipc.emit('holdfast:connect', { senderFrame: { ...frame, postMessage: () => forged.push(frame) } }, 'test')
  contents.ipc.emit('holdfast:connect', { senderFrame: null }, 'test')
  contents.ipc.emit('holdfast:connect', { senderFrame: { parent: null, origin, postMessage: () => forged.push('another name') } }, 'other')
}))
void app.whenReady().then(() => { if (process.env.WINDOW !== 'none') queue.open() })
