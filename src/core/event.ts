import { oneOf } from './rules.ts'

const TYPES = [
  'pushed', 'active', 'progress', 'completed', 'retrying', 'released', 'stalled', 'dead', 'cancelled', 'removed',
  'paused', 'resumed', 'online', 'offline', 'origin-closed', 'origin-open', 'unauthorized', 'degraded', 'recovered', 'storage-low', 'storage-lost', 'unhandled', 'outdated',
] as const
export type EventType = typeof TYPES[number]

export const checkEvent = oneOf(...TYPES)
