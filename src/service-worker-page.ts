/** `holdfast/service-worker/page`: what a page does so that its requests also go out when its last tab was closed. */
import { askForSync } from './platform/background-sync.ts'
import type { Queue, QueueMap } from './queue.ts'

/**
 * The same handle, whose `fetch` also asks the browser to start the service worker when there is a network, where browser and app have what that takes.
 * It asks now as well, for what an earlier visit left.
 */
export function withSync<M extends QueueMap>(queue: Queue<M>): Queue<M> {
  let asked = false
  let asking = false
  async function ask(): Promise<void> {
    asked = true
    if (asking) return
    asking = true
    while (asked) {
      asked = false
      // Where nothing is ever registered it never comes, and nobody waits for it.
      await askForSync(await navigator.serviceWorker.ready, queue.name)
    }
    asking = false
  }
  const soon = (): void => { if (globalThis.navigator?.serviceWorker !== undefined) ask().catch(() => {}) }
  soon()
  return {
    ...queue,
    async fetch(...args) {
      const id = await queue.fetch(...args)
      soon()
      return id
    },
  }
}
