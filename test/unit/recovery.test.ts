/** SPEC §6: what becomes of the jobs of an owner that is gone. */
import { expect, it } from 'vitest'
import { ownerLock } from '../../src/core/owner.ts'
import { noLocks } from '../../src/platform/locks.ts'
import * as operations from '../../src/store/operations.ts'
import { freshName, stored } from './support/database.ts'
import { engineOf, settled } from './support/engine.ts'
import { proofs, pull, push, settle, testStore } from './support/store.ts'

it('they are taken back as soon as its lock is free, long before their lease is over', async () => {
  const freed = new Map<string, () => void>()
  const { name, engine: { store: { committer } }, clock } = await engineOf('page', {
    ...noLocks, supported: true, whenFree(lock, call) { freed.set(lock, call); return () => { freed.delete(lock) } },
  })
  await committer.submit(push('welcome'))
  await committer.submit(pull(1, 'other'))
  await clock.advance(5000)
  expect((await stored(name)).leases).toMatchObject([{ owner: 'other' }])
  freed.get(ownerLock(name, 'other'))?.()
  await settled()
  const rows = await stored(name)
  expect([rows.leases, rows.waiting[0]?.jobs]).toMatchObject([[], [{ stalls: 1, failures: 0 }]])
})

it('one that stalled is claimed alone, so that it cannot take its neighbours along', async () => {
  const { committer, close } = testStore(freshName())
  for (const data of ['first', 'stalled', 'third']) await committer.submit(push('welcome', data))
  const claim = await committer.submit(pull(3))
  await committer.submit({ alone: true, run: (work) => operations.recover(work, claim.box!, [claim.jobs[1]!.seq]) })
  // It comes back into the page of the one that stalled.
  await committer.submit(settle([{ ...proofs(claim)[2]!, event: { type: 'release' } }]))
  const claimed = async (): Promise<unknown[]> => (await committer.submit(pull(10))).jobs.map(({ data }) => data)
  expect([await claimed(), await claimed()]).toEqual([['stalled'], ['third']])
  await close()
})
