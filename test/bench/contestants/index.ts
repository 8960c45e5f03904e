import type { Contestant } from '../contestant.ts'

/** Each in the realm that is faster for it; holdfast is called from the page and brings its own worker. */
export const contestants = {
  'bare page': { realm: 'page', load: () => import('./bare.ts') },
  'bare worker': { realm: 'worker', load: () => import('./bare.ts') },
  holdfast: { realm: 'page', load: () => import('./holdfast.ts') },
  'holdfast worker': { realm: 'page', load: () => import('./holdfast-worker.ts') },
  plain: { realm: 'worker', load: () => import('./plain.ts') },
  dexie: { realm: 'worker', load: () => import('./dexie.ts') },
  workbox: { realm: 'worker', load: () => import('./workbox.ts') },
  tanstack: { realm: 'page', load: () => import('./tanstack.ts') },
} satisfies Record<string, { realm: 'page' | 'worker'; load: () => Promise<{ create: () => Contestant }> }>

export type Name = keyof typeof contestants
