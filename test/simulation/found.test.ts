/** Faults that the simulation found, each as short as it can be told: they stay away. */
import { expect, it } from 'vitest'
import { idsOf, type IdRun } from '../../src/core/id.ts'
import * as operations from '../../src/store/operations.ts'
import { proofs, pull, push, settle, testStore } from '../unit/support/store.ts'
import { Database, FAIR, type Weather } from './database.ts'
import { Monitor } from './monitor.ts'
import { Tab } from './tab.ts'
import { World } from './world.ts'

const Q = 'alpha'
const NAME = 'found'

/** A world in which handlers take `ms`. */
function begin(ms = 0) {
  const world = new World(1)
  const database = new Database(world)
  const monitor = new Monitor(world, database, NAME)
  const ran: string[] = []
  const open = (concurrency?: number): Tab => new Tab({
    world, database, name: NAME, watched: (_realm, execute) => execute, signIn: () => Promise.resolve(), fetch: () => () => Promise.reject(new TypeError('no network')),
    handler: (realm) => ({ name }) => { ran.push(name); return ms === 0 ? undefined : new Promise((resolve) => { world.after(realm, ms, () => { resolve(undefined) }) }) },
  }, concurrency === undefined ? [] : [{ queue: Q, concurrency }])
  const pushed = (tab: Tab, token: string, options: object = {}): Promise<IdRun> => tab.call<IdRun>('push', Q, { name: 'work', data: token, options: { metadata: { token }, ...options } })
  return { world, database, monitor, ran, open, pushed }
}

/** Plays `story` in a world of its own, in which nothing that must hold was broken. */
async function told({ world, monitor }: ReturnType<typeof begin>, story: () => Promise<void>): Promise<void> {
  await world.inside(story)
  expect(monitor.problems).toEqual([])
}

/** The first write request of those that come is heard of after so long. */
const slowWrite = (ms: number): Weather => {
  let first = true
  return { ...FAIR, request: (_realm, write) => { if (!write || !first) return { kind: 'ok' }; first = false; return { kind: 'late', ms } } }
}

it('a push whose read comes after it was given up is stored once', async () => {
  const one = begin()
  const { world, database, monitor, open, pushed } = one
  await told(one, async () => {
    const tab = open()
    await world.advance(100)
    database.weather = slowWrite(15_000)
    let answer = ''
    pushed(tab, 'job').then(() => { answer = 'stored' }, () => { answer = 'refused' })
    await world.advance(60_000)
    expect([answer, monitor.byToken.get('job')?.size]).toEqual(['stored', 1])
  })
})

it('who waits for a place looks again once, however often it was woken', async () => {
  const one = begin(600_000)
  const { world, database, open, pushed } = one
  await told(one, async () => {
    const [busy, hungry] = [open(1), open(1)]
    await world.advance(100)
    for (let n = 0; n < 40; n++) { void pushed(n % 2 ? busy : hungry, `job${n}`); await world.advance(200) }
    let requests = 0
    database.weather = { ...FAIR, request: () => { requests++; return { kind: 'ok' } } }
    await world.advance(10_000)
    expect(requests).toBeLessThan(300)
  })
})

it('a lease that was read of by a slow storage lasts as long as any other', async () => {
  const one = begin()
  const { world, database, monitor, open, pushed } = one
  await told(one, async () => {
    const [tab, other] = [open(), open()]
    void pushed(tab, 'job')
    await world.advance(4500)
    // The look at 5 s has to wait for this claim, and sees it then.
    database.weather = { ...FAIR, commit: () => { database.weather = FAIR; return { kind: 'late', ms: 9000 } } }
    let claimed = 0
    void other.call<operations.Claim>('pull', Q, 1).then(({ jobs }) => { claimed = jobs.length })
    await world.advance(9500)
    expect(claimed).toBe(1)
    // 30 s after the claim at 13.5 s are not over.
    await world.advance(29_000)
    expect([...monitor.now.values()].map(({ job }) => job.state)).toEqual(['active'])
  })
})

it('the jobs of a claim whose answer was lost run, though no claim comes after it', async () => {
  const one = begin()
  const { world, database, ran, open, pushed } = one
  await told(one, async () => {
    const tab = open(1)
    await world.advance(100)
    let commits = 0
    // The push is told, the claim is not, and then nothing can be asked for 40 s.
    database.weather = { ...FAIR, commit: () => ++commits === 2 ? { kind: 'lies' } : { kind: 'ok' }, open: () => world.awake < 40_000 ? { kind: 'fail' } : { kind: 'ok' } }
    void pushed(tab, 'job')
    await world.advance(30_000)
    expect(ran).toEqual([])
    await world.advance(40_000)
    expect(ran).toEqual(['work'])
  })
})

it('a processor that was refused claims nothing', async () => {
  // Of the reads that come with it each fails in turn.
  for (let failing = 0; failing < 12; failing++) {
    const one = begin()
    const { world, database, monitor, open, pushed } = one
    await told(one, async () => {
      const tab = open()
      await world.advance(100)
      let reads = 0
      // All tries of the one after those that went well.
      database.weather = { ...FAIR, request: (_realm, write) => ({ kind: !write && reads++ >= failing && reads <= failing + 2 ? 'fail' : 'ok' }) }
      let answer = ''
      tab.process({ queue: Q, concurrency: 1 }).then(() => { answer = 'done' }, () => { answer = 'refused' })
      await world.advance(4000)
      void pushed(tab, 'job')
      await world.advance(1000)
      const states = [...monitor.now.values()].map(({ job }) => job.state)
      expect(states, `${failing}: ${answer}`).toEqual([answer === 'done' ? 'completed' : 'waiting'])
    })
  }
})

it('waitFor of a job that is gone is answered, whichever read of it fails', async () => {
  const uncaught: unknown[] = []
  const lost = (error: unknown): void => { uncaught.push(error) }
  process.on('unhandledRejection', lost)
  for (let failing = 0; failing < 14; failing++) {
    const one = begin()
    const { world, database, monitor, open, pushed } = one
    await told(one, async () => {
      const tab = open()
      let id = ''
      void pushed(tab, 'job').then((run) => { id = idsOf(run)[0] ?? '' })
      await world.advance(100)
      monitor.removable.add(id)
      void tab.call('remove', id)
      await world.advance(100)
      let reads = 0
      // Twice: it is tried again.
      database.weather = { ...FAIR, request: (_realm, write) => ({ kind: !write && reads++ >= failing && reads <= failing + 2 ? 'fail' : 'ok' }) }
      let answer = ''
      tab.waitFor(id, 60_000).then(() => { answer = 'ended' }, (error: Error) => { answer = error.name })
      await world.advance(30_000)
      expect(answer).toBe('NotFoundError')
    })
  }
  await new Promise((resolve) => { setTimeout(resolve, 5) })
  process.off('unhandledRejection', lost)
  expect(uncaught).toEqual([])
})

it('removeAll leaves alone what had ended when it looked, and runs again when it comes to it', async () => {
  const { committer: c, close } = testStore('found-removeAll')
  await c.submit(push('a'))
  const claim = await c.submit(pull(1))
  await c.submit(settle(proofs(claim).map((held) => ({ ...held, event: { type: 'complete' } }))))
  const [job] = claim.jobs
  const seen = { ...job!, state: 'completed' as const }
  await c.submit({ alone: true, run: (work) => operations.act(work, job!.id, job!.seq, { type: 'retry' }) })
  expect(await c.submit({ alone: true, run: (work) => operations.actMany(work, [seen], { type: 'remove' }) })).toMatchObject({ done: 0, refused: [{ id: job!.id }] })
  expect((await c.submit(pull(1))).jobs).toHaveLength(1)
  await close()
})
