/** What is measured. Every measure ends by comparing what is stored with what should be. */
import type { Contestant, Enough } from './contestant.ts'

export interface Sizes {
  /** Awaited pushes, and how long at most. */
  readonly push: Enough
  readonly burst: number
  readonly pushMany: number
  readonly drain: Enough
  /** Jobs in the queue before a drain that starts empty: for those with pushMany, and for the others. */
  readonly preload: readonly [bulk: number, single: number]
  /** Times 50 jobs. */
  readonly batch: number
}

/** `rate` in jobs per second; the others in ms, each a p50. */
export type Result = { readonly [what in 'rate' | 'push' | 'pull' | 'ack' | 'stats' | 'claim' | 'request']?: number }

export type Measure = 'push' | 'burst' | 'pushMany' | 'drain1' | 'drain16' | 'batch'

let serial = 0
const numbers = (count: number): number[] => Array.from({ length: count }, () => ++serial)

export const median = (values: readonly number[]): number => {
  const sorted = [...values].sort((a, b) => a - b)
  const middle = sorted.length >> 1
  return sorted.length % 2 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2
}

function check(what: string, expected: number, found: number): void {
  if (expected !== found) throw new Error(`${what}: expected ${expected}, found ${found}`)
}

const chunkOf = (it: Contestant): number => it.pushMany ? 10_000 : 1000

async function add(it: Contestant, count: number): Promise<void> {
  const chunk = chunkOf(it)
  for (let left = count; left > 0; left -= chunk) {
    const some = numbers(Math.min(chunk, left))
    if (it.pushMany) await it.pushMany(some)
    else await Promise.all(some.map(n => it.push(n)))
  }
}

async function take(it: Contestant, count: number): Promise<void> {
  if (it.drop) return it.drop(count)
  if (!it.pull || !it.ack) return void await it.drain?.(1, { count, ms: Infinity })
  for (let left = count; left > 0;) {
    const jobs = await it.pull(Math.min(1000, left))
    if (jobs.length === 0) return
    await it.ack(jobs)
    left -= jobs.length
  }
}

/** Fills up to `level`, unless it foreseeably takes longer than `limitMs`. */
export async function fill(it: Contestant, level: number, limitMs: number): Promise<{ reached: boolean; ms: number }> {
  const start = performance.now()
  const from = await it.waiting()
  for (let at = from; at < level;) {
    const some = Math.min(chunkOf(it), level - at)
    await add(it, some)
    at += some
    const ms = performance.now() - start
    const foreseen = ms / (at - from) * (level - from)
    if (foreseen > limitMs && ms > limitMs / 8) return { reached: false, ms: foreseen }
  }
  check('filled', level, await it.waiting())
  return { reached: true, ms: performance.now() - start }
}

export const TOLERANCE = 0.25

/** Back to the level after measures have added and taken; says how many are waiting. A quarter more or less makes no difference to anybody. */
export async function settle(it: Contestant, level: number): Promise<number> {
  const surplus = await it.waiting() - level
  if (Math.abs(surplus) <= level * TOLERANCE) return level + surplus
  if (surplus > 0) await take(it, surplus)
  else await add(it, -surplus)
  const settled = await it.waiting()
  // A drain does not stop at the very job.
  if (Math.abs(settled - level) > level * TOLERANCE) throw new Error(`settled: expected ${level}, found ${settled}`)
  return settled
}

/** With `before` jobs waiting. `undefined`: it has no such operation. */
export async function measure(it: Contestant, what: Measure, sizes: Sizes, before: number): Promise<Result | undefined> {
  switch (what) {
    case 'push': return pushes(it, sizes.push, before + await warmUp(it))
    case 'burst': return pushed(it, sizes.burst, some => Promise.all(some.map(n => it.push(n))), before + await warmUp(it))
    case 'pushMany': return it.pushMany && pushed(it, sizes.pushMany, some => it.pushMany!(some), before + await warmUp(it))
    case 'drain1': return drain(it, 1, sizes, before)
    case 'drain16': return drain(it, 16, sizes, before)
    case 'batch': return batches(it, sizes.batch, before)
  }
}

/** What a database just opened does first is not what is measured. */
async function warmUp(it: Contestant): Promise<number> {
  for (let i = 0; i < 10; i++) await it.push(++serial)
  return 10
}

async function pushes(it: Contestant, { count, ms }: Enough, before: number): Promise<Result> {
  const took: number[] = []
  const start = performance.now()
  for (let last = start; took.length < count && last - start < ms;) {
    await it.push(++serial)
    const now = performance.now()
    took.push(now - last)
    last = now
  }
  const rate = took.length / (performance.now() - start) * 1000
  check('pushed', before + took.length, await it.waiting())
  return { rate, push: median(took) }
}

async function pushed(it: Contestant, count: number, push: (numbers: number[]) => Promise<unknown>, before: number): Promise<Result> {
  const some = numbers(count)
  const start = performance.now()
  await push(some)
  const rate = count / (performance.now() - start) * 1000
  check('pushed', before + count, await it.waiting())
  return { rate }
}

async function drain(it: Contestant, concurrency: number, { drain: enough, preload: [bulk, single] }: Sizes, before: number): Promise<Result | undefined> {
  if (!it.drain || it.serial && concurrency > 1) return undefined
  const there = before || await load(it, it.pushMany ? bulk : single)
  await it.prepare?.(concurrency)
  const start = performance.now()
  const seen = await it.drain(concurrency, { ...enough, count: Math.min(enough.count, there) })
  const rate = seen.length / (performance.now() - start) * 1000
  check('handled', seen.length, new Set(seen).size)
  check('left', there - seen.length, await it.waiting())
  return { rate }
}

async function batches(it: Contestant, times: number, before: number): Promise<Result | undefined> {
  if (!it.pull || !it.ack) return undefined
  const there = before || await load(it, times * 50)
  const pulls: number[] = []
  const acks: number[] = []
  const seen = new Set<number>()
  const start = performance.now()
  for (let i = 0; i < times; i++) {
    const asked = performance.now()
    const jobs = await it.pull(50)
    const got = performance.now()
    await it.ack(jobs)
    acks.push(performance.now() - got)
    pulls.push(got - asked)
    for (const job of jobs) seen.add(it.numberOf!(job))
  }
  const rate = times * 50 / (performance.now() - start) * 1000
  check('pulled', times * 50, seen.size)
  check('left', there - times * 50, await it.waiting())
  return { rate, pull: median(pulls), ack: median(acks) }
}

async function load(it: Contestant, count: number): Promise<number> {
  await add(it, count)
  return count
}
