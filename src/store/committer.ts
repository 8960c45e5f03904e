/**
 * Group commit: operations that wait in this realm go into the next transaction together and behave as if one after another, in order of
 * arrival. Each settles when the transaction is complete. When one aborts, its operations are tried alone, endings first: bad luck is one caller's own.
 */
import { isHoldfastError, toEnvelope } from '../core/envelope.ts'
import { HoldfastError } from '../core/errors.ts'
import type { Job } from '../core/job.ts'
import type { QueueEvent } from '../queue.ts'
import { isOwnFault, type Connection } from './connection.ts'
import { receiptOf } from './reads.ts'
import { ROOMS, type ReceiptRow, type Room } from './schema.ts'
import type { Key } from './tx.ts'
import { endFamilies } from './verbs/parents.ts'
import { Work, type Env, type Memory } from './work.ts'

export interface Operation<T> {
  /** Rows it will surely read: fetched together, before any operation of the transaction runs. */
  readonly needs?: ReadonlyArray<{ [R in Room]: readonly [R, Key<R>] }[Room]>
  readonly run: (work: Work) => Promise<T>
  /** Endings are tried first when a shared transaction failed: what is done must be known as done. */
  readonly ending?: boolean
  /** All that it may touch; default: every room. `meta` is always among them, so that no two transactions of any tabs overlap. */
  readonly rooms?: readonly Room[]
  /** It stores more than it frees, so it may not use what is kept for the ends of stored jobs. */
  readonly grows?: boolean
  /** About how much it writes, where that may be much. */
  readonly bytes?: number | undefined
  /** Looks up by index, so it needs a transaction in which nothing is pending. */
  readonly alone?: boolean
  /** May be lost by a power failure: heartbeats, progress, logs. */
  readonly relaxed?: boolean
  /** The client's call: its answer is stored with what it did. */
  readonly call?: { readonly ids: readonly number[]; readonly reply: (result: T) => unknown }
}

/** What a commit tells the rest of the world. */
export interface Committed {
  readonly events: readonly QueueEvent[]
  readonly wakes: ReadonlySet<string>
  readonly summons: ReadonlySet<string>
  readonly finals: readonly Job[]
  readonly dueAt: number
  readonly generation: string
}

export interface Committer {
  submit<T>(operation: Operation<T>): Promise<T>
  /** The answers to these calls have been heard; their receipts need not be kept. */
  confirm(calls: readonly number[]): void
  /** What a former worker answered, and the client has not heard. */
  restore(receipts: ReceiptRow['replies']): void
  /** Refuses what waits, and from now on what the client calls for: it asks its next engine. What is being stored is. */
  abandon(reason: HoldfastError): void
  /** Resolves when nothing is waiting or running. */
  idle(): Promise<void>
}

type Outcome = { readonly ok: true; readonly value: unknown } | { readonly ok: false; readonly error: unknown }
/** A stored answer, in the shape in which it would have been sent. */
const replyOf = (call: NonNullable<Operation<unknown>['call']>, outcome: Outcome): unknown =>
  outcome.ok ? { value: call.reply(outcome.value) } : { error: toEnvelope(outcome.error) }

const isFull = (error: unknown): boolean => error instanceof Error && error.name === 'QuotaExceededError'
const UNKNOWN = 'The database failed, and cannot say whether this was stored'

export function storageError(error: unknown): HoldfastError {
  if (isHoldfastError(error)) return error
  const { name, message } = error instanceof Error ? error : { name: 'Error', message: String(error) }
  return name === 'QuotaExceededError'
    ? new HoldfastError('QUOTA', 'The storage of this origin is full: nothing was stored', {}, error)
    : new HoldfastError('STORAGE', `The database refused: ${message}`, { name }, error)
}

/** What a commit answers, stored with it: after a crash it tells "applied" from "not applied". */
const answersOf = (group: readonly Waiting[], outcomes: readonly Outcome[]): ReceiptRow['replies'] =>
  group.flatMap(({ operation: { call } }, i) => { const outcome = outcomes[i]; return call && outcome ? [[call.ids, replyOf(call, outcome)] as const] : [] })

interface Done { readonly outcomes: readonly Outcome[]; readonly answers: ReceiptRow['replies']; readonly work: Work }
interface Waiting { readonly operation: Operation<unknown>; resolve(value: unknown): void; reject(error: unknown): void }

export interface CommitterOptions {
  /** Whose calls are answered here. */
  readonly client: string
  readonly env: () => Env
  readonly strict: boolean
  readonly sleep: (ms: number) => Promise<void>
  readonly committed: (committed: Committed) => void
  /** The storage cannot be used; without an error: it can again. */
  readonly health: (trouble?: unknown) => void
  /** The origin's storage is full. */
  readonly full: () => void
  /** Gives back what was kept so that stored jobs can end. */
  readonly relieve: () => Promise<void>
}

const TRIES = 3
/** Longer than this nothing waits for the reserve to be given back. */
const RELIEF_MS = 1000
const MAX_GROUP = 5000

/** A wide scope costs time at every transaction. */
const scopeOf = (group: readonly Waiting[]): Room[] =>
  group.every(({ operation }) => operation.rooms) ? [...new Set<Room>(['meta', 'receipts', ...group.flatMap(({ operation }) => operation.rooms ?? [])])] : [...ROOMS]

export function createCommitter(connection: Connection, { client, env, strict, sleep, committed, health, full, relieve }: CommitterOptions): Committer {
  const waiting: Waiting[] = []
  let running: Promise<void> | undefined
  /** What the client has not confirmed. */
  let replies: ReceiptRow['replies'] = []
  /** Calls of `replies` that the client has confirmed; an answer of many calls is kept until all are. */
  const heard = new Set<number>()
  let memory: Memory | undefined
  /** Whether the last commit found the database as the one before had left it: while other tabs write too, remembering does not pay. */
  let undisturbed = false
  const me = env().token()
  let commits = 0
  let ill = false
  let abandoned: HoldfastError | undefined

  /** The next operations that may share a transaction. */
  function nextGroup(): Waiting[] {
    const alone = waiting.findIndex(({ operation }) => operation.alone)
    const size = alone === 0 ? 1 : Math.min(alone < 0 ? waiting.length : alone, MAX_GROUP)
    return waiting.splice(0, size)
  }

  async function drain(): Promise<void> {
    while (waiting.length > 0) {
      const group = nextGroup()
      try { await commit(group) } catch (error) {
        const alone = group.length > 1 && isOwnFault(error) && !isHoldfastError(error)
        const first = group.filter(({ operation }) => operation.ending)
        const then = group.filter(({ operation }) => !operation.ending)
        for (const one of [...first, ...then]) await (alone ? commit([one]) : Promise.reject(error as Error)).catch((cause: unknown) => { one.reject(storageError(cause)) })
      }
    }
    running = undefined
  }

  /** Settles the operations of a group once they are stored; throws when they are not, having settled none. What the storage failed to do is tried again. */
  async function commit(group: readonly Waiting[]): Promise<void> {
    const stamp = `${me}:${++commits}`
    let trouble: unknown
    /** What was asked for, and may have been done all the same. */
    let sent: Done | undefined
    let eased = false
    for (let n = 1; n <= (ill && !eased ? 1 : TRIES); n++) {
      if (n > 1) await sleep(25 * 4 ** n)
      try {
        const done = sent && await wasApplied(stamp) ? sent : await attempt(group, stamp, eased, (what) => { sent = what })
        if (ill) { ill = false; health() }
        conclude(group, done)
        return
      } catch (error) {
        memory = undefined
        trouble = error
        if (isFull(error)) full()
        // What is stored must be able to end: the reserve is spent, which some browsers notice a little later, and pushes wait until it is back.
        const ends = isFull(error) && group.every(({ operation }) => !operation.grows)
        if (isOwnFault(error) && !ends) throw error
        if (ends && !eased) { await Promise.race([relieve().catch(() => {}), sleep(RELIEF_MS)]); eased = true }
      }
    }
    if (isOwnFault(trouble)) throw trouble
    if (!ill) { ill = true; health(trouble) }
    throw sent ? new HoldfastError('STORAGE', UNKNOWN, { unknown: true }, trouble) : trouble
  }

  /** Whether the last commit of this realm is that of `stamp`. Asks after whatever is still on its way. */
  const wasApplied = (stamp: string): Promise<boolean> => connection.use(['meta', 'receipts'], async (tx) => (await receiptOf(tx, client))?.commit === stamp)

  async function attempt(group: readonly Waiting[], stamp: string, eased: boolean, sending: (done: Done) => void): Promise<Done> {
    const remembered = undisturbed && memory && group.every(({ operation: { needs, alone } }) => !alone && needs?.every(([room, key]) => memory && Work.remembers(memory, room, key))) ? memory : undefined
    const lost = new Set<string>()
    for (let known = -1; known < lost.size;) {
      known = lost.size
      const done = (remembered && await transact(group, stamp, eased, sending, lost, remembered)) ?? await transact(group, stamp, eased, sending, lost)
      if (done) return done
    }
    throw new Error('read afresh, yet out of date')
  }

  /** One transaction; undefined when what was remembered turned out to be out of date, or rows to be lost that were not known to be, so that nothing was done. */
  function transact(group: readonly Waiting[], stamp: string, eased: boolean, sending: (done: Done) => void, lost: Set<string>, remembered?: Memory): Promise<Done | undefined> {
    const durability = strict && !group.every(({ operation }) => operation.relaxed) ? 'strict' : 'relaxed'
    return connection.use(scopeOf(group), async (tx) => {
      tx.avoided = lost
      const work = new Work(tx, env(), remembered)
      const unchanged = remembered ? work.unchanged(remembered) : Promise.resolve(true)
      unchanged.catch(() => {})
      try {
        const outcomes = await run(work, group)
        if (tx.lost.size > 0) {
          for (const id of tx.lost) lost.add(id)
          tx.abort()
          return undefined
        }
        if (eased) work.put('meta', 'main', { ...work.meta, reserve: 'spent' })
        const answers = answersOf(group, outcomes)
        work.flush({ client, commit: stamp, at: work.now, replies: repliesWith(answers) })
        if (!await unchanged) { tx.raw.abort(); return undefined }
        const done = { outcomes, answers, work }
        sending(done)
        tx.raw.commit()
        await tx.done
        return done
      } catch (error) {
        tx.abort()
        // What went wrong on remembered rows that were out of date has not gone wrong.
        if (remembered && await unchanged.catch(() => true) === false) return undefined
        throw tx.raw.error ?? error
      }
    }, 'readwrite', { durability }, group.reduce((sum, { operation: { bytes = 0 } }) => sum + bytes, 0))
  }

  /** A call that waits answers several times: the last one counts. */
  function repliesWith(answers: ReceiptRow['replies']): ReceiptRow['replies'] {
    const again = new Set(answers.map(([[id]]) => id))
    return [...replies.filter(([[id]]) => !again.has(id)), ...answers]
  }

  function conclude(group: readonly Waiting[], { outcomes, answers, work }: Done): void {
    const before = memory
    memory = work.memory(before)
    undisturbed = work.found(before)
    replies = repliesWith(answers)
    outcomes.forEach((outcome, i) => { if (outcome.ok) group[i]?.resolve(outcome.value); else group[i]?.reject(outcome.error) })
    // Stored is stored: an error of whoever listens must not make it look otherwise.
    try { committed(work) } catch (error) { queueMicrotask(() => { throw error }) }
  }

  async function run(work: Work, group: readonly Waiting[]): Promise<Outcome[]> {
    await Promise.all([work.get('meta', 'main'), ...group.flatMap(({ operation }) => operation.needs ?? []).map(([room, key]) => work.get(room, key as never))])
    const outcomes: Outcome[] = []
    for (const { operation } of group) {
      work.begin()
      try {
        const value = await operation.run(work)
        await endFamilies(work)
        outcomes.push({ ok: true, value })
      } catch (error) {
        if (!isHoldfastError(error)) throw error
        work.rollback()
        outcomes.push({ ok: false, error })
      }
    }
    return outcomes
  }

  return {
    submit: (operation) => new Promise((resolve, reject) => {
      if (abandoned && operation.call) { reject(abandoned); return }
      waiting.push({ operation: operation as Operation<unknown>, resolve, reject })
      // A microtask later, so that all calls of one message share the first transaction.
      running ??= Promise.resolve().then(drain)
    }),
    confirm(calls) {
      if (calls.length === 0) return
      for (const id of calls) heard.add(id)
      replies = replies.filter(([ids]) => !ids.every((id) => heard.has(id)))
      const kept = new Set(replies.flatMap(([ids]) => ids))
      for (const id of heard) if (!kept.has(id)) heard.delete(id)
    },
    restore(receipts) { replies = receipts },
    abandon(reason) {
      abandoned = reason
      for (const one of waiting.splice(0)) one.reject(reason)
    },
    async idle() { while (running) await running },
  }
}
