/** Background Sync: the browser starts the service worker once there is a network, also after the last tab was closed. Chromium only. */
interface SyncManager { register(tag: string): Promise<void> }

export const syncTag = (name: string): string => `holdfast:${name}`

/** Whether the browser will call. That it will not (unsupported, not permitted, no window open) is no error: this is a wake-up, never the guarantee. */
export async function askForSync(registration: ServiceWorkerRegistration, name: string): Promise<boolean> {
  const { sync } = registration as { sync?: SyncManager }
  try { await sync?.register(syncTag(name)) } catch { return false }
  return sync !== undefined
}
