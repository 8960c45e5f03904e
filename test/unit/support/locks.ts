/** Web Locks of one realm, of which any can be stolen. */
import { onTestFinished, vi } from 'vitest'

interface Waiting { grant(): void }

export class FakeLocks {
  readonly #held = new Map<string, (error: Error) => void>()
  readonly #waiting = new Map<string, Waiting[]>()

  request(name: string, ...[options, use]: [() => unknown] | [{ readonly signal?: AbortSignal }, () => unknown]): Promise<unknown> {
    const call = use ?? options as () => unknown
    return new Promise((resolve, reject) => {
      const one: Waiting = { grant: () => {
        this.#held.set(name, reject)
        Promise.resolve(call()).then((value) => { if (this.#held.get(name) === reject) this.#free(name); resolve(value) }, reject)
      } }
      const all = this.#waiting.get(name) ?? []
      this.#waiting.set(name, all)
      all.push(one)
      if (use) (options as { readonly signal?: AbortSignal }).signal?.addEventListener('abort', () => { if (all.includes(one)) all.splice(all.indexOf(one), 1); reject(new Error('aborted')) })
      queueMicrotask(() => { if (!this.#held.has(name)) all.shift()?.grant() })
    })
  }

  query(): Promise<{ held: Array<{ name: string }> }> { return Promise.resolve({ held: this.names.map((name) => ({ name })) }) }
  get names(): string[] { return [...this.#held.keys()] }

  steal(name: string): void {
    this.#held.get(name)?.(new Error('stolen'))
    this.#free(name)
  }

  #free(name: string): void {
    this.#held.delete(name)
    this.#waiting.get(name)?.shift()?.grant()
  }
}

/** This realm has locks until the test is over. */
export function withLocks(): FakeLocks {
  const locks = new FakeLocks()
  vi.stubGlobal('navigator', { onLine: true, locks })
  onTestFinished(() => { vi.unstubAllGlobals() })
  return locks
}
