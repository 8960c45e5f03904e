/**
 * workbox-background-sync as it ships: its writes are relaxed and it deletes a request before it is sent, so it promises less than the others.
 * Its shift reads in one transaction and deletes in another: two at once get the same request, so there is no concurrency to measure.
 */
import { Queue } from 'workbox-background-sync'
import { jobData, tally, type Contestant } from '../contestant.ts'

// The only thing it wants of a service worker; without `sync` in it, it calls `onSync` once at the start.
if (!('registration' in self)) Object.assign(self, { registration: {} })

export function create(): Contestant {
  let queue: Queue | undefined
  return {
    serial: true,
    async open(name) {
      // It keeps one database for all queues, and a name can be used once in a realm.
      queue ??= new Queue(name, { forceSyncFallback: true, onSync: () => Promise.resolve() })
      await queue.size()
    },
    push: n => queue!.pushRequest({ request: new Request('https://example.com/', { method: 'POST', body: JSON.stringify(jobData(n)) }) }),
    async drain(_concurrency, enough) {
      const { seen, saw } = tally(enough)
      for (;;) {
        const entry = await queue!.shiftRequest()
        if (!entry) return seen
        const data = await entry.request.json() as { n: number }
        if (saw(data.n)) return seen
      }
    },
    waiting: () => queue!.size(),
    // It never closes its connection, which would block a delete.
    wipe: () => new Promise<void>((resolve, reject) => {
      const request = indexedDB.open('workbox-background-sync')
      request.onerror = () => reject(request.error)
      request.onsuccess = () => {
        const db = request.result
        const tx = db.transaction('requests', 'readwrite')
        tx.objectStore('requests').clear()
        tx.oncomplete = () => { db.close(); resolve() }
        tx.onabort = () => reject(tx.error)
      }
    }),
    async close() { /* see wipe */ },
  }
}
