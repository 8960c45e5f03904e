/** `holdfast/service-worker`: one more participant, for as long as an event lasts. Sends what is due with no tab open, and queues what pages could not send. */
import { isHoldfastError } from './core/envelope.ts'
import { using } from './door/maintenance.ts'
import { isQueueable, queueable } from './door/intercepted.ts'
import { openQueue } from './index.ts'
import { askForSync, syncTag } from './platform/background-sync.ts'
import { sleep, systemClock as clock } from './platform/clock.ts'
import type { HookName } from './core/job.ts'
import type { FetchOptions, HttpHooks, NetworkOptions, Queue } from './queue.ts'
import * as operations from './store/operations.ts'
import { requestsDueAt } from './store/reads.ts'

export interface ServiceQueue {
  readonly name: string
  /** Opens the queue, uses it and closes it again: a service worker may be ended at any time, and is to leave nothing behind. For `event.waitUntil`. */
  use<T>(work: (queue: Queue) => Promise<T>): Promise<T>
  /** Sends the requests that are due or soon will be, for at most `forMs` (default 120 000) and a third of it for what is under way then. Rejects when some are left. */
  send(forMs?: number): Promise<void>
}

export interface ServiceQueueOptions {
  /** As that of `openQueue`, which has to be given the same name. */
  readonly durability?: 'strict' | 'relaxed'
  /** Those of this service worker: requests that were pushed under a hook that it lacks wait for a page. */
  readonly http?: HttpHooks
  /** As that of `openQueue`: without it a service worker heeds what pages have found, and does not ask. */
  readonly network?: NetworkOptions
}

export interface QueueFetchOptions extends FetchOptions {
  /** Queues at once, without trying the network first. Default false. */
  readonly always?: boolean
}

interface ExtendableEvent extends Event { waitUntil(promise: Promise<unknown>): void }
interface SyncEvent extends ExtendableEvent { readonly tag: string }
interface FetchEvent extends ExtendableEvent { readonly request: Request; respondWith(response: Promise<Response>): void }
/** The global scope; its types exclude those of a page. */
interface Scope {
  readonly registration: ServiceWorkerRegistration
  addEventListener(type: 'sync', listener: (event: SyncEvent) => void): void
  addEventListener(type: 'fetch', listener: (event: FetchEvent) => void): void
}

/** Chromium ends a sync event after three minutes. */
const SYNC_MS = 120_000
/** Other browsers give an event half a minute. */
const FETCH_MS = 15_000
const LOOK_MS = 100
const LONGEST_LOOK_MS = 1000
/** The browser's further tries come within so long. */
const REACH_MS = 3_600_000

/** Call once, when the service worker's script runs: hears 'sync' events, which pages ask for by `withSync`. */
export function serveSync(name: string, options: ServiceQueueOptions = {}): ServiceQueue {
  const hooks = Object.keys(options.http ?? {}) as HookName[]

  async function use<T>(work: (queue: Queue) => Promise<T>, drainMs = 0): Promise<T> {
    const queue = await openQueue(name, { ...options, worker: false })
    try { return await work(queue) } finally { await queue.close({ drainMs }) }
  }

  /** Whether requests are left that are due before the browser's last try. */
  const work = (forMs: number): Promise<boolean> => using(name, async ({ connection, committer }) => {
    const end = clock.awake() + forMs
    const waitMs = async (): Promise<number> => Math.max(0, await requestsDueAt(connection, clock.now(), hooks) - clock.now())
    const left = async (): Promise<boolean> => await waitMs() < REACH_MS
    if (!await left()) return false
    // That it was woken is a sign that the network is back.
    await committer.submit({ alone: true, run: operations.tryOrigins })
    await use(async () => {
      for (let ms = await waitMs(); isOnline() && ms < end - clock.awake(); ms = await waitMs()) await sleep(clock, Math.min(Math.max(ms, LOOK_MS), LONGEST_LOOK_MS))
    }, forMs / 3)
    return left()
  })

  async function send(forMs = SYNC_MS): Promise<void> {
    if (await work(forMs)) throw new Error(`Requests of ${name} are left, to be tried again`)
  }

  scope().addEventListener('sync', (event) => { if (event.tag === syncTag(name)) event.waitUntil(send()) })
  return { name, use, send }
}

/**
 * Answers requests of pages that `matches` says yes to: by the network, and where that gives no answer by storing them, with status 202 and `{id}`.
 * What the queue cannot send as the page would is left to the network.
 */
export function queueFetch(queue: ServiceQueue, matches: (asked: { readonly url: URL; readonly request: Request }) => boolean, { always = false, ...options }: QueueFetchOptions = {}): void {
  const { registration } = scope()
  let woken = 'sync' in registration

  async function queued(event: FetchEvent, request: Request): Promise<Response> {
    const args = await queueable(request, options)
    // The page need not wait until the queue is closed again.
    return new Promise((resolve, reject) => {
      event.waitUntil(queue.use(async (handle) => { resolve(accepted(await handle.fetch(...args))) }).then(wake, reject))
    })
  }

  /** Where the browser will not call, now is the only chance. */
  async function wake(): Promise<void> {
    if (!await askForSync(registration, queue.name)) await queue.send(FETCH_MS).catch(() => {})
  }

  async function answer(event: FetchEvent): Promise<Response> {
    const copy = event.request.clone()
    if (always) return queued(event, copy).catch((error: unknown) => {
      // It may have been stored all the same, and must not be sent beside that.
      if (isHoldfastError(error) && error.details['unknown']) throw error
      return fetch(event.request)
    })
    try { return await fetch(event.request) } catch (error) {
      if (event.request.signal.aborted) throw error
      // What cannot be stored has failed as it would have without a service worker.
      return queued(event, copy).catch(() => { throw error })
    }
  }

  scope().addEventListener('fetch', (event) => {
    if (!woken) { woken = true; event.waitUntil(queue.send(FETCH_MS).catch(() => {})) }
    const { request } = event
    if (isQueueable(request, location.origin) && matches({ url: new URL(request.url), request })) event.respondWith(answer(event))
  })
}

const accepted = (id: string): Response => Response.json({ id }, { status: 202, headers: { 'Holdfast-Job': id } })
const isOnline = (): boolean => navigator.onLine
const scope = (): Scope => globalThis as unknown as Scope

export type { FetchOptions, Queue } from './queue.ts'
