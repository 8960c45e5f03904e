import { queueFetch, serveSync } from 'holdfast/service-worker'

const queue = serveSync('consumer')
queueFetch(queue, ({ url, request }) => url.pathname.startsWith('/api/') && request.method === 'POST', { tags: ['page'], always: false })
addEventListener('push', (event) => {
  (event as Event & { waitUntil(work: Promise<unknown>): void }).waitUntil(queue.use((handle) => handle.push('greetings', 'hello', { name: 'harbour' })))
})
