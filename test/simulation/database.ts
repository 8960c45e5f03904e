/**
 * fake-indexeddb with bad luck: each request, commit and open may fail, hang, lie or be the last thing its realm does. A transaction stays open
 * while what it asked for has not reached its realm, as in a browser; fake-indexeddb's own loop would end it, so this has one of its own.
 */
import 'fake-indexeddb/auto'
import { IDBFactory as FakeFactory } from 'fake-indexeddb'
import { unpack } from '../../src/store/packing.ts'
import { ROOMS } from '../../src/store/schema.ts'
import { withLastQueue, type Stored } from '../unit/support/database.ts'
import type { Realm, World } from './world.ts'

/** `late`: heard of after so many ms. `never`: the transaction hangs until the browser gives it up. */
export type Fate = { readonly kind: 'ok' | 'fail' | 'quota' | 'never' | 'crash' } | { readonly kind: 'late'; readonly ms: number }
/** `fail`, `quota`: not applied. `lies`: applied, but reported as failed. `silent`: applied, and never reported. `late`: applied after so many ms. `never`: not applied, and given up by the browser at last. */
export type CommitFate = { readonly kind: 'ok' | 'fail' | 'quota' | 'lies' | 'silent' | 'never' | 'crash before' | 'crash after' } | { readonly kind: 'late'; readonly ms: number }

export interface Weather {
  request(realm: Realm, write: boolean): Fate
  commit(realm: Realm): CommitFate
  open(realm: Realm): Fate
}

export const FAIR: Weather = { request: () => ({ kind: 'ok' }), commit: () => ({ kind: 'ok' }), open: () => ({ kind: 'ok' }) }

/** How long a browser watches a transaction that does nothing. */
export const GIVEN_UP_MS = 60_000

type Handler = ((event: unknown) => void) | null
interface RawRequest { readyState: string; result: unknown; error: unknown; onsuccess: Handler; onerror: Handler }
interface RawTransaction {
  _state: 'active' | 'inactive' | 'committing' | 'finished'
  _started: boolean
  _requests: Array<{ readonly operation: () => unknown; readonly request: RawRequest }>
  _rollbackLog: Array<() => void>
  _start(): void
  _abort(name: string | null): void
  _markFinished(): void
  readonly mode: string
  error: unknown
  oncomplete: Handler
  onabort: Handler
}
interface RawStore { readonly records: { values(): Iterable<{ readonly key: unknown; readonly value: unknown }> } }
interface RawBase { readonly name: string; connections: RawConnection[]; readonly rawObjectStores: ReadonlyMap<string, RawStore>; processTransactions(): void }
interface RawConnection { _closePending: boolean; _closed: boolean; readonly _rawDatabase: RawBase; onclose: Handler; transaction(names: string[], mode?: string, options?: unknown): RawTransaction; close(): void }
interface RawOpening extends RawRequest { onupgradeneeded: Handler; transaction: { abort(): void } | null }

/** Instead of an error: nobody is told. */
const SILENCE = Symbol('silence')
const problem = (name: string): DOMException => new DOMException('The storage had bad luck', name)

export class Database {
  readonly #factory = new FakeFactory()
  #base: RawBase | undefined
  readonly #open = new Map<RawConnection, Realm>()
  /** Databases that are being opened. */
  readonly #opened: string[] = []
  readonly #rows = new WeakMap<object, unknown>()
  /** What waits for connections to be closed. */
  readonly #closed: Array<() => void> = []
  readonly #pending = new Map<RawTransaction, { readonly connection: RawConnection; readonly realm: Realm; readonly step: () => void }>()
  weather: Weather = FAIR
  /** Called right after anything was written. */
  committed: (realm: Realm) => void = () => {}
  constructor(private readonly world: World) {}

  // ---- looking in ----

  /** All rows as they are now, by reference: not to be changed. */
  rows(): Stored {
    const base = this.#base
    return withLastQueue(Object.fromEntries(ROOMS.map((room) => {
      const records = [...base?.rawObjectStores.get(room)?.records.values() ?? []]
      return [room, records.map(({ key, value: stored }) => { const value = this.#unpacked(stored); return room === 'boxes' || room === 'archives' ? { ...value as object, key } : value })]
    })) as unknown as Stored)
  }

  /** The same object each time, so that what did not change is known by sight. */
  #unpacked(stored: unknown): unknown {
    const known = this.#rows.get(stored as object)
    if (known !== undefined) return known
    const row = unpack(stored)
    this.#rows.set(stored as object, row)
    return row
  }

  /** What is under way, in words. */
  get pending(): string[] { return [...this.#pending].map(([tx, { realm }]) => `${realm.name}${realm.alive ? '' : ' †'}${realm.frozen ? ' frozen' : ''}: ${tx.mode} ${tx._state}, ${tx._started ? 'started' : 'waiting'}, ${tx._requests.length} requests`) }

  /** Whether a transaction of this realm is under way. */
  busy(realm: Realm): boolean { return [...this.#pending.values()].some((one) => one.realm === realm) }

  // ---- opening ----

  /** The factory as this realm sees it. */
  factory(realm: Realm): IDBFactory {
    return { open: (name: string, version?: number) => this.#opening(realm, name, version), deleteDatabase: (name: string) => this.#deleting(realm, name) } as unknown as IDBFactory
  }

  #opening(realm: Realm, name: string, version: number | undefined): IDBOpenDBRequest {
    const { world } = this
    const seen: RawOpening = { readyState: 'pending', result: undefined, error: null, onsuccess: null, onerror: null, onupgradeneeded: null, transaction: null }
    const fate = this.weather.open(realm)
    if (fate.kind !== 'ok') world.log(`${realm.name}: opening: ${fate.kind}`)
    const fail = (error: unknown): void => { world.post(realm, () => { seen.error = error; seen.onerror?.({}) }) }
    if (fate.kind === 'fail' || fate.kind === 'quota') { fail(problem(fate.kind === 'quota' ? 'QuotaExceededError' : 'UnknownError')); return seen as unknown as IDBOpenDBRequest }
    if (fate.kind === 'crash') { world.kill(realm); return seen as unknown as IDBOpenDBRequest }
    const raw = this.#factory.open(name, version) as unknown as RawOpening
    this.#opened.push(name)
    raw.onupgradeneeded = (event) => { seen.result = raw.result; seen.onupgradeneeded?.(event) }
    raw.onerror = () => { this.#opened.splice(this.#opened.indexOf(name), 1); fail(raw.error); this.#deleteClosed() }
    raw.onsuccess = () => {
      const connection = this.#connection(realm, raw.result as RawConnection)
      this.#opened.splice(this.#opened.indexOf(name), 1)
      // The reserve has one of its own, which nobody looks into.
      if (name.startsWith('holdfast:')) this.#base = connection._rawDatabase
      if (!realm.alive || fate.kind === 'never') { connection.close(); return }
      const deliver = (): void => { world.post(realm, () => { seen.result = connection; seen.onsuccess?.({}) }) }
      if (fate.kind === 'late') world.after(world.storage, fate.ms, deliver)
      else deliver()
    }
    return seen as unknown as IDBOpenDBRequest
  }

  /** fake-indexeddb would poll until the last connection is closed. */
  #deleting(realm: Realm, name: string): IDBOpenDBRequest {
    const seen: RawOpening = { readyState: 'pending', result: undefined, error: null, onsuccess: null, onerror: null, onupgradeneeded: null, transaction: null }
    const attempt = (): void => {
      if (this.#opened.includes(name) || [...this.#open.keys()].some(({ _rawDatabase }) => _rawDatabase.name === name)) { this.#closed.push(attempt); return }
      const raw = this.#factory.deleteDatabase(name) as unknown as RawOpening
      raw.onsuccess = () => { this.world.post(realm, () => { seen.onsuccess?.({}) }) }
    }
    attempt()
    return seen as unknown as IDBOpenDBRequest
  }

  #deleteClosed(): void { for (const attempt of this.#closed.splice(0)) attempt() }

  #connection(realm: Realm, connection: RawConnection): RawConnection {
    this.#open.set(connection, realm)
    // fake-indexeddb waits for all transactions of all connections, and polls until then.
    connection.close = () => {
      connection._closePending = connection._closed = true
      connection._rawDatabase.connections = connection._rawDatabase.connections.filter((one) => one !== connection)
      this.#open.delete(connection)
      this.#deleteClosed()
    }
    const transaction = connection.transaction.bind(connection)
    connection.transaction = (...args) => this.#transaction(realm, connection, transaction(...args))
    realm.mourners.add(() => {
      if (!connection._closed) connection.close()
      // What it had asked to commit goes on without it.
      for (const [tx, one] of this.#pending) if (one.connection === connection) { if (tx._state === 'committing') this.world.post(this.world.storage, one.step); else tx._abort('AbortError') }
    })
    return connection
  }

  /** The browser closes a realm's connections, as when the user clears the site's data or the disk fails. */
  closeAll(realm: Realm): void {
    for (const [connection, owner] of this.#open) if (owner === realm) {
      connection.close()
      for (const [tx, one] of this.#pending) if (one.connection === connection && tx._state !== 'committing') tx._abort('AbortError')
      this.world.post(realm, () => { connection.onclose?.({}) })
    }
  }

  /** Ends what a frozen realm has under way, as a browser does that wants the locks. */
  abortAll(realm: Realm): void {
    for (const [tx, one] of this.#pending) if (one.realm === realm && tx._state !== 'committing') tx._abort('AbortError')
  }

  // ---- transactions ----

  #transaction(realm: Realm, connection: RawConnection, tx: RawTransaction): RawTransaction {
    const { world } = this
    let ending = false
    this.#pending.set(tx, { connection, realm, step: () => { step() } })
    const over = (): void => {
      tx._markFinished()
      this.#pending.delete(tx)
      connection._rawDatabase.processTransactions()
    }
    const rollBack = (): void => { for (const undo of tx._rollbackLog.reverse()) undo(); tx._rollbackLog = [] }
    const write = tx.mode === 'readwrite'
    const giveUp = (): void => { world.after(world.storage, GIVEN_UP_MS, () => { if (tx._state === 'finished') return; if (tx._state === 'committing') finish(false, problem('AbortError')); else tx._abort('AbortError') }) }

    tx._abort = (name) => {
      if (tx._state === 'finished') return
      rollBack()
      if (name !== null) tx.error = problem(name)
      for (const { request } of tx._requests.splice(0)) if (request.readyState !== 'done') {
        request.readyState = 'done'
        request.error = problem('AbortError')
        if (request.onerror) world.post(realm, () => { request.onerror?.({}) })
      }
      over()
      world.post(realm, () => { tx.onabort?.({}) })
    }

    /** The end of a commit. */
    const finish = (applied: boolean, error?: unknown): void => {
      if (!applied) rollBack()
      const wrote = tx._rollbackLog.length > 0
      over()
      if (wrote) this.committed(realm)
      if (error === undefined) world.post(realm, () => { tx.oncomplete?.({}) })
      else if (error !== SILENCE) { tx.error = error; world.post(realm, () => { tx.onabort?.({}) }) }
    }

    const commit = (): void => {
      const fate: CommitFate = write && realm.alive ? this.weather.commit(realm) : { kind: 'ok' }
      if (fate.kind !== 'ok') world.log(`${realm.name}: commit: ${fate.kind}`)
      ending = true
      tx._state = 'committing'
      switch (fate.kind) {
        case 'ok': finish(true); break
        case 'fail': finish(false, problem('UnknownError')); break
        case 'quota': finish(false, problem('QuotaExceededError')); break
        case 'lies': finish(true, problem('UnknownError')); break
        case 'silent': finish(true, SILENCE); break
        case 'late': world.after(world.storage, fate.ms, () => { if (tx._state === 'committing') finish(true) }); break
        case 'never': giveUp(); break
        case 'crash before': world.kill(realm); finish(false); break
        case 'crash after': world.kill(realm); finish(true); break
      }
    }

    /** What was asked is done; its event reaches the realm, and only then the transaction goes on. */
    const answer = ({ operation, request }: RawTransaction['_requests'][number]): void => {
      let failure: unknown
      try {
        request.result = operation()
        request.error = undefined
      } catch (error) { failure = error }
      tell(request, failure)
    }
    const tell = (request: RawRequest, failure: unknown): void => {
      request.readyState = 'done'
      if (failure === undefined) {
        if (!request.onsuccess || !realm.alive) { step(); return }
        world.post(realm, () => { if (tx._state === 'finished') return; request.onsuccess?.({}); world.post(world.storage, step) })
        return
      }
      request.result = undefined
      request.error = failure
      const { name } = failure as Error
      if (!request.onerror || !realm.alive) { tx._abort(name); return }
      world.post(realm, () => { if (tx._state === 'finished') return; request.onerror?.({}); world.post(world.storage, () => { tx._abort(name) }) })
    }

    const step = (): void => {
      if (tx._state === 'finished' || ending) return
      const next = tx._requests.shift()
      if (!next) { commit(); return }
      if (next.request.readyState === 'done') { step(); return }
      const fate: Fate = realm.alive ? this.weather.request(realm, write) : { kind: 'ok' }
      if (fate.kind !== 'ok') world.log(`${realm.name}: request: ${fate.kind}`)
      switch (fate.kind) {
        case 'ok': answer(next); break
        case 'fail': tell(next.request, problem('UnknownError')); break
        case 'quota': tell(next.request, problem('QuotaExceededError')); break
        case 'late': tx._requests.unshift(next); world.after(world.storage, fate.ms, () => { if (tx._state === 'finished' || tx._requests[0] !== next) return; tx._requests.shift(); answer(next) }); break
        case 'never': tx._requests.unshift(next); giveUp(); break
        case 'crash': tx._requests.unshift(next); world.kill(realm); break
      }
    }
    tx._start = () => { tx._started = true; step() }
    return tx
  }
}
