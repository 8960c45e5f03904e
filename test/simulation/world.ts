/** What lies around the engines: realms that can freeze and crash, one time for all, locks, a channel. Everything happens in an order that chance decides. */
import type { Channel, Message } from '../../src/platform/channel.ts'
import type { Clock } from '../../src/platform/clock.ts'
import type { Connectivity } from '../../src/platform/connectivity.ts'
import { noLocks, type Locks } from '../../src/platform/locks.ts'
import { Random } from './random.ts'

export const START = 1_800_000_000_000
/** More tasks than this at one instant: something spins. */
const MOST_TASKS = 60_000
const MOST_TIMERS = 5000

const realSetImmediate = globalThis.setImmediate
const realRandom = Math.random
const realNow = performance.now
/** All microtasks have run. */
const turn = (): Promise<void> => new Promise((resolve) => { realSetImmediate(resolve) })

/** A page, a worker or the database: what runs there runs task by task. */
export class Realm {
  alive = true
  frozen = false
  readonly tasks: Array<() => void> = []
  /** Called when it dies. */
  readonly mourners = new Set<() => void>()
  constructor(readonly name: string) {}
  get ready(): boolean { return this.tasks.length > 0 && !this.frozen }
}

interface Timer { readonly at: number; readonly realm: Realm; readonly call: () => void }
interface Lock { readonly name: string; readonly realm: Realm; readonly granted: () => void; readonly lost: () => void }

export class World {
  readonly random: Random
  /** Where fake-indexeddb does its own work. */
  readonly storage = new Realm('storage')
  #realms: Realm[] = [this.storage]
  #timers: Timer[] = []
  #awake = 0
  #ahead = 0
  readonly #locks = new Map<string, Lock[]>()
  readonly #channels = new Set<{ readonly name: string; readonly realm: Realm; readonly hear: (message: Message) => void }>()
  readonly #watchers = new Map<Realm, Set<(online: boolean) => void>>()
  /** Messages of the channel that get lost. */
  deafness = 0
  locksSupported = true
  online = true
  #lines: string[] = []
  #hash = 0x811c9dc5
  #ids = 0

  /** How far `performance.now` moves each time it is asked: with some, work that is done in slices of time takes many. */
  sliceMs = 0

  constructor(seed: number) { this.random = new Random(seed) }

  // ---- what happened ----

  log(line: string): void {
    const whole = `${(this.#awake / 1000).toFixed(3)} ${line}`
    this.#lines.push(whole)
    for (let i = 0; i < whole.length; i++) this.#hash = Math.imul(this.#hash ^ whole.charCodeAt(i), 0x01000193)
  }
  get trace(): readonly string[] { return this.#lines }
  get hash(): string { return (this.#hash >>> 0).toString(16) }

  /** A name that nothing else has. */
  id(what: string): string { return `${what}${++this.#ids}` }

  // ---- realms ----

  realm(name: string): Realm {
    const realm = new Realm(name)
    this.#realms.push(realm)
    return realm
  }

  /** Nothing of it runs ever after, and its locks are free. */
  kill(realm: Realm): void {
    if (!realm.alive) return
    realm.alive = false
    this.log(`${realm.name} dies`)
    realm.tasks.length = 0
    this.#realms = this.#realms.filter((one) => one !== realm)
    this.#timers = this.#timers.filter((timer) => timer.realm !== realm)
    for (const channel of this.#channels) if (channel.realm === realm) this.#channels.delete(channel)
    this.#watchers.delete(realm)
    for (const mourn of realm.mourners) mourn()
    for (const name of this.#locks.keys()) this.#release((lock) => lock.realm === realm, name)
  }

  post(realm: Realm, call: () => void): void { if (realm.alive) realm.tasks.push(call) }

  /** Runs tasks, of a random realm each, until there are none, or so many have run. */
  async run(most = Infinity): Promise<void> {
    for (let n = 0; n < most; n++) {
      const ready = this.#realms.filter((realm) => realm.ready)
      if (ready.length === 0) return
      if (n > MOST_TASKS) throw new Error(`it spins: ${ready.map(({ name }) => name).join(', ')}`)
      this.random.pick(ready).tasks.shift()?.()
      await turn()
    }
  }

  // ---- time ----

  get awake(): number { return this.#awake }
  get wall(): number { return START + this.#awake + this.#ahead }

  /** Somebody sets the clock. */
  jump(ms: number): void { this.#ahead += ms }

  after(realm: Realm, ms: number, call: () => void): () => void {
    if (!realm.alive) return () => {}
    const timer: Timer = { at: this.#awake + Math.max(0, ms), realm, call }
    this.#timers.push(timer)
    return () => { this.#timers = this.#timers.filter((one) => one !== timer) }
  }

  /** Lets time pass, timer by timer. */
  async advance(ms: number): Promise<void> {
    await this.run()
    const end = this.#awake + ms
    for (let n = 0; ;) {
      let next: Timer | undefined
      for (const timer of this.#timers) if (timer.at <= end && (!next || timer.at < next.at)) next = timer
      if (!next) { this.#awake = end; return }
      const { at, realm, call } = next
      this.#timers = this.#timers.filter((timer) => timer !== next)
      n = at > this.#awake ? 0 : n + 1
      if (n > MOST_TIMERS) throw new Error(`it spins: a timer of ${realm.name} that is always due`)
      this.#awake = Math.max(this.#awake, at)
      this.post(realm, call)
      await this.run()
    }
  }

  clock(realm: Realm): Clock {
    return { now: () => this.wall, awake: () => this.#awake, parseDate: (text) => Date.parse(text), after: (ms, call) => this.after(realm, ms, call) }
  }

  // ---- locks ----

  #grant(name: string): void {
    const [first] = this.#locks.get(name) ?? []
    if (first) this.post(first.realm, () => { if (this.#locks.get(name)?.[0] === first) first.granted() })
  }

  /** Takes locks, held or asked for, from whom `whose` is true. */
  #release(whose: (lock: Lock) => boolean, name: string): void {
    const queue = this.#locks.get(name) ?? []
    const left = queue.filter((lock) => !whose(lock))
    if (left.length > 0) this.#locks.set(name, left)
    else this.#locks.delete(name)
    if (left[0] !== queue[0]) this.#grant(name)
  }

  #request(lock: Lock): () => void {
    const queue = this.#locks.get(lock.name) ?? []
    this.#locks.set(lock.name, [...queue, lock])
    if (queue.length === 0) this.#grant(lock.name)
    return () => { this.#release((one) => one === lock, lock.name) }
  }

  /** Whose lock it is now. */
  holder(name: string): Realm | undefined { return this.#locks.get(name)?.[0]?.realm }

  /** Takes a lock away from whoever holds it. */
  steal(name: string): void {
    const [lock] = this.#locks.get(name) ?? []
    if (!lock) return
    this.log(`the lock ${name} is stolen`)
    this.#release((one) => one === lock, name)
    this.post(lock.realm, lock.lost)
  }

  locks(realm: Realm): Locks {
    if (!this.locksSupported) return noLocks
    return {
      supported: true,
      hold: (name, lost = () => {}) => new Promise((resolve) => { const release = this.#request({ name, realm, lost, granted: () => { resolve(release) } }) }),
      isHeld: (name) => Promise.resolve(this.#locks.has(name)),
      whenFree: (name, call) => {
        const release = this.#request({ name, realm, lost: () => {}, granted: () => { call(); release() } })
        return release
      },
    }
  }

  // ---- the channel and the network ----

  channel(realm: Realm): (name: string, hear: (message: Message) => void) => Channel {
    return (name, hear) => {
      const end = { name, realm, hear }
      this.#channels.add(end)
      return {
        post: (message) => {
          for (const other of this.#channels) if (other !== end && other.name === name && !this.random.chance(this.deafness)) {
            const copy = structuredClone(message)
            this.post(other.realm, () => { if (this.#channels.has(other)) other.hear(copy) })
          }
        },
        close: () => { this.#channels.delete(end) },
      }
    }
  }

  connectivity(realm: Realm): Connectivity {
    const listeners = new Set<(online: boolean) => void>()
    this.#watchers.set(realm, listeners)
    const online = (): boolean => this.online
    return { get online() { return online() }, hint() {}, watch(listener) { listeners.add(listener); return () => { listeners.delete(listener) } }, close() { listeners.clear() } }
  }

  network(online: boolean): void {
    this.online = online
    this.log(online ? 'online' : 'offline')
    for (const [realm, listeners] of this.#watchers) this.post(realm, () => { for (const listener of listeners) listener(online) })
  }

  /** While `use` runs, fake-indexeddb waits for this world instead of for Node, and all chance is that of the seed. */
  async inside<T>(use: () => Promise<T>): Promise<T> {
    globalThis.setImmediate = ((call: (...args: unknown[]) => void, ...args: unknown[]) => { this.post(this.storage, () => { call(...args) }) }) as typeof setImmediate
    Math.random = () => this.random.next()
    let slices = 0
    performance.now = () => this.#awake + this.sliceMs * slices++
    try { return await use() } finally {
      globalThis.setImmediate = realSetImmediate
      Math.random = realRandom
      performance.now = realNow
    }
  }
}
