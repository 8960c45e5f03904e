/** Events as an async iterable. */
import type { EventType, QueueEvent } from '../queue.ts'
import type { Client } from './client.ts'

export interface EventsOptions { readonly queue?: string; readonly types?: readonly EventType[]; readonly signal?: AbortSignal }

export async function* eventStream(client: Client, { queue, types, signal }: EventsOptions = {}): AsyncGenerator<QueueEvent> {
  const waiting: QueueEvent[] = []
  let wake = (): void => {}
  const off = client.on('*', (event) => {
    if ((queue !== undefined && event.queue !== queue) || (types && !types.includes(event.type))) return
    waiting.push(event)
    wake()
  })
  const stop = AbortSignal.any(signal ? [signal, client.closed] : [client.closed])
  stop.addEventListener('abort', () => { wake() })
  try {
    while (!stop.aborted) {
      const event = waiting.shift()
      if (event) yield event
      else await new Promise<void>((resolve) => { wake = resolve })
    }
  } finally { off() }
}
