/** Pushing, from the page's word to what is stored: each job is checked by itself, neighbours are stored together. */
import { queueFor } from '../core/body.ts'
import { isHoldfastError, toEnvelope } from '../core/envelope.ts'
import { invalid } from '../core/errors.ts'
import type { IdRun } from '../core/id.ts'
import type { HookName } from '../core/job.ts'
import * as limits from '../core/limits.ts'
import { present } from '../core/present.ts'
import type { NewJob } from '../core/push.ts'
import * as rules from '../core/rules.ts'
import type { Engine } from '../engine/engine.ts'
import * as operations from '../store/operations.ts'
import type { Order } from './order.ts'
import type { FetchInput, PushInput, ToCaller } from './protocol.ts'
import { checkRequest } from './request.ts'

export interface PushesOptions {
  readonly engine: Engine
  /** Those that requests are pushed under. */
  readonly hooks: readonly HookName[]
  readonly say: (message: ToCaller) => void
  /** Requests were pushed into this queue. */
  readonly requests: (queue: string) => Promise<void>
  readonly order: Order
}

export interface Pushes {
  /** Separate calls, one operation: each is checked by itself, and should there not be room for all, each is tried by itself. */
  each(queue: unknown, ids: readonly number[], items: ReadonlyArray<string | PushInput | FetchInput>): Promise<void>
  /** One call: all or nothing. */
  many(call: number, queue: string, given: string | readonly PushInput[]): Promise<IdRun>
}

interface Part { readonly queue: string; readonly good: Array<{ readonly id: number; readonly job: NewJob }> }

const NONE: IdRun = { ms: 0, random: 0, first: 0, count: 0 }
/** About what a job takes when stored, beside its data. */
const JOB_BYTES = 400

export function createPushes({ engine: { space, store: { committer } }, hooks, say, requests, order }: PushesOptions): Pushes {
  const refuse = (id: number, error: unknown): void => { say({ t: 'reply', id, reply: { error: toEnvelope(error) } }) }

  /** What may be stored together, in order; what is not as it must be is refused. */
  function parted(asked: unknown, ids: readonly number[], items: ReadonlyArray<string | PushInput | FetchInput>): Part[] {
    const parts: Part[] = []
    const open = new Map<string, Part>()
    ids.forEach((id, i) => {
      try {
        const item = read(items[i])
        const job = item?.http ? newRequest(item, hooks) : newJob(item, '')
        const queue = limits.checkQueue(item?.http ? item.options?.queue ?? queueFor(job.binary) : asked)
        // Its parents may be refused, and what follows it must not come before it.
        const alone = job.options?.dependsOn !== undefined
        const part = alone ? undefined : open.get(queue)
        if (part) { part.good.push({ id, job }); return }
        const next = { queue, good: [{ id, job }] }
        parts.push(next)
        if (alone) open.delete(queue)
        else open.set(queue, next)
      } catch (error) { refuse(id, error) }
    })
    return parts
  }

  async function storeAll({ queue, good }: Part): Promise<void> {
    const ids = good.map(({ id }) => id)
    say({ t: 'pushed', ids, run: await store(queue, good.map(({ job }) => job), ids) })
  }

  async function storePart({ queue, good }: Part): Promise<void> {
    try { await storeAll({ queue, good }) } catch (error) {
      const alone = good.length > 1 && isHoldfastError(error) && error.code === 'QUOTA'
      for (const one of good) await (alone ? storeAll({ queue, good: [one] }) : Promise.reject(error as Error)).catch((cause: unknown) => { refuse(one.id, cause) })
    }
    if (good.some(({ job }) => job.http)) await requests(queue)
  }

  /** Stores the jobs of these calls if there is room for them. */
  async function store(queue: string, jobs: readonly NewJob[], ids: readonly number[]): Promise<IdRun> {
    const bytes = jobs.reduce((sum, { size, binary }) => sum + size + binary + JOB_BYTES, 0)
    const looking = space.take(bytes)
    // Waiting for nothing would still let later calls go first.
    if (looking) { order.hold(); await looking }
    return committer.submit({
      needs: [['queues', queue]], grows: true, bytes, run: (work) => operations.push(work, queue, jobs), call: { ids, reply: (value) => value },
      // Parents are looked up by index.
      ...(jobs.some(({ options }) => options?.dependsOn) ? { alone: true } : { rooms: operations.PUSH_ROOMS }),
    })
  }

  return {
    async each(asked, ids, items) {
      const stored: Array<Promise<void>> = []
      for (const part of parted(asked, ids, items)) {
        stored.push(storePart(part))
        if (order.asked) await stored.at(-1)
      }
      await Promise.all(stored)
    },
    async many(call, queue, given) {
      limits.checkQueue(queue)
      const items = read(given)
      limits.checkCount('items', items.length, limits.LIMITS.pushMany)
      // Of a hole too it is said that it is none.
      const jobs = Array.from(items, (item, i) => newJob(item, `items[${i}].`))
      return jobs.length === 0 ? NONE : store(queue, jobs, [call])
    },
  }
}

/** What crossed as itself, or as JSON (`textOf`). */
const read = <T>(given: string | T): T => typeof given === 'string' ? JSON.parse(given) as T : given

function newJob(input: PushInput | undefined, at: string): NewJob {
  if (typeof input !== 'object' || input === null) throw limits.wrong(at.replace(/\.$/, ''), 'an object with name and data', input)
  for (const key in input) if (key !== 'name' && key !== 'data' && key !== 'options') throw invalid(`${at}${key}`, 'is not a part of a job: use name, data, options')
  const { name, data, options } = input
  limits.checkName(`${at}name`, name, limits.LIMITS.jobName)
  rules.checkPushOptions(`${at}options`, options)
  const size = limits.checkSize(`${at}data`, data, limits.LIMITS.data)
  return { name, data, options: options && present(options), size: size.bytes, binary: size.binary }
}

function newRequest({ data: given, options = {}, http: input, user }: FetchInput, hooks: readonly HookName[]): NewJob {
  rules.object('options', options)
  const { queue: _queue, name = 'fetch', idempotency, okStatuses, allowStoredCredentials, fill, ...rest } = options
  const job = newJob({ name, data: undefined, options: rest }, '')
  const { http, data, size } = checkRequest(input, given, { idempotency, okStatuses, allowStoredCredentials, fill, dependsOn: rest.dependsOn })
  return { ...job, ...present({ user }), data, size: size.bytes, binary: size.binary, http: hooks.length > 0 ? { ...http, hooks } : http }
}
