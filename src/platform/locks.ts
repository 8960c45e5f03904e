/** Web Locks as signs of life: a realm holds its own, others learn of its end when they are given it. Without the API nobody is ever known to be dead. */
export interface Locks {
  /** Holds `name` until released; resolves with `release` once held. */
  hold(name: string): Promise<() => void>
  /** Calls back once `name` is free, that is when its holder has ended; returns how to stop waiting. */
  whenFree(name: string, call: () => void): () => void
  readonly supported: boolean
}

export function webLocks(manager: LockManager | undefined = globalThis.navigator?.locks): Locks {
  if (!manager) return { supported: false, hold: () => Promise.resolve(() => {}), whenFree: () => () => {} }
  return {
    supported: true,
    hold: (name) => new Promise((resolve, reject) => { manager.request(name, () => new Promise<void>((release) => { resolve(release) })).catch(reject) }),
    whenFree(name, call) {
      const stop = new AbortController()
      // Aborting the wait is the one way this can reject.
      manager.request(name, { signal: stop.signal }, () => { call() }).catch(() => {})
      return () => { stop.abort() }
    },
  }
}
