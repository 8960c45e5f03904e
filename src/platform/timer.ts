/** This realm's own time. The engine gets it as a `Clock`; the page, which is to stay small, uses no more of it than this. */
const LONGEST_TIMER = 2 ** 31 - 1

/** Epoch ms; may jump. */
export const now = (): number => Date.now()

/** Calls back once after `ms`; returns how to stop it. */
export function after(ms: number, call: () => void): () => void {
  const timer = setTimeout(call, Math.min(ms, LONGEST_TIMER))
  return () => { clearTimeout(timer) }
}

/** Waits no longer than so many ms. What was waited for goes on all the same. */
export const within = <T>(ms: number, work: Promise<T>): Promise<T | void> => Promise.race([work, new Promise<void>((resolve) => { after(ms, resolve) })])
