/** Numbers and times as the instrument writes them. */

const THIN = '\u2009'

export const count = (n: number): string => String(n).replace(/\B(?=(\d{3})+$)/g, THIN)

export const plural = (n: number, one: string, many = `${one}s`): string => `${count(n)} ${n === 1 ? one : many}`

/** `0.4 s`, `12 s`, `3 min`, `2 h`. */
export function duration(ms: number): string {
  const s = Math.max(0, ms) / 1000
  if (s < 9.95) return `${s.toFixed(1)} s`
  if (s < 100) return `${Math.round(s)} s`
  if (s < 5400) return `${Math.round(s / 60)} min`
  return `${Math.round(s / 3600)} h`
}

/** A wait in whole seconds, rounded up, so that it ends at 1 and not at 0. */
export function wait(ms: number): string {
  return ms < 100_000 ? `${Math.max(1, Math.ceil(ms / 1000))} s` : duration(ms)
}

export const ago = (ms: number): string => ms < 1500 ? 'just now' : `${wait(ms - 999)} ago`

export const clock = (at: number): string => new Date(at).toLocaleTimeString('en-GB')

export const shortId = (id: string): string => id.length > 12 ? `${id.slice(0, 4)}…${id.slice(-5)}` : id
