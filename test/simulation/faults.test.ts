/**
 * One piece of work, played once for each point at which the storage can fail and for each way in which it can: every call is answered, what said yes
 * is stored, what said no is not, and afterwards the queue works again. `FAULT=request:17:never` plays one. There are many requests: of the ways in
 * which each can fail every `FAULT_EVERY`-th is played (3), with 1 all.
 */
import { expect, it } from 'vitest'
import { isHoldfastError } from '../../src/core/envelope.ts'
import { idsOf, type IdRun } from '../../src/core/id.ts'
import type { Job, State } from '../../src/core/job.ts'
import type { Method } from '../../src/door/protocol.ts'
import type { Held } from '../../src/store/operations.ts'
import { Database, FAIR, type CommitFate, type Fate, type Weather } from './database.ts'
import { createHandlers, type Act, type Data } from './handlers.ts'
import { Monitor } from './monitor.ts'
import { Tab, type Surroundings } from './tab.ts'
import { World, type Realm } from './world.ts'

const NAME = 'faulty'
const DAY = 86_400_000

type Point = 'request' | 'commit' | 'open'
const KINDS = {
  request: ['fail', 'quota', 'late', 'never', 'closed'],
  commit: ['fail', 'quota', 'lies', 'silent', 'late', 'never', 'closed'],
  open: ['fail', 'late', 'never'],
} as const satisfies Record<Point, readonly string[]>
interface Fault { readonly point: Point; readonly at: number; readonly kind: string }
/** Longer than anybody waits. */
const LATE_MS = 15_000

type Answer<T> = { readonly said: 'yes'; readonly value: T } | { readonly said: 'no' | 'unknown'; readonly error: unknown }
interface Claimed { readonly box?: number; readonly token?: string; readonly jobs: readonly Job[] }

class Play {
  readonly world = new World(1)
  readonly database = new Database(this.world)
  readonly monitor = new Monitor(this.world, this.database, NAME)
  readonly counted: Record<Point, number> = { request: 0, commit: 0, open: 0 }
  readonly #around: Surroundings
  constructor(private readonly fault?: Fault) {
    const { world, database, monitor } = this
    const handlers = createHandlers(world, (what) => { monitor.wrong(what) })
    this.#around = { world, database, name: NAME, handler: handlers.handler, watched: (_realm, execute) => execute, signIn: () => Promise.resolve(), fetch: () => () => Promise.reject(new TypeError('no network')) }
    database.weather = this.#weather()
  }

  #weather(): Weather {
    const hit = (point: Point): boolean => this.counted[point]++ === this.fault?.at && point === this.fault.point
    const fate = (point: Point, realm: Realm): CommitFate & Fate | { kind: 'late'; ms: number } => {
      if (!hit(point)) return { kind: 'ok' }
      const { kind } = this.fault!
      if (kind === 'late') return { kind, ms: LATE_MS }
      if (kind === 'closed') { this.world.post(this.world.storage, () => { this.database.closeAll(realm) }); return { kind: 'ok' } }
      return { kind } as CommitFate & Fate
    }
    return { request: (realm) => fate('request', realm), commit: (realm) => fate('commit', realm), open: (realm) => fate('open', realm) }
  }

  open(names: readonly string[]): Tab { return new Tab(this.#around, names.map((queue) => ({ queue, concurrency: 2 }))) }

  async ask<T>(tab: Tab, method: Method | 'push', ...args: readonly unknown[]): Promise<Answer<T>> {
    let answer: Answer<T> | undefined
    tab.call<T>(method, ...args).then((value) => { answer = { said: 'yes', value } }, (error: unknown) => {
      const unknown = isHoldfastError(error) && (error.details['unknown'] === true || error.code === 'WORKER_DIED')
      answer = { said: unknown ? 'unknown' : 'no', error }
    })
    await this.world.run()
    for (let ms = 100; answer === undefined && this.world.awake < 1_000_000; ms = Math.min(2 * ms, 5000)) await this.world.advance(ms)
    if (!answer) throw new Error(`${method} hangs`)
    this.world.log(`${method}: ${answer.said}${answer.said === 'yes' ? '' : ` ${String(answer.error)}`}`)
    return answer
  }

  ids(token: string): ReadonlySet<string> { return this.monitor.byToken.get(token) ?? new Set() }

  /** Pushes are all or nothing, and tell what became of them. */
  async push(tab: Tab, queue: string, jobs: ReadonlyArray<{ readonly token: string; readonly plan?: readonly Act[]; readonly options?: object }>, together = true): Promise<string[]> {
    const inputs = jobs.map(({ token, plan = ['ok'], options }) => ({ name: 'work', data: { token, plan } satisfies Data, options: { metadata: { token }, backoff: { type: 'fixed', delayMs: 500 }, ...options } }))
    const answer = await this.ask<IdRun>(tab, together ? 'pushMany' : 'push', queue, together ? inputs : inputs[0])
    const stored = jobs.filter(({ token }) => this.ids(token).size > 0).length
    if (answer.said === 'yes') expect([stored, idsOf(answer.value)], 'a push said yes').toEqual([jobs.length, jobs.map(({ token }) => [...this.ids(token)][0])])
    if (answer.said === 'no') expect(stored, 'a push said no').toBe(0)
    return answer.said === 'yes' ? idsOf(answer.value) : []
  }

  state(id: string): State | undefined { for (const { job } of this.monitor.now.values()) if (job.id === id) return job.state; return undefined }

  async act(tab: Tab, method: 'cancel' | 'remove' | 'promote' | 'retry', id: string | undefined, done: ReadonlyArray<State | undefined>): Promise<void> {
    if (id === undefined) return
    const before = this.state(id)
    if (method === 'remove') this.monitor.removable.add(id)
    if (method === 'retry') this.monitor.retried.set(id, 1)
    const answer = await this.ask(tab, method, id)
    if (answer.said === 'yes') expect(done, `${method} said yes`).toContain(this.state(id))
    if (answer.said === 'no' && !['waiting', 'delayed', 'active'].includes(before ?? '')) expect(this.state(id), `${method} said no`).toBe(before)
  }

  async pull(tab: Tab, count: number): Promise<Array<Held & { readonly job: Job }>> {
    const answer = await this.ask<Claimed>(tab, 'pull', 'beta', count)
    if (answer.said !== 'yes') return []
    const { box = -1, token = '', jobs } = answer.value
    return jobs.map((job) => ({ box, token, seq: job.seq, job }))
  }

  async end(tab: Tab, held: Held | undefined, method: 'ackMany' | 'fail', done: readonly string[]): Promise<void> {
    if (!held) return
    const { box, token, seq } = held
    const answer = await this.ask<ReadonlyArray<{ ok: boolean }>>(tab, method, ...(method === 'fail' ? [{ box, token, seq }, { name: 'Error', message: 'no' }] : [[{ held: { box, token, seq } }]]))
    const how = this.monitor.left.get(`${box}:${seq}`)?.how
    const yes = answer.said === 'yes' && (method === 'fail' || answer.value[0]?.ok === true)
    if (yes) expect(done, `${method} said yes`).toContain(how)
    else if (answer.said !== 'unknown') expect(done, `${method} said no`).not.toContain(how)
  }

  // ---- the work ----

  async work(): Promise<void> {
    const { world } = this
    const one = this.open(['alpha'])
    await this.push(one, 'alpha', [{ token: 'quick' }], false)
    await this.push(one, 'alpha', [{ token: 'fails', plan: ['fails', 'ok'] }, { token: 'late', options: { delayMs: 1500 } }, { token: 'dead', plan: ['unrecoverable', 'ok'] }])
    const [first, second, third, fourth, fifth] = await this.push(one, 'beta', ['first', 'second', 'third', 'fourth', 'fifth'].map((token) => ({ token, options: token === 'fifth' ? { delayMs: 3_600_000 } : { maxAttempts: 1 } })))
    const [a, b] = await this.pull(one, 2)
    await this.end(one, a, 'ackMany', ['completed'])
    const two = this.open(['alpha'])
    await this.push(two, 'alpha', [{ token: 'other' }], false)
    await this.end(one, b, 'fail', ['dead'])
    await this.act(two, 'retry', b?.job.id, ['waiting'])
    await this.act(two, 'cancel', [first, second, third, fourth].find((id) => id !== undefined && this.state(id) === 'waiting'), ['cancelled'])
    await this.act(one, 'promote', fifth, ['waiting', 'active'])
    await this.act(two, 'remove', fourth, [undefined])
    for (let n = 0; n < 4; n++) for (const held of await this.pull(two, 2)) await this.end(two, held, 'ackMany', ['completed'])
    await world.advance(6000)
    world.jump(2 * DAY)
    await world.advance(12_000)
    await this.#after(one, two)
  }

  /** The storage is well again. */
  async #after(one: Tab, two: Tab): Promise<void> {
    const { world, database, monitor } = this
    const faulty = database.weather
    database.weather = FAIR
    for (let n = 0; n < 20 && database.pending.length > 0; n++) await world.advance(5000)
    await world.advance(40_000)
    for (const tab of [one, two]) {
      const { said } = await this.ask(tab, 'queues')
      if (said !== 'yes') await this.ask(tab, 'queues')
    }
    await this.push(one, 'alpha', [{ token: 'after' }], false)
    await this.push(two, 'beta', [{ token: 'after too' }], false)
    for (let n = 0; n < 8; n++) for (const held of await this.pull(one, 5)) await this.end(one, held, 'ackMany', ['completed'])
    await world.advance(5000)
    for (const token of ['after', 'after too']) {
      const [id = ''] = this.ids(token)
      expect(this.state(id), token).toBe('completed')
    }
    const open = [...monitor.now.values()].map(({ job }) => job).filter(({ state }) => state === 'waiting' || state === 'active' || state === 'delayed')
    expect(open.filter(({ id }) => !this.ids('fifth').has(id)).map(({ metadata, state }) => [metadata, state]), 'what is left').toEqual([])
    for (const tab of [one, two]) await this.ask(tab, 'close', 0)
    database.weather = faulty
  }
}

async function play(fault?: Fault): Promise<Play> {
  const one = new Play(fault)
  try {
    await one.world.inside(() => one.work())
    expect(one.monitor.problems).toEqual([])
  } catch (error) {
    const name = fault ? `${fault.point}:${fault.at}:${fault.kind}` : 'no fault'
    throw new Error(`${name}: ${error instanceof Error ? error.message : String(error)}\n\n${one.world.trace.slice(-Number(process.env['SIM_LINES'] ?? 40)).join('\n')}\n\nFAULT=${name} npx vitest run --project unit test/simulation/faults.test.ts\n`, { cause: error })
  }
  return one
}

const asked = process.env['FAULT']?.split(':')
const EVERY = Number(process.env['FAULT_EVERY'] ?? 3)

it('without a fault', async () => {
  const { counted, world: { trace } } = await play()
  expect(counted.commit).toBeGreaterThan(20)
  expect(trace.filter((line) => / (no|unknown) /.test(line))).toEqual([])
})

it.each(asked ? [] : Object.entries(KINDS).flatMap(([point, kinds]) => kinds.map((kind) => [point as Point, kind] as const)))('each %s: %s', { timeout: 300_000 }, async (point, kind) => {
  const { counted } = await play()
  const failures: unknown[] = []
  const step = point === 'request' ? EVERY : 1
  for (let at = (KINDS[point] as readonly string[]).indexOf(kind) % step; at < counted[point]; at += step) await play({ point, at, kind }).catch((error: unknown) => { failures.push(error) })
  const [first] = failures
  if (first) expect.fail(`${(first as Error).message}\n${failures.map((error) => (error as Error).message.split('\n')[0]).join('\n')}`)
})

it.runIf(asked)('the fault that was asked for', async () => {
  const [point, at, kind] = asked as [Point, string, string]
  await play({ point, at: Number(at), kind })
})
