/** What the browser says of the origin's storage, in bytes; undefined where it does not. */
export type Estimate = () => Promise<{ readonly usage: number; readonly quota: number } | undefined>

export const browserEstimate: Estimate = async () => {
  const { usage, quota } = await globalThis.navigator?.storage?.estimate?.().catch(() => undefined) ?? {}
  return usage === undefined || !quota ? undefined : { usage, quota }
}
