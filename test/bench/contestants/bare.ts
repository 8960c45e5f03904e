/** The floor: a put and a commit, strict, and nothing else. Not a queue. */
import { deleteDatabase, jobData, type Contestant } from '../contestant.ts'

export function create(): Contestant {
  let db: IDBDatabase
  return {
    async open(name) {
      db = await new Promise<IDBDatabase>((resolve, reject) => {
        const request = indexedDB.open(name, 1)
        request.onupgradeneeded = () => request.result.createObjectStore('jobs')
        request.onsuccess = () => resolve(request.result)
        request.onerror = () => reject(request.error)
      })
    },
    push: n => new Promise<void>((resolve, reject) => {
      const tx = db.transaction('jobs', 'readwrite', { durability: 'strict' })
      tx.objectStore('jobs').put(jobData(n), n)
      tx.commit()
      tx.oncomplete = () => resolve()
      tx.onabort = () => reject(tx.error)
    }),
    waiting: () => new Promise<number>((resolve, reject) => {
      const request = db.transaction('jobs').objectStore('jobs').count()
      request.onsuccess = () => resolve(request.result)
      request.onerror = () => reject(request.error)
    }),
    async wipe() { db.close(); await deleteDatabase(db.name) },
    async close() { db.close() },
  }
}
