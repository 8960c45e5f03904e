/** An engine whose time only moves when it is told to. */
import 'fake-indexeddb/auto'
import { onTestFinished } from 'vitest'
import { createEngine, type Engine } from '../../../src/engine/engine.ts'
import type { Clock } from '../../../src/platform/clock.ts'
import type { Connectivity } from '../../../src/platform/connectivity.ts'
import { noLocks, type Locks } from '../../../src/platform/locks.ts'
import { forget, freshName } from './database.ts'
import { NOW } from './store.ts'

/** Whatever waits for the database has had its turn. */
export async function settled(): Promise<void> { for (let i = 0; i < 150; i++) await new Promise((resolve) => { setImmediate(resolve) }) }

export class ManualClock implements Clock {
  #ms = 0
  #timers: Array<{ readonly at: number; readonly call: () => void }> = []
  now(): number { return NOW + this.#ms }
  awake(): number { return this.#ms }
  parseDate(text: string): number { return Date.parse(text) }
  after(ms: number, call: () => void): () => void {
    const timer = { at: this.#ms + Math.max(0, ms), call }
    this.#timers.push(timer)
    return () => { this.#timers = this.#timers.filter((one) => one !== timer) }
  }
  /** Time passes, and no timer runs: the machine sleeps. */
  sleep(ms: number): void { this.#ms += ms }
  /** Lets time pass, timer by timer. */
  async advance(ms: number): Promise<void> {
    await settled()
    for (const end = this.#ms + ms; ;) {
      const next = this.#timers.filter(({ at }) => at <= end).sort((a, b) => a.at - b.at)[0]
      if (!next) { this.#ms = end; return }
      this.#timers = this.#timers.filter((one) => one !== next)
      this.#ms = Math.max(this.#ms, next.at)
      next.call()
      await settled()
    }
  }
}

interface Made { readonly name: string; readonly engine: Engine; readonly clock: ManualClock }

/** One that has not begun. */
export function newEngine({ locks = noLocks, connectivity = { online: true, hint() {}, watch: () => () => {}, close() {} } }: { readonly locks?: Locks; readonly connectivity?: Connectivity } = {}): Made {
  const name = freshName()
  const clock = new ManualClock()
  let tokens = 0
  const engine = createEngine({
    name, client: 'page', own: 'worker', durability: 'strict', clock, factory: indexedDB, hooks: { names: [], call: () => Promise.reject(new Error('no hook')) }, locks, estimate: () => Promise.resolve(undefined), generated() {}, connectivity,
    channel: () => ({ post() {}, close() {} }), random: () => 0.5, token: () => `token ${++tokens}`, requests() {}, hear() {},
  })
  onTestFinished(async () => { await engine.close(); await forget(name) })
  return { name, engine, clock }
}

export async function engineOf(owner: string, locks: Locks = noLocks): Promise<Made> {
  const made = newEngine({ locks })
  await made.engine.start([owner])
  return made
}
