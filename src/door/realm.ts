/** The engine in the page's own realm: `worker: false`, and the last resort where no worker can start. Loaded only then. */
import { exposeHost } from './host.ts'

export function realmHost(): MessagePort {
  const { port1, port2 } = new MessageChannel()
  const end = exposeHost([], port1)
  port1.start()
  port2.start()
  // A worker is terminated; what runs in this realm has to be told, and heard out.
  return Object.assign(port2, { async close() { await end(); port1.close() } })
}
