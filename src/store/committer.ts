/**
 * Group commit: operations that wait in this realm go into the next transaction together and behave as if one after another, in order of
 * arrival. Each settles when the transaction is complete. When one aborts, its operations are tried alone, endings first: bad luck is one caller's own.
 */
import type { StoreKey } from 'idb'
import { isHoldfastError, toEnvelope } from '../core/envelope.ts'
import { HoldfastError } from '../core/errors.ts'
import type { Job } from '../core/job.ts'
import type { QueueEvent } from '../queue.ts'
import type { Connection } from './connection.ts'
import { ROOMS, type ReceiptRow, type Room, type Schema } from './schema.ts'
import { Work, type Env, type Memory } from './work.ts'

export interface Operation<T> {
  /** Rows it will surely read: fetched together, before any operation of the transaction runs. */
  readonly needs?: ReadonlyArray<{ [R in Room]: readonly [R, StoreKey<Schema, R>] }[Room]>
  readonly run: (work: Work) => Promise<T>
  /** Endings are tried first when a shared transaction failed: what is done must be known as done. */
  readonly ending?: boolean
  /** All that it may touch; default: every room. `meta` is always among them, so that no two transactions of any tabs overlap. */
  readonly rooms?: readonly Room[]
  /** Looks up by index, so it needs a transaction in which nothing is pending. */
  readonly alone?: boolean
  /** May be lost by a power failure: heartbeats, progress, logs. */
  readonly relaxed?: boolean
  /** The client's call: its answer is stored with what it did. */
  readonly call?: { readonly client: string; readonly ids: readonly number[]; readonly reply: (result: T) => unknown }
}

/** What a commit tells the rest of the world. */
export interface Committed {
  readonly events: readonly QueueEvent[]
  readonly wakes: ReadonlySet<string>
  readonly summons: ReadonlySet<string>
  readonly finals: readonly Job[]
  readonly dueAt: number
}

export interface Committer {
  submit<T>(operation: Operation<T>): Promise<T>
  /** Answers up to this call have been heard; their receipts need not be kept. */
  confirm(client: string, before: number): void
  /** Resolves when nothing is waiting or running. */
  idle(): Promise<void>
}

type Outcome = { readonly ok: true; readonly value: unknown } | { readonly ok: false; readonly error: unknown }
/** A stored answer, in the shape in which it would have been sent. */
const replyOf = (call: NonNullable<Operation<unknown>['call']>, outcome: Outcome): unknown =>
  outcome.ok ? { value: call.reply(outcome.value) } : { error: toEnvelope(outcome.error) }

function repliesOf(group: readonly Waiting[], outcomes: readonly Outcome[]): Map<string, Array<ReceiptRow['replies'][number]>> {
  const byClient = new Map<string, Array<ReceiptRow['replies'][number]>>()
  group.forEach(({ operation: { call } }, i) => {
    const outcome = outcomes[i]
    if (!call || !outcome) return
    const list = byClient.get(call.client) ?? []
    list.push([call.ids, replyOf(call, outcome)])
    byClient.set(call.client, list)
  })
  return byClient
}

function storageError(error: unknown): HoldfastError {
  if (isHoldfastError(error)) return error
  const { name, message } = error instanceof Error ? error : { name: 'Error', message: String(error) }
  return name === 'QuotaExceededError'
    ? new HoldfastError('QUOTA', 'The storage of this origin is full: nothing was stored', {}, error)
    : new HoldfastError('STORAGE', `The database refused: ${message}`, { name }, error)
}

interface Waiting { readonly operation: Operation<unknown>; resolve(value: unknown): void; reject(error: unknown): void }

export interface CommitterOptions {
  readonly env: () => Env
  readonly strict: boolean
  readonly committed: (committed: Committed) => void
  readonly failed: (error: unknown) => void
}

const MAX_GROUP = 5000

/** A wide scope costs time at every transaction. */
const scopeOf = (group: readonly Waiting[]): Room[] =>
  group.every(({ operation }) => operation.rooms) ? [...new Set<Room>(['meta', 'receipts', ...group.flatMap(({ operation }) => operation.rooms ?? [])])] : [...ROOMS]

export function createCommitter(connection: Connection, { env, strict, committed, failed }: CommitterOptions): Committer {
  const waiting: Waiting[] = []
  let running: Promise<void> | undefined
  const receipts = new Map<string, ReceiptRow['replies']>()
  let memory: Memory | undefined
  /** Whether the last commit found the database as the one before had left it: while other tabs write too, remembering does not pay. */
  let undisturbed = false

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
        failed(error)
        const first = group.filter(({ operation }) => operation.ending)
        const then = group.filter(({ operation }) => !operation.ending)
        if (group.length === 1) group[0]?.reject(storageError(error))
        else for (const one of [...first, ...then]) await commit([one]).catch((cause: unknown) => { one.reject(storageError(cause)) })
      }
    }
    running = undefined
  }

  /** One transaction. Settles its operations when it is complete; throws when it aborted, having settled none. */
  async function commit(group: readonly Waiting[]): Promise<void> {
    const durability = strict && !group.every(({ operation }) => operation.relaxed) ? 'strict' : 'relaxed'
    const attempt = (remembered: Memory | undefined): Promise<{ readonly outcomes: Outcome[]; readonly work: Work } | undefined> => connection.use(async (db) => {
      const tx = db.transaction(scopeOf(group), 'readwrite', { durability })
      // Handled where it is awaited; a transaction that aborts while an operation runs must not be an unhandled rejection meanwhile.
      tx.done.catch(() => {})
      const view = new Work(tx, env(), remembered)
      const unchanged = remembered ? view.unchanged(remembered.version) : Promise.resolve(true)
      unchanged.catch(() => {})
      try {
        const settled = await run(view, group)
        addReceipts(view, group, settled)
        view.flush()
        if (!await unchanged) { tx.abort(); return undefined }
        tx.commit()
        await tx.done
        return { outcomes: settled, work: view }
      } catch (error) {
        try { tx.abort() } catch { /* it has ended by itself */ }
        // What went wrong on remembered rows that were out of date has not gone wrong.
        if (remembered && await unchanged.catch(() => true) === false) return undefined
        throw tx.error ?? error
      }
    })
    const remembered = undisturbed && memory && group.every(({ operation: { needs, alone } }) => !alone && needs?.every(([room, key]) => memory && Work.remembers(memory, room, key))) ? memory : undefined
    let done = remembered && await attempt(remembered)
    done ??= await attempt(undefined)
    if (!done) throw new Error('a transaction without remembered rows cannot be out of date')
    const { outcomes, work } = done
    const before = memory
    memory = work.memory(before)
    undisturbed = work.found(before)
    remember(group, outcomes)
    outcomes.forEach((outcome, i) => { if (outcome.ok) group[i]?.resolve(outcome.value); else group[i]?.reject(outcome.error) })
    // Stored is stored: an error of whoever listens must not make it look otherwise.
    try { committed(work) } catch (error) { queueMicrotask(() => { throw error }) }
  }

  async function run(work: Work, group: readonly Waiting[]): Promise<Outcome[]> {
    await Promise.all([work.get('meta', 'main'), ...group.flatMap(({ operation }) => operation.needs ?? []).map(([room, key]) => work.get(room, key as never))])
    const outcomes: Outcome[] = []
    for (const { operation } of group) {
      work.begin()
      try { outcomes.push({ ok: true, value: await operation.run(work) }) } catch (error) {
        if (!isHoldfastError(error)) throw error
        work.rollback()
        outcomes.push({ ok: false, error })
      }
    }
    return outcomes
  }

  /** The answers a client has not confirmed, stored with what they answer: after a crash they tell "applied" from "not applied". */
  function addReceipts(work: Work, group: readonly Waiting[], outcomes: readonly Outcome[]): void {
    for (const [client, replies] of repliesOf(group, outcomes))
      work.put('receipts', client, { client, at: work.now, replies: [...(receipts.get(client) ?? []), ...replies] })
  }

  function remember(group: readonly Waiting[], outcomes: readonly Outcome[]): void {
    for (const [client, replies] of repliesOf(group, outcomes)) receipts.set(client, [...(receipts.get(client) ?? []), ...replies])
  }

  return {
    submit: (operation) => new Promise((resolve, reject) => {
      waiting.push({ operation: operation as Operation<unknown>, resolve, reject })
      // A microtask later, so that all calls of one message share the first transaction.
      running ??= Promise.resolve().then(drain)
    }),
    confirm(client, before) {
      const replies = receipts.get(client)
      if (replies) receipts.set(client, replies.filter(([ids]) => ids.some((id) => id >= before)))
    },
    async idle() { while (running) await running },
  }
}
