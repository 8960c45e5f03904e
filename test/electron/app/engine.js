// Runs jobs in the engine page, and tells what it hears.
import { openQueue } from 'holdfast/electron/renderer'

const notes = document.querySelector('meta[name=notes]').content
const note = (what, id) => { fetch(notes, { method: 'POST', mode: 'no-cors', keepalive: true, body: `${what} ${id} ${Date.now()}` }).catch(() => {}) }
const queue = await openQueue('test', location.search === '?via' ? { http: { via: 'main' } } : {})
window.queue = queue
queue.on('completed', ({ id }) => { note('completed', id) })
queue.on('active', ({ id }) => { note('active', id) })
await queue.process('page', async (job) => {
  note('start', job.id)
  await new Promise((resolve) => { setTimeout(resolve, job.data.ms ?? 20) })
  return 'done'
}, { concurrency: 2 })
