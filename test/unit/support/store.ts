/** A store without an engine: what is submitted together shares a transaction, and time stands still. */
import 'fake-indexeddb/auto'
import type { HttpRequest } from '../../../src/core/job.ts'
import type { NewJob, PushOptions } from '../../../src/core/push.ts'
import type { Committed, Operation } from '../../../src/store/committer.ts'
import * as operations from '../../../src/store/operations.ts'
import { openStore, type Store } from '../../../src/store/store.ts'

export const Q = 'emails'
export const NOW = 1_800_000_000_000

export interface TestStore extends Store {
  readonly heard: Committed[]
  readonly failures: unknown[]
}

export function testStore(name: string, { now = () => NOW, committed = () => {} }: { now?: () => number; committed?: () => void } = {}): TestStore {
  let tokens = 0
  const heard: Committed[] = []
  const failures: unknown[] = []
  const store = openStore(name, {
    client: 'page', durability: 'strict', env: () => ({ now: now(), random: () => 0.5, token: () => `token ${++tokens}`, heard: true }),
    factory: indexedDB, after: (ms, call) => { const timer = setTimeout(call, ms).unref(); return () => { clearTimeout(timer) } },
    committed(all) { heard.push(all); committed() }, health(trouble) { if (trouble !== undefined) failures.push(trouble) }, outdated() {}, full() {},
  })
  return { ...store, heard, failures }
}

export const newJob = (name: string, data: unknown = 1, options: PushOptions = {}, http?: HttpRequest): NewJob => ({ name, data, options, size: 10, binary: 0, ...(http ? { http } : {}) })

// ---- operations as the door submits them ----

export const push = (name: string, data?: unknown, options?: PushOptions, queue = Q): Operation<unknown> => ({ needs: [['queues', queue]], run: (work) => operations.push(work, queue, [newJob(name, data, options)]) })
export const pull = (count: number, owner = 'page'): Operation<operations.Claim> => ({ needs: [['queues', Q]], run: (work) => operations.claim(work, { queue: Q, owner, leaseMs: 30_000, online: true, count }) })
export const settle = (endings: readonly operations.Ending[]): Operation<operations.Ended[]> => ({ ending: true, needs: endings.map(({ box }) => ['leases', box] as const), run: (work) => operations.settle(work, endings) })

/** The proofs of a claim, job by job. */
export const proofs = ({ box, token, jobs }: operations.Claim): operations.Held[] => jobs.map(({ seq }) => ({ box: box ?? -1, token: token ?? '', seq }))
