/** Events as an async iterable. */
import { isEvent } from '../core/event.ts'
import { invalid } from '../core/errors.ts'
import { checkName, LIMITS } from '../core/limits.ts'
import { listOf } from '../core/rules.ts'
import type { EventType, QueueEvent } from '../queue.ts'
import type { Client } from './client.ts'
import { optionsOf } from './options.ts'

export interface EventsOptions { readonly queue?: string; readonly types?: readonly EventType[]; readonly signal?: AbortSignal }

const checkTypes = listOf((field, type) => { if (!isEvent(type)) throw invalid(field, `is no event (got ${String(type)})`) })

export async function* eventStream(client: Client, options?: EventsOptions): AsyncGenerator<QueueEvent> {
  const { queue, types, signal } = optionsOf(options, 'options', 'queue', 'types', 'signal')
  if (queue !== undefined) checkName('options.queue', queue, LIMITS.queueName)
  if (types) checkTypes('options.types', types)
  if (signal && !(signal instanceof AbortSignal)) throw invalid('options.signal', 'must be an AbortSignal')
  const waiting: QueueEvent[] = []
  let wake = (): void => {}
  const off = client.on('*', (event) => {
    if ((queue !== undefined && event.queue !== queue) || (types && !types.includes(event.type) && !types.includes('*' as EventType))) return
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
