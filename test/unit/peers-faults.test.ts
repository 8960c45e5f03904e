/** Faults that were found in RustQueue by reading it (each heading is one), and that holdfast must not have. */
import { describe, expect, it } from 'vitest'
import { byteLength, LIMITS } from '../../src/core/limits.ts'
import type { Context, Job, Queue } from '../../src/queue.ts'
import * as operations from '../../src/store/operations.ts'
import { faults, freshName, stored } from './support/database.ts'
import { engineOf } from './support/engine.ts'
import { NOW, proofs, pull, push, settle, testStore } from './support/store.ts'
import { after, entryOf, tab, tabs, until } from './support/tabs.ts'

const Q = 'emails'
const HOUR = 3_600_000
const FAILED = { type: 'fail', error: { name: 'Error', message: 'boom' }, owner: 'page', random: 0, afterMs: 0 } as const

describe('a stale heartbeat kills retries', () => {
  /** A job that beat once, failed, and was claimed again 25 s after that. */
  const second = async () => {
    const { name, engine: { store: { committer } }, clock } = await engineOf('page')
    await committer.submit(push('welcome'))
    const [first] = proofs(await committer.submit(pull(1)))
    await committer.submit({ run: (work) => operations.heartbeat(work, first!) })
    await clock.advance(10_000)
    await committer.submit(settle([{ ...first!, event: FAILED }]))
    await clock.advance(15_000)
    const [again] = proofs(await committer.submit(pull(1)))
    return { name, committer, clock, again: again! }
  }

  it('a job claimed again has its whole lease before it, whenever it last beat', async () => {
    const { name, clock, again } = await second()
    await clock.advance(20_000)
    expect((await stored(name)).leases).toMatchObject([{ box: again.box, left: [again.seq] }])
  })

  it('and is taken back when it has been silent for that long, which is no failure', async () => {
    const { name, clock } = await second()
    await clock.advance(45_000)
    const rows = await stored(name)
    expect(rows.leases).toEqual([])
    expect(rows.waiting[0]?.jobs).toMatchObject([{ failures: 1, stalls: 1 }])
  })

  it.each<[string, (work: Parameters<typeof operations.report>[0], held: operations.Held) => Promise<void>]>([
    ['a heartbeat', operations.heartbeat], ['progress, which RustQueue does not count', (work, held) => operations.report(work, held, { progress: 5 })],
  ])('%s every 20 s keeps it for as long as it takes', async (_what, run) => {
    const { name, committer, clock, again } = await second()
    for (let n = 0; n < 6; n++) { await clock.advance(20_000); await committer.submit({ relaxed: true, run: (work) => run(work, again) }) }
    expect((await stored(name)).leases).toMatchObject([{ box: again.box, left: [again.seq] }])
  })

  it('one that beats at the last moment keeps it, though it had been found silent', async () => {
    const name = freshName()
    const { committer, close } = testStore(name)
    await committer.submit(push('welcome'))
    const [held] = proofs(await committer.submit(pull(1)))
    const [seen] = (await stored(name)).leases
    const expire = () => committer.submit({ alone: true, run: (work) => operations.expireLease(work, seen!, [held!.seq], 0) })
    await committer.submit({ run: (work) => operations.heartbeat(work, held!) })
    await expire()
    expect((await stored(name)).leases).toMatchObject([{ left: [held!.seq] }])
    await close()
  })

  it('a night’s sleep takes nothing back', async () => {
    const { name, engine: { store: { committer } }, clock } = await engineOf('page')
    await committer.submit(push('welcome'))
    await committer.submit(pull(1))
    await clock.advance(10_000)
    // Timers that are late by hours, as after sleep: the time that passed was not this realm's own.
    clock.sleep(8 * HOUR)
    await clock.advance(6_000)
    expect((await stored(name)).leases).toHaveLength(1)
  })
})

describe('there is no fencing token', () => {
  /** A job that one tab lost, as if it had been frozen, and another tab has claimed since. */
  const lost = async () => {
    const { name, queues: [old, other] } = await tabs(2)
    const id = await old!.push(Q, 'welcome', 1)
    await old!.pull(Q)
    const { committer, close } = testStore(name)
    const owner = (await stored(name)).leases[0]!.owner
    await committer.submit({ alone: true, run: (work) => operations.dropOwner(work, owner) })
    await close()
    expect(await other!.pull(Q)).toMatchObject([{ id, stalls: 1, failures: 0 }])
    return { name, id, old: old!, other: other! }
  }

  it.each<[string, (queue: Queue, id: string) => Promise<unknown>]>([
    ['ack', (queue, id) => queue.ack(id, 'too late')], ['fail', (queue, id) => queue.fail(id, new Error('too late'))], ['heartbeat', (queue, id) => queue.heartbeat(id)],
    ['progress', (queue, id) => queue.progress(id, 99)], ['release', (queue, id) => queue.release(id)], ['snooze', (queue, id) => queue.snooze(id, HOUR)],
  ])('%s of an attempt that is over is refused, and the next attempt does not notice', async (_call, late) => {
    const { name, id, old, other } = await lost()
    const before = (await stored(name)).leases
    await expect(late(old, id)).rejects.toMatchObject({ code: 'STALE_LEASE' })
    expect((await stored(name)).leases).toEqual(before)
    await other.ack(id, 'in time')
    expect(await other.get(id)).toMatchObject({ state: 'completed', result: 'in time', failures: 0 })
  })
})

describe('an update is lost: read and written apart', () => {
  const calls: Record<string, (queue: Queue, id: string) => Promise<unknown>> = {
    progress: (queue, id) => queue.progress(id, 50), heartbeat: (queue, id) => queue.heartbeat(id), cancel: (queue, id) => queue.cancel(id), fail: (queue, id) => queue.fail(id, new Error('boom')), release: (queue, id) => queue.release(id),
  }

  it.each(Object.keys(calls))('an ack and a %s at the same time: one of them ends the job, once', async (call) => {
    const { name, queues: [one, other] } = await tabs(2)
    for (let n = 0; n < 10; n++) {
      const id = await one!.push(Q, 'welcome', n, { maxAttempts: 1 })
      await one!.pull(Q)
      const ack = () => one!.ack(id, 'done')
      // From the same tab either way round, and from another.
      const by = call === 'cancel' && n % 2 ? other! : one!
      const [acked] = n % 3 ? await Promise.allSettled([ack(), calls[call]!(by, id)]) : (await Promise.allSettled([calls[call]!(by, id), ack()])).reverse()
      const job = await one!.get(id)
      if (acked?.status === 'fulfilled') expect(['completed', 'cancelled']).toContain(job?.state)
      else expect(['dead', 'waiting']).toContain(job?.state)
      if (job?.state === 'waiting') await one!.remove(id)
    }
    expect(faults(await stored(name))).toEqual([])
  })

  it('two tabs cannot both end one job, nor both claim it', async () => {
    const { queues: [one, other] } = await tabs(2)
    for (let n = 0; n < 20; n++) {
      await one!.push(Q, 'welcome', n)
      const [a, b] = await Promise.all([one!.pull(Q), other!.pull(Q)])
      expect([...a, ...b]).toHaveLength(1)
    }
  })
})

describe('an ack is several writes, and a crash between them loses some', () => {
  it('it is one transaction: while it is not complete, the job is as before', async () => {
    const name = freshName()
    const { committer, close } = testStore(name)
    await committer.submit(push('welcome'))
    const [proof] = proofs(await committer.submit(pull(1)))
    const before = await stored(name)
    await expect(committer.submit({ run: async (work) => { await operations.settle(work, [{ ...proof!, event: { type: 'complete' } }]); throw new Error('a crash') } })).rejects.toMatchObject({ code: 'STORAGE' })
    expect(await stored(name)).toEqual(before)
    await close()
  })
})

describe('a restart forgets jobs', () => {
  it('all of them are there again, in all their states and in their order', async () => {
    const name = freshName()
    const first = await (await entryOf(0))(name, { worker: false })
    const waiting = await first.pushMany(Q, [1, 2, 3].map((data) => ({ name: 'welcome', data, options: { priority: -1 } })))
    await first.pushMany(Q, [1, 2, 3, 4].map((data) => ({ name: 'welcome', data, options: { maxAttempts: 1 } })))
    const [completed, dead, cancelled, active] = (await first.pull(Q, 4)).map(({ id }) => id)
    await first.ack(completed!, { sent: true })
    await first.fail(dead!, new Error('boom'))
    await first.cancel(cancelled!)
    await first.release(cancelled!)
    const delayed = await first.push(Q, 'welcome', 'x'.repeat(50_000), { delayMs: HOUR })
    await first.pause(Q)
    await first.close()

    const again = await (await entryOf(0))(name, { worker: false })
    const states = Object.fromEntries(await Promise.all([...waiting, completed, dead, cancelled, active, delayed].map(async (id) => [id, (await again.get(id!))?.state] as const)))
    expect(states).toEqual({
      ...Object.fromEntries(waiting.map((id) => [id, 'waiting'])), [completed!]: 'completed', [dead!]: 'dead', [cancelled!]: 'cancelled', [active!]: 'active', [delayed]: 'delayed',
    })
    expect((await again.get(delayed))?.data).toHaveLength(50_000)
    expect(await again.pull(Q, 5)).toEqual([])
    await again.resume(Q)
    expect((await again.pull(Q, 5)).map(({ id }) => id)).toEqual(waiting)
    await again.close()
  })
})

describe('fail() refuses a long error and leaves the job active', () => {
  it.each<[string, () => unknown]>([
    ['a message of a megabyte', () => new Error('ä'.repeat(1_000_000))], ['a stack of a megabyte', () => Object.assign(new Error('boom'), { stack: 'x'.repeat(1_000_000) })], ['text', () => 'x'.repeat(100_000)],
    ['an object without a prototype', () => Object.create(null) as unknown], ['an error whose message is an object', () => Object.assign(new Error('boom'), { message: { code: 7 } })], ['an error whose message is a function', () => Object.assign(new Error('boom'), { message() {} })],
    ['an error that cannot be read', () => Object.defineProperty(new Error('boom'), 'stack', { get() { throw new Error('no') } })],
    ['nothing', () => undefined], ['a symbol', () => Symbol('boom')], ['a big integer', () => 10n], ['an object that contains itself', () => { const error: Record<string, unknown> = {}; error.self = error; return error }],
  ])('%s ends the attempt, and is cut', async (_what, make) => {
    const queue = await tab()
    const id = await queue.push(Q, 'welcome', 1, { maxAttempts: 1 })
    await queue.pull(Q)
    expect(await queue.fail(id, make())).toEqual({ willRetry: false })
    const { state, attempts } = (await queue.get(id))!
    expect(state).toBe('dead')
    for (const text of [attempts![0]!.error.message, attempts![0]!.error.stack ?? '']) expect(byteLength(text)).toBeLessThanOrEqual(LIMITS.errorText)
  })
})

describe('options are accepted and ignored', () => {
  it('ttl: a job that was not started in time is dead, and nobody gets it', async () => {
    const queue = await tab()
    const id = await queue.push(Q, 'welcome', 1, { ttlMs: 1 })
    await after(5)
    expect(await queue.pull(Q)).toEqual([])
    expect(await queue.get(id)).toMatchObject({ state: 'dead', reason: 'expired', failures: 0 })
  })

  it('ttl: not even if nobody has noticed before', async () => {
    const name = freshName()
    let now = NOW
    const { committer, close } = testStore(name, { now: () => now })
    await committer.submit(push('welcome', 'late', { ttlMs: 1000 }))
    await committer.submit(push('welcome', 'in time', { ttlMs: 1001 }))
    now += 1000
    expect((await committer.submit(pull(5))).jobs).toMatchObject([{ data: 'in time' }])
    const rows = await stored(name)
    expect(rows.dead).toMatchObject([{ data: 'late', reason: 'expired' }])
    expect(faults(rows)).toEqual([])
    await close()
  })

  it('lifo: the last goes first, within its priority', async () => {
    const queue = await tab()
    await queue.push(Q, 'welcome', 'first')
    await queue.push(Q, 'welcome', 'front', { lifo: true })
    await queue.push(Q, 'reset', 'very front', { lifo: true })
    await queue.push(Q, 'welcome', 'urgent', { priority: 1 })
    expect((await queue.pull(Q, 4)).map(({ data }) => data)).toEqual(['urgent', 'very front', 'front', 'first'])
  })

  it('removeOnComplete and removeOnFail', async () => {
    const queue = await tab()
    const done = await queue.push(Q, 'welcome', 1, { removeOnComplete: true })
    const failed = await queue.push(Q, 'welcome', 2, { removeOnFail: true, maxAttempts: 1 })
    await queue.pull(Q, 2)
    await queue.ack(done)
    await queue.fail(failed, new Error('boom'))
    expect([await queue.get(done), await queue.get(failed)]).toEqual([undefined, undefined])
    expect((await queue.stats(Q)).counts).toMatchObject({ completed: 0, dead: 0 })
  })

  it.each(['custom_id', 'worker_id', 'delay_ms', 'uniqueKey', 'dependsOn', 'flowId', 'then'])('what is not there (yet) is refused by name: %s', async (option) => {
    const queue = await tab()
    await expect(queue.push(Q, 'welcome', 1, { [option]: 'x' })).rejects.toMatchObject({ code: 'VALIDATION', details: { field: `options.${option}` } })
  })
})

describe('a delay of 0 waits for the next tick, and a due job too', () => {
  it('no delay is no delay', async () => {
    const queue = await tab()
    const id = await queue.push(Q, 'welcome', 1, { delayMs: 0 })
    expect((await queue.pull(Q)).map((job) => job.id)).toEqual([id])
  })

  it('a job is there when it is due, and whoever waits for one gets it at once', async () => {
    const queue = await tab()
    await queue.push(Q, 'welcome', 'later', { delayMs: 50 })
    const start = performance.now()
    expect(await queue.pull(Q, 1, { waitMs: 3000 })).toMatchObject([{ data: 'later' }])
    expect(performance.now() - start).toBeLessThan(700)
  })

  it('whoever waits for a job gets one that is pushed meanwhile, from another tab too', async () => {
    const { queues: [one, other] } = await tabs(2)
    const start = performance.now()
    const pulled = one!.pull(Q, 1, { waitMs: 3000 })
    await after(20)
    await other!.push(Q, 'welcome', 1)
    expect(await pulled).toHaveLength(1)
    expect(performance.now() - start).toBeLessThan(700)
  })
})

describe('pause blocks producers, not consumers, and is forgotten', () => {
  it('a paused queue takes jobs and gives none, in every tab', async () => {
    const { queues: [one, other] } = await tabs(2)
    await one!.pause(Q)
    await other!.push(Q, 'welcome', 1)
    expect([await one!.pull(Q), await other!.pull(Q)]).toEqual([[], []])
    await other!.resume(Q)
    expect(await one!.pull(Q)).toHaveLength(1)
  })
})

describe('an active job cannot be stopped: neither by cancel nor by its timeout', () => {
  /** A handler that goes on until it is told to stop. */
  const endless = (reasons: unknown[]) => (_job: Job, { signal }: Context) => new Promise((_resolve, reject) => { signal.addEventListener('abort', () => { reasons.push(signal.reason); reject(signal.reason as Error) }) })

  it('cancel aborts its signal, and it ends cancelled', async () => {
    const queue = await tab()
    const reasons: unknown[] = []
    const id = await queue.push(Q, 'welcome', 1)
    await queue.process(Q, endless(reasons))
    await until('it runs', async () => (await queue.get(id))?.state === 'active')
    expect(await queue.cancel(id, { reason: 'changed my mind' })).toEqual({ was: 'active' })
    await until('it has ended', async () => (await queue.get(id))?.state === 'cancelled')
    expect(reasons).toMatchObject([{ message: 'changed my mind' }])
    expect(await queue.get(id)).toMatchObject({ reason: 'changed my mind', failures: 0 })
  })

  it('its timeout aborts its signal, and is a failed attempt', async () => {
    const queue = await tab()
    const reasons: unknown[] = []
    const id = await queue.push(Q, 'welcome', 1, { timeoutMs: 30, maxAttempts: 1 })
    await queue.process(Q, endless(reasons))
    await until('it is dead', async () => (await queue.get(id))?.state === 'dead')
    expect(reasons).toMatchObject([{ code: 'TIMEOUT' }])
    expect(await queue.get(id)).toMatchObject({ failures: 1, attempts: [{ error: { name: 'TimeoutError' } }] })
  })
})

describe('only the last error is kept, and logs without end', () => {
  it('each attempt is kept with its error', async () => {
    const queue = await tab()
    const id = await queue.push(Q, 'welcome', 1, { maxAttempts: 3, backoff: { type: 'fixed', delayMs: 0 } })
    for (const message of ['one', 'two', 'three']) { await queue.pull(Q); await queue.fail(id, new Error(message)) }
    expect((await queue.get(id))?.attempts?.map(({ error }) => error.message)).toEqual(['one', 'two', 'three'])
  })

  it('of the log the last 100 lines are kept, a KiB each', async () => {
    const queue = await tab()
    const id = await queue.push(Q, 'welcome', 1)
    await queue.process(Q, (_job, ctx) => { for (let n = 0; n < 150; n++) ctx.log(`${n} ${'ä'.repeat(5000)}`) })
    await until('it is done', async () => (await queue.get(id))?.state === 'completed')
    const logs = (await queue.get(id))!.logs!
    expect(logs.map(({ message }) => parseInt(message, 10))).toEqual(Array.from({ length: 100 }, (_, i) => i + 50))
    for (const { message } of logs) expect(byteLength(message)).toBeLessThanOrEqual(1024)
  })
})

describe('cancelled jobs are never pruned, nor counted', () => {
  it('they go after a day, as completed ones do, and not before; dead ones stay', async () => {
    const name = freshName()
    let now = NOW
    const { committer, close } = testStore(name, { now: () => now })
    for (const data of ['completed', 'dead', 'cancelled']) await committer.submit(push('welcome', data, { maxAttempts: 1 }))
    const held = proofs(await committer.submit(pull(3)))
    const events = [{ type: 'complete' }, FAILED, { type: 'cancel', reason: 'x' }] as const
    await committer.submit(settle(held.map((proof, i) => ({ ...proof, event: events[i]! }))))
    const counts = async () => (await stored(name)).queues[0]?.counts
    expect(await counts()).toMatchObject({ completed: 1, cancelled: 1, dead: 1, active: 0 })
    for (const [passed, left] of [[23 * HOUR, 1], [2 * HOUR, 0]] as const) {
      now += passed
      while (await committer.submit({ alone: true, run: (work) => operations.pruneEnded(work, Q) })) { /* more of them */ }
      expect(await counts()).toMatchObject({ completed: left, cancelled: left, dead: 1 })
    }
    expect(faults(await stored(name))).toEqual([])
    await close()
  })
})

describe('pull does not look at the name of the queue', () => {
  it.each(['', 'a b', '../x', 'q'.repeat(257)])('%j is refused', async (queue) => {
    await expect((await tab()).pull(queue)).rejects.toMatchObject({ code: 'VALIDATION', details: { field: 'queue' } })
  })
})
