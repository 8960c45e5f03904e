/**
 * @tanstack/offline-transactions by its public API: one offline transaction with one insert per job. Its `commit()` resolves when the mutation
 * has run, so "stored" is taken from its own storage adapter, which answers at the request's success: before the commit, and relaxed.
 */
import { createCollection } from '@tanstack/db'
import { IndexedDBAdapter, OutboxManager, startOfflineExecutor, type OfflineExecutor, type OnlineDetector } from '@tanstack/offline-transactions'
import { jobData, tally, type Contestant, type Enough } from '../contestant.ts'

class Storage extends IndexedDBAdapter {
  readonly stored = new Map<string, () => void>()
  override async set(key: string, value: string): Promise<void> {
    await super.set(key, value)
    this.stored.get(key)?.()
    this.stored.delete(key)
  }
}

/** Offline while filling, or it would run each job at once. */
function createSwitch(): OnlineDetector & { online: boolean } {
  const listeners = new Set<() => void>()
  return {
    online: false,
    subscribe(listener) { listeners.add(listener); return () => listeners.delete(listener) },
    notifyOnline() { for (const listener of listeners) listener() },
    isOnline() { return this.online },
    dispose() { listeners.clear() },
  }
}

const createJobs = () => createCollection<ReturnType<typeof jobData>, number>({
  id: 'jobs', getKey: job => job.n, startSync: true, gcTime: 0, sync: { sync: ({ markReady }) => markReady() },
})

const turn = () => new Promise(resolve => setTimeout(resolve))

/** One tab, so no election. */
const alone = { requestLeadership: () => Promise.resolve(true), releaseLeadership() {}, isLeader: () => true, onLeadershipChange: () => () => {} }

export function create(): Contestant {
  let storage: Storage
  let executor: OfflineExecutor
  let saw: (n: number) => void = () => { throw new Error('ran while offline') }
  const network = createSwitch()
  let jobs: ReturnType<typeof createJobs>

  async function drain(enough: Enough): Promise<readonly number[]> {
    const { seen, saw: count } = tally(enough)
    const before = await stored()
    // What is stored is scheduled a moment later.
    while (executor.getPendingCount() < before) await turn()
    await new Promise<void>(resolve => {
      saw = n => {
        if (!count(n) && seen.length < before) return
        network.online = false
        resolve()
      }
      network.online = true
      network.notifyOnline()
    })
    // The last one's delete is still under way.
    while (await stored() > before - seen.length) await turn()
    return seen
  }
  const stored = () => new OutboxManager(storage, { jobs }).count()

  return {
    serial: true,
    async open(database) {
      jobs = createJobs()
      storage = new Storage(database)
      executor = startOfflineExecutor({
        collections: { jobs }, storage, onlineDetector: network, leaderElection: alone,
        mutationFns: { run: async ({ transaction }) => saw(Number(transaction.mutations[0].modified.n)) },
      })
      await executor.waitForInit()
    },
    push(n) {
      const tx = executor.createOfflineTransaction({ mutationFnName: 'run', autoCommit: false })
      return new Promise<void>((resolve, reject) => {
        storage.stored.set(`tx:${tx.id}`, resolve)
        // Without `optimistic: false` it recomputes the view of all pending jobs at each push: a job queue has no view to keep.
        tx.mutate(() => { jobs.insert(jobData(n), { optimistic: false }) })
        tx.commit().catch(reject)
      })
    },
    drain: (_concurrency, enough) => drain(enough),
    waiting: stored,
    // Cleared without running, they would stay in its memory and slow down what comes after.
    async wipe() {
      if (await stored() > 0) await drain({ count: Infinity, ms: Infinity })
      executor.dispose()
    },
    async close() { executor.dispose() },
  }
}
