/** Whether the network may be there. `false` is believed from whoever says it, the page or this realm; `true` is only "not known to be off". */
export interface Connectivity {
  readonly online: boolean
  /** What the page knows. */
  hint(online: boolean): void
  /** Called on every change, and on every sign that the network may be back; returns how to stop. */
  watch(listener: (online: boolean) => void): () => void
  close(): void
}

export function browserConnectivity(): Connectivity {
  const here = (): boolean => globalThis.navigator?.onLine !== false
  let page = true
  const listeners = new Set<(online: boolean) => void>()
  const tell = (): void => { for (const listener of listeners) listener(here() && page) }
  const target = globalThis as unknown as EventTarget
  target.addEventListener?.('online', tell)
  target.addEventListener?.('offline', tell)
  return {
    get online() { return here() && page },
    hint(online) { page = online; tell() },
    watch(listener) { listeners.add(listener); return () => { listeners.delete(listener) } },
    close() { target.removeEventListener?.('online', tell); target.removeEventListener?.('offline', tell) },
  }
}
