/** Events as an async iterable. */
import { checkEvent } from '../core/event.ts'
import { checkName, LIMITS } from '../core/limits.ts'
import { listOf } from '../core/rules.ts'
import type { EventType, QueueEvent } from '../queue.ts'
import { optionsOf } from './options.ts'
import { stopOf } from './stop.ts'

export interface EventsOptions { readonly queue?: string; readonly types?: readonly EventType[]; readonly signal?: AbortSignal }

const checkTypes = listOf(checkEvent)

/** Those `heard` that are asked for, as they come; `woken` is told whom to call when there is another. */
export async function* eventStream(heard: QueueEvent[], woken: (call: () => void) => void, closed: AbortSignal, options?: EventsOptions): AsyncGenerator<QueueEvent> {
  const { queue, types, signal } = optionsOf(options, 'options', 'queue', 'types', 'signal')
  if (queue !== undefined) checkName('options.queue', queue, LIMITS.queueName)
  if (types) checkTypes('options.types', types)
  const stop = stopOf(signal, closed)
  let wake = (): void => {}
  woken(() => { wake() })
  const stopped = (): void => { wake() }
  stop.addEventListener('abort', stopped)
  try {
    while (!stop.aborted) {
      const event = heard.shift()
      if (!event) await new Promise<void>((resolve) => { wake = resolve })
      else if ((queue === undefined || event.queue === queue) && (!types || types.includes(event.type))) yield event
    }
  } finally { stop.removeEventListener('abort', stopped) }
}
