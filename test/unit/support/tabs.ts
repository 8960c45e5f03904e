/** Tabs of one page's origin, in this process: each has its own entry and engine, and shares nothing with the others but the database. */
import 'fake-indexeddb/auto'
import { onTestFinished } from 'vitest'
import { openQueue } from '../../../src/index.ts'
import type { Queue } from '../../../src/queue.ts'
import { forget, freshName } from './database.ts'

type Open = typeof openQueue
/** `openQueue` as each tab would load it: a query makes another module of the same file. */
const ENTRIES: ReadonlyArray<() => Promise<{ openQueue: Open }>> = [
  () => Promise.resolve({ openQueue }),
  // @ts-expect-error no file has this name
  () => import('../../../src/index.ts?tab=1') as Promise<{ openQueue: Open }>,
  // @ts-expect-error no file has this name
  () => import('../../../src/index.ts?tab=2') as Promise<{ openQueue: Open }>,
]
export const entryOf = async (tab: number): Promise<Open> => (await ENTRIES[tab]!()).openQueue

/** Opens a fresh queue in so many tabs, until the test is over. */
export async function tabs(count = 1): Promise<{ readonly name: string; readonly queues: Queue[] }> {
  const name = freshName()
  const queues = await Promise.all(Array.from({ length: count }, async (_, tab) => (await entryOf(tab))(name, { worker: false })))
  onTestFinished(async () => {
    await Promise.all(queues.map((queue) => queue.close()))
    await forget(name)
  })
  return { name, queues }
}

export async function tab(): Promise<Queue> { return (await tabs()).queues[0]! }

export const after = (ms: number): Promise<void> => new Promise((resolve) => { setTimeout(resolve, ms) })

/** Waits for something to become true, and fails when it does not. */
export async function until(what: string, is: () => boolean | Promise<boolean>, withinMs = 3000): Promise<void> {
  for (const end = performance.now() + withinMs; !await is(); await after(5)) if (performance.now() > end) throw new Error(`not within ${withinMs} ms: ${what}`)
}
