/** Web Locks as signs of life: a realm holds its own, others learn of its end when they are given it. Without the API nobody is ever known to be dead. */
export interface Locks {
  /** Holds `name` until released; resolves with `release` once held. `lost` is called when it is taken away. */
  hold(name: string, lost?: () => void): Promise<() => void>
  /** Whether anybody holds `name`. */
  isHeld(name: string): Promise<boolean>
  /** Calls back once `name` is free, that is when its holder has ended; returns how to stop waiting. */
  whenFree(name: string, call: () => void): () => void
  readonly supported: boolean
}

export const noLocks: Locks = { supported: false, hold: () => Promise.resolve(() => {}), isHeld: () => Promise.resolve(true), whenFree: () => () => {} }

export function webLocks(manager: LockManager | undefined = globalThis.navigator?.locks): Locks {
  if (!manager) return noLocks
  return {
    supported: true,
    hold: (name, lost) => new Promise((resolve, reject) => {
      manager.request(name, () => new Promise<void>((release) => { resolve(release) })).catch((error: unknown) => { reject(error); lost?.() })
    }),
    isHeld: async (name) => (await manager.query()).held?.some((lock) => lock.name === name) === true,
    whenFree(name, call) {
      const stop = new AbortController()
      // Aborting the wait is the one way this can reject.
      manager.request(name, { signal: stop.signal }, () => { call() }).catch(() => {})
      return () => { stop.abort() }
    },
  }
}
