/** The engine in the page's own realm: `worker: false`, and the last resort where no worker can start. Loaded only then. */
import { exposeHost } from './host.ts'

export function realmHost(): MessagePort {
  const { port1, port2 } = new MessageChannel()
  exposeHost([], port1)
  port1.start()
  port2.start()
  return port2
}
