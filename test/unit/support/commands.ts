/** What a user can do with a handle, each beside what it should do to the model. */
import fc from 'fast-check'
import { expect } from 'vitest'
import { STATES, type Job, type State } from '../../../src/core/job.ts'
import { HoldfastError } from '../../../src/index.ts'
import type { BulkResult, ListFilter, Queue } from '../../../src/queue.ts'
import { HOUR, Refused, type Model, type ModelJob, type ModelLease, type PushSpec } from './model.ts'

export const Q = 'emails'

export interface Real { readonly name: string; readonly handles: Queue[]; open(who: number): Promise<Queue> }

const brief = (value: unknown): string => JSON.stringify(value ?? null, (_key, held: unknown) => typeof held === 'string' && held.length > 40 ? `${held.slice(0, 3)}… ${held.length}` : held)

type Answer = { readonly value: unknown } | { readonly code: string; readonly error: unknown }
const settle = (call: Promise<unknown>): Promise<Answer> =>
  call.then((value) => ({ value }), (error: unknown) => ({ code: error instanceof HoldfastError ? error.code : 'not a HoldfastError', error }))

/** One call in the making: `start` makes it, `check` does the same to the model and compares. */
interface Call { start(queue: Queue): Promise<unknown>; check(answer: Answer): void }
interface Op { readonly text: string; readonly bind: (model: Model, who: number) => Call }

/** Compares an answer with what the model does: a value, or a refusal. */
function compare(answer: Answer, expected: () => unknown): void {
  let wanted: unknown
  try { wanted = expected() } catch (error) {
    if (!(error instanceof Refused)) throw error
    expect(answer).toMatchObject({ code: error.code })
    return
  }
  if ('code' in answer) throw new Error(`refused with ${answer.code}`, { cause: answer.error })
  try { expect(answer.value).toEqual(wanted) } catch (cause) { throw new Error(`answered ${brief(answer.value)}, not ${brief(wanted)}`, { cause }) }
}

/** The job a call is about: mostly one of those for which it is meant, sometimes any, sometimes one that is gone. */
function target(model: Model, meant: readonly ModelJob[], pick: number): string | undefined {
  const of = <T>(list: readonly T[]): T | undefined => list[Math.floor(pick / 8) % Math.max(1, list.length)]
  const job = pick % 8 > 1 ? of(meant) : pick % 8 === 1 ? of(model.jobs) : undefined
  return job?.id ?? of(model.gone) ?? of(model.jobs)?.id
}
const NOTHING: Call = { start: () => Promise.resolve(), check() {} }

/** A call about one job. */
const onJob = (text: string, states: readonly State[], pick: number, start: (queue: Queue, id: string) => Promise<unknown>, expected: (model: Model, id: string) => unknown): Op => ({
  text: `${text} ${pick}`,
  bind(model) {
    const id = target(model, model.in(...states), pick)
    return id === undefined ? NOTHING : { start: (queue) => start(queue, id), check(answer) { compare(answer, () => expected(model, id)) } }
  },
})

/** A call about a job that this handle has pulled: the lease it holds when it calls is its proof. */
const onLease = (text: string, pick: number, start: (queue: Queue, id: string) => Promise<unknown>, expected: (model: Model, id: string, lease: ModelLease | undefined) => unknown): Op => ({
  text: `${text} ${pick}`,
  bind(model, who) {
    const id = target(model, model.in('active').filter(({ lease }) => lease?.who === who), pick)
    if (id === undefined) return NOTHING
    const held = model.jobs.find((job) => job.id === id)?.lease
    const lease = held?.who === who ? held : undefined
    return { start: (queue) => start(queue, id), check(answer) { compare(answer, () => expected(model, id, lease)) } }
  },
})

/** A call about the queue. */
const onQueue = (text: string, start: (queue: Queue) => Promise<unknown>, expected: (model: Model, answer: Answer, who: number) => unknown): Op => ({
  text, bind: (model, who) => ({ start, check(answer) { compare(answer, () => expected(model, answer, who)) } }),
})

// ---- calls that may be made together: they behave as if one after another, in the order of the calls ----

const pick = fc.nat(4000)
const flag = fc.boolean()
const priority = fc.integer({ min: -1, max: 1 })
/** Small, or so large that it is stored apart from its job. */
const data = fc.oneof({ weight: 7, arbitrary: fc.record({ n: fc.nat(99) }) }, { weight: 1, arbitrary: fc.nat(9).map((n) => ({ text: String(n).repeat(20_000) })) })
const spec: fc.Arbitrary<PushSpec> = fc.record({
  name: fc.constantFrom('welcome', 'reset'), data,
  options: fc.record({
    priority, lifo: flag, delayMs: fc.constantFrom(0, HOUR), ttlMs: fc.constant(HOUR), maxAttempts: fc.integer({ min: 1, max: 3 }),
    backoff: fc.constantFrom({ type: 'fixed' as const, delayMs: 0 }, { type: 'fixed' as const, delayMs: HOUR }), removeOnComplete: flag, removeOnFail: flag, group: fc.constantFrom('a', 'a', 'b'), onGroupDead: fc.constantFrom('hold', 'continue'), onParentDead: fc.constantFrom('cascade', 'cancel', 'run'),
  }, { requiredKeys: ['backoff'] }),
})
/** Mostly waiting jobs, without which nothing happens. */
const specs = fc.oneof({ weight: 2, arbitrary: spec }, { weight: 3, arbitrary: spec.map(({ options: { delayMs: _later, ...options }, ...rest }): PushSpec => ({ ...rest, options })) })
const patch = fc.record({ data, priority, later: flag }, { requiredKeys: [] })

const pushed = (items: readonly PushSpec[], ids: readonly string[], model: Model): readonly string[] => { items.forEach((item, i) => { model.push(ids[i] ?? '', item) }); return ids }
const idsIn = (answer: Answer): readonly string[] => [('value' in answer ? answer.value : []) as string | string[]].flat()

/** A job that depends on some that are there, or on one that is gone. */
const child = (item: PushSpec, picks: readonly number[]): Op => ({
  text: `push a child ${picks.join(' ')} ${brief(item)}`,
  bind(model) {
    const ids = picks.map((p) => target(model, p % 3 === 0 ? model.jobs : model.in('waiting', 'delayed', 'blocked', 'active'), p)).filter((id) => id !== undefined)
    const dependsOn = Object.fromEntries(ids.map((id, i) => [`p${i}`, id]))
    return { start: (queue) => queue.push(Q, item.name, item.data, { ...item.options, dependsOn }), check(answer) { compare(answer, () => { model.push(idsIn(answer)[0] ?? '', item, ids); return idsIn(answer)[0] }) } }
  },
})
/** What a claimed job shows of its parents, in the order in which they were given. */
const inputs = ({ parents = {} }: Pick<Job, 'parents'>): unknown[] => Object.values(parents)

const together: fc.Arbitrary<Op> = fc.oneof(
  { weight: 4, arbitrary: fc.tuple(specs, fc.array(pick, { minLength: 1, maxLength: 3 })).map(([item, picks]) => child(item, picks)) },
  { weight: 5, arbitrary: specs.map((item) => onQueue(`push ${brief(item)}`, (q) => q.push(Q, item.name, item.data, item.options), (m, answer) => pushed([item], idsIn(answer), m)[0])) },
  { weight: 2, arbitrary: fc.array(specs, { minLength: 1, maxLength: 5 }).map((items) => onQueue(`pushMany ${brief(items)}`, (q) => q.pushMany(Q, items), (m, answer) => pushed(items, idsIn(answer), m))) },
  { weight: 1, arbitrary: fc.tuple(specs, fc.integer({ min: 60, max: 140 })).map(([{ data: _data, ...item }, n]) => Array.from({ length: n }, (_, i): PushSpec => ({ ...item, data: { n: i } })))
    .map((items) => onQueue(`pushMany of ${items.length} ${brief(items[0])}`, (q) => q.pushMany(Q, items), (m, answer) => pushed(items, idsIn(answer), m))) },
  { weight: 5, arbitrary: fc.oneof({ weight: 4, arbitrary: fc.integer({ min: 1, max: 5 }) }, { weight: 1, arbitrary: fc.integer({ min: 1, max: 100 }) }).map((n) => onQueue(`pull ${n}`, async (q) => (await q.pull(Q, n)).map((job) => ({ id: job.id, data: job.data, parents: inputs(job) })), (m, _answer, who) => m.pull(who, n).map(({ id, data: given, parents }) => ({ id, data: given, parents: parents.map(({ result }) => result) })))) },
  { weight: 4, arbitrary: pick.map((p) => onLease('ack', p, (q, id) => q.ack(id, { for: id }), (m, id, lease) => { m.ack(id, lease, { for: id }) })) },
  { weight: 3, arbitrary: pick.map((p) => onLease('fail', p, async (q, id) => (await q.fail(id, new Error('boom'))).willRetry, (m, id, lease) => m.fail(id, lease))) },
  { weight: 2, arbitrary: pick.map((p) => onLease('release', p, (q, id) => q.release(id), (m, id, lease) => { m.giveBack(id, lease, 0) })) },
  { weight: 1, arbitrary: fc.tuple(pick, fc.constantFrom(0, HOUR)).map(([p, ms]) => onLease(`snooze ${ms}`, p, (q, id) => q.snooze(id, ms), (m, id, lease) => { m.giveBack(id, lease, ms) })) },
  { weight: 1, arbitrary: pick.map((p) => onLease('heartbeat', p, (q, id) => q.heartbeat(id), (m, id, lease) => { if (!lease || m.jobs.find((job) => job.id === id)?.lease !== lease) throw new Refused('STALE_LEASE') })) },
  { weight: 2, arbitrary: fc.tuple(pick, flag).map(([p, ifNotStarted]) => onJob(ifNotStarted ? 'cancel if not started' : 'cancel', ['waiting', 'delayed', 'blocked', 'active'], p, async (q, id) => (await q.cancel(id, { ifNotStarted })).was, (m, id) => m.cancel(id, ifNotStarted))) },
  { weight: 2, arbitrary: pick.map((p) => onJob('promote', ['delayed'], p, (q, id) => q.promote(id), (m, id) => { m.promote(id) })) },
  { weight: 2, arbitrary: pick.map((p) => onJob('remove', STATES, p, (q, id) => q.remove(id), (m, id) => { m.remove(id) })) },
  { weight: 3, arbitrary: fc.tuple(pick, patch).map(([p, { later, ...rest }]) => onJob(`update ${brief({ later, ...rest })}`, ['waiting', 'delayed', 'blocked'], p,
    (q, id) => q.update(id, { ...rest, ...(later === undefined ? {} : { runAt: later ? Date.now() + HOUR : 1 }) }), (m, id) => { m.update(id, { ...rest, ...(later === undefined ? {} : { later }) }) })) },
  { weight: 3, arbitrary: fc.tuple(pick, patch).map(([p, { data: edit, priority: to, later }]) => onJob(`retry ${brief({ edit, to, later })}`, ['completed', 'cancelled', 'dead'], p,
    (q, id) => q.retry(id, { ...(edit === undefined ? {} : { data: edit }), options: { ...(to === undefined ? {} : { priority: to }), ...(later ? { delayMs: HOUR } : {}) } }),
    (m, id) => { m.retry(id, { ...(edit === undefined ? {} : { data: edit }), ...(to === undefined ? {} : { priority: to }), ...(later === undefined ? {} : { later }) }) })) },
  { weight: 1, arbitrary: fc.constant(onQueue('pause', (q) => q.pause(Q), (m) => { m.paused = true })) },
  { weight: 2, arbitrary: fc.constant(onQueue('resume', (q) => q.resume(Q), (m) => { m.paused = false })) },
  { weight: 1, arbitrary: fc.constantFrom(null, 'ann', 'bob').map((user) => onQueue(`setUser ${user}`, (q) => q.setUser(user), (m) => { m.user = user ?? undefined })) },
  { weight: 1, arbitrary: fc.constantFrom(null, null, 1, 3).map((cap) => onQueue(`configure ${cap}`, (q) => q.configure(Q, { concurrency: cap }), (m) => { m.cap = cap ?? Infinity })) },
  { weight: 1, arbitrary: fc.constantFrom('fifo' as const, 'fair' as const, 'fair' as const).map((order) => onQueue(`configure ${order}`, (q) => q.configure(Q, { order }), (m) => { m.fair = order === 'fair' })) },
)

function bulk(jobs: readonly ModelJob[], each: (id: string) => void): unknown {
  const refused: string[] = []
  for (const { id } of [...jobs].sort((a, b) => a.position - b.position)) try { each(id) } catch (error) {
    if (!(error instanceof Refused)) throw error
    refused.push(id)
  }
  return { done: jobs.length - refused.length, refused }
}
const named = ({ done, refused }: BulkResult): unknown => ({ done, refused: refused.map(({ id }) => id) })

/** What both a job and its model say about it. */
function seen(job: Job | ModelJob | undefined): unknown {
  if (!job) return undefined
  const { id, name, user, data: given, state, priority: rank, failures, maxAttempts, result } = job
  return { id, name, user, data: given, state, priority: rank, failures, maxAttempts, revision: job.revision ?? 0, result, waits: 'waits' in job ? job.waits.size : job.waitsFor?.length ?? 0, orphan: 'orphan' in job ? job.orphan : job.reason === 'parent' }
}
/** A whole list, a few jobs at a time. */
async function listed(queue: Queue, filter: ListFilter): Promise<Job[]> {
  const jobs: Job[] = []
  let cursor: string | undefined
  do {
    const page = await queue.list({ ...filter, limit: 37, ...(cursor === undefined ? {} : { cursor }) })
    jobs.push(...page.jobs)
    cursor = page.cursor
  } while (cursor !== undefined)
  return jobs
}
const all = (jobs: ReadonlyArray<Job | ModelJob>): unknown => jobs.map(seen).sort((a, b) => (a as Job).id < (b as Job).id ? -1 : 1)
export const counts = (model: Model): Record<State, number> => Object.fromEntries(STATES.map((state) => [state, model.in(state).length])) as Record<State, number>

// ---- calls that are made alone: reads are not in line with writes, and the others are several calls in one ----

const alone: fc.Arbitrary<Op> = fc.oneof(
  pick.map((p) => onJob('get', STATES, p, async (q, id) => seen(await q.get(id)), (m, id) => seen(m.jobs.find((job) => job.id === id)))),
  fc.constant(onQueue('stats', async (q) => (await q.stats(Q)).counts, counts)),
  fc.constant(onQueue('list', async (q) => all(await listed(q, {})), (m) => all(m.jobs))),
  fc.constantFrom(...STATES).map((state) => onQueue(`list ${state}`, async (q) => all(await listed(q, { queue: Q, state })), (m) => all(m.in(state)))),
  fc.constantFrom('welcome', 'reset').map((name) => onQueue(`list waiting ${name}, in order`, async (q) => (await listed(q, { queue: Q, state: 'waiting', name })).map(({ id }) => id), (m) => m.waiting.filter((job) => job.name === name).map(({ id }) => id))),
  fc.constantFrom('ann', 'bob').map((user) => onQueue(`forgetUser ${user}`, async (q) => named(await q.forgetUser(user)), (m) => bulk(m.jobs.filter((job) => job.user === user), (id) => { m.remove(id) }))),
  fc.constantFrom('cancelled' as const, 'dead' as const).map((state) => onQueue(`retryAll ${state}`, async (q) => named(await q.retryAll({ queue: Q, state })), (m) => bulk(m.in(state), (id) => { if (m.in(state).some((job) => job.id === id)) m.retry(id, {}) }))),
  fc.constantFrom(...STATES).map((state) => onQueue(`removeAll ${state}`, async (q) => named(await q.removeAll({ state })), (m) => bulk(m.in(state), (id) => { m.remove(id) }))),
  fc.array(pick, { minLength: 1, maxLength: 5 }).map((picks): Op => ({
    text: `ackMany ${picks.join(' ')}`,
    bind(model, who) {
      const held = model.in('active').filter(({ lease }) => lease?.who === who)
      const ids = [...new Set(picks.map((p) => target(model, held, p)).filter((id) => id !== undefined))]
      const mine = ids.filter((id) => held.some((job) => job.id === id))
      return {
        async start(queue) { const { done, refused } = await queue.ackMany(ids); return { done, refused: refused.map(({ id }) => id).sort() } },
        check(answer) { compare(answer, () => { for (const id of mine) model.ack(id, model.jobs.find((job) => job.id === id)?.lease, undefined); return { done: mine.length, refused: ids.filter((id) => !mine.includes(id)).sort() } }) },
      }
    },
  })),
)

// ---- commands ----

type Command = fc.AsyncCommand<Model, Real>

const calls = (who: number, ops: readonly Op[]): Command => ({
  check: () => true,
  async run(model, { handles }) {
    const bound = ops.map((op) => op.bind(model, who))
    const answers = await Promise.all(bound.map((call) => settle(call.start(handles[who]!))))
    bound.forEach((call, i) => {
      try { call.check(answers[i]!); model.settle() } catch (error) { throw new Error(`${ops[i]!.text}: ${(error as Error).message}`, { cause: error }) }
    })
  },
  toString: () => `\n  ${who ? 'the other: ' : ''}${ops.map(({ text }) => text).join('\n    and ')}`,
})

/** A tab that is closed gives back nothing it pulled by hand; nobody can end those jobs before their lease expires. */
const reopen = (who: number): Command => ({
  check: () => true,
  async run(model, real) {
    await real.handles[who]!.close()
    for (const { lease } of model.jobs) if (lease?.who === who) lease.who = -1
    real.handles[who] = await real.open(who)
  },
  toString: () => `\n  ${who ? 'the other: ' : ''}close and open`,
})

export function commandsFor(handles: number): Array<fc.Arbitrary<Command>> {
  const who = fc.nat(handles - 1)
  return [
    fc.tuple(who, together).map(([w, op]) => calls(w, [op])), fc.tuple(who, together).map(([w, op]) => calls(w, [op])),
    fc.tuple(who, fc.array(together, { minLength: 2, maxLength: 6 })).map(([w, ops]) => calls(w, ops)), fc.tuple(who, fc.array(together, { minLength: 2, maxLength: 6 })).map(([w, ops]) => calls(w, ops)),
    fc.tuple(who, alone).map(([w, op]) => calls(w, [op])),
    fc.oneof({ weight: 1, arbitrary: who.map(reopen) }, { weight: 3, arbitrary: fc.tuple(who, together).map(([w, op]) => calls(w, [op])) }),
  ]
}
