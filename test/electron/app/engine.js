// Runs jobs in the engine page, and tells what it hears.
import { openQueue } from 'holdfast/electron/renderer'

const notes = document.querySelector('meta[name=notes]').content
const note = (what, id) => { fetch(notes, { method: 'POST', mode: 'no-cors', keepalive: true, body: `${what} ${id} ${Date.now()}` }).catch(() => {}) }
const queue = await openQueue('test', location.search === '?via' ? { http: { via: 'main' } } : {})
window.queue = queue
// It may say things to itself.
window.postMessage('hello', location.origin)
queue.on('completed', ({ id }) => { note('completed', id) })
queue.on('active', ({ id }) => { note('active', id) })
await queue.process('page', async (job) => {
  note('start', job.id)
  await new Promise((resolve) => { setTimeout(resolve, job.data.ms ?? 20) })
  if (job.name === 'cycle') {
    const held = { blob: new Blob(['four']) }
    return Object.assign(held, { self: held })
  }
  return 'done'
}, { concurrency: 2 })
