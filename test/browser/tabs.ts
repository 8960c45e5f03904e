/** Tabs in one test page: the library loaded several times, each copy with its own client and worker. Tab 0 is the copy that tests import. */
import type { OpenOptions, openQueue as open, Queue } from 'holdfast'

interface Library { readonly openQueue: typeof open }

export async function loadTab(n: number): Promise<Library> {
  if (n === 0) return import('holdfast')
  const copy = `/src/index.ts?tab=${n}`
  return await import(/* @vite-ignore */ copy) as Library
}

const opened: Queue[] = []
let n = 0

export const freshName = (): string => `t-${Date.now()}-${n++}`

export async function openTab(tab: number, name: string, options?: OpenOptions): Promise<Queue> {
  const { openQueue } = await loadTab(tab)
  const queue = await openQueue(name, options)
  opened.push(queue)
  return queue
}

export async function closeAll(): Promise<void> {
  for (const queue of opened.splice(0)) await queue.close()
}

/** The workers that pages start from now on, so that a test can kill one. */
export function captureWorkers(): { readonly workers: Worker[]; restore(): void } {
  const Real = globalThis.Worker
  const workers: Worker[] = []
  globalThis.Worker = class extends Real {
    constructor(url: string | URL, options?: WorkerOptions) { super(url, options); workers.push(this) }
  }
  return { workers, restore: () => { globalThis.Worker = Real } }
}

export const until = async (what: () => boolean | Promise<boolean>, ms = 10_000): Promise<void> => {
  const end = performance.now() + ms
  while (!await what()) {
    if (performance.now() > end) throw new Error(`not within ${ms} ms: ${what.toString()}`)
    await new Promise((resolve) => { setTimeout(resolve, 10) })
  }
}
