/** The engine page's end of the port to main: serves the handle, hears of the network, and runs the jobs of Node handlers. */
import { toEnvelope } from '../core/envelope.ts'
import type { Queue } from '../queue.ts'
import { hearMain } from './network.ts'
import { nodeProcessor, type NodeProcessor } from './node-processor.ts'
import { PORT, type Bridge, type RemoteMethod, type ToEngine, type ToMain } from './protocol.ts'
import { portable } from './portable.ts'

const METHODS: ReadonlySet<string> = new Set<RemoteMethod>([
  'push', 'pushMany', 'fetch', 'pull', 'ack', 'ackMany', 'fail', 'heartbeat', 'progress', 'release', 'snooze', 'waitFor', 'cancel', 'promote', 'update', 'retry', 'remove',
  'retryAll', 'removeAll', 'get', 'list', 'stats', 'queues', 'configure', 'pause', 'resume', 'setUser', 'forgetUser', 'storage', 'verify', 'salvage', 'reset',
])

/** Asks main for a port, and serves it. */
export function serveMain(queue: Queue, bridge: Bridge): void {
  const take = ({ source, data, ports: [port] }: MessageEvent): void => {
    if (source !== window || data !== PORT || !port) return
    window.removeEventListener('message', take)
    serve(queue, port)
  }
  window.addEventListener('message', take)
  bridge.connect(queue.name)
}

function serve(queue: Queue, port: MessagePort): void {
  const say = (message: ToMain): void => { port.postMessage(message) }
  const waits = new Map<number, AbortController>()
  const nodes = new Map<number, NodeProcessor>()
  const network = hearMain()
  let off = (): void => {}

  async function call({ id, method, args }: Extract<ToEngine, { t: 'call' }>): Promise<void> {
    try {
      if (!METHODS.has(method)) throw new TypeError(`${String(method)} cannot be called from main`)
      const stop = new AbortController()
      waits.set(id, stop)
      const all = method === 'waitFor' ? [args[0], { ...Object(args[1]) as object, signal: stop.signal }] : args
      const value = await (queue[method] as (...args: readonly unknown[]) => unknown)(...all)
      say({ t: 'reply', id, reply: { value: portable(value) } })
    } catch (error) { say({ t: 'reply', id, reply: { error: toEnvelope(error) } }) } finally { waits.delete(id) }
  }

  async function close(drainMs: number): Promise<void> {
    const end = performance.now() + drainMs
    await Promise.all([...nodes.values()].map((node) => node.drain(drainMs)))
    await queue.close({ drainMs: Math.max(0, end - performance.now()) })
  }

  port.onmessage = ({ data, ports: [given] }: MessageEvent<ToEngine>) => {
    switch (data.t) {
      case 'call': void call(data); break
      case 'forget': waits.get(data.id)?.abort(); break
      case 'listen':
        off()
        off = data.on ? queue.on('*', (event) => { say({ t: 'events', events: [event] }) }) : () => {}
        break
      case 'network': network.say(data.online); break
      case 'woke': network.sign(); break
      case 'handlers': if (given) nodes.set(data.id, nodeProcessor(queue, given, data, () => { say({ t: 'stuck', id: data.id }) })); break
      case 'gone': nodes.get(data.id)?.gone(data); nodes.delete(data.id); break
      case 'close': close(data.drainMs).catch(() => {}).finally(() => { say({ t: 'closed' }) }); break
    }
  }
}
