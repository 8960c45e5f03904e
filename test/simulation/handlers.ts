/** What jobs do when they run: each job's data says what its n-th attempt does. */
import { Cancel, HoldfastError, NetworkError, RetryAfter, Snooze, Unrecoverable } from '../../src/core/errors.ts'
import type { Context, Handler } from '../../src/queue.ts'
import type { Job } from '../../src/core/job.ts'
import type { Random } from './random.ts'
import type { Realm, World } from './world.ts'

export interface Data { readonly token: string; readonly plan: readonly Act[]; readonly ballast?: string }

const WEIGHTS = {
  'ok': 30, 'ok soon': 30, 'slow': 8, 'very slow': 2, 'fails': 14, 'throws': 6, 'unrecoverable': 2, 'retry after': 3, 'snooze': 3, 'cancel': 2, 'steps': 5, 'reports': 4, 'listens': 4, 'deaf': 3, 'no network': 3, 'heartbeat': 2,
} as const
export type Act = keyof typeof WEIGHTS

export const planOf = (random: Random): Act[] => Array.from({ length: random.between(1, 4) }, () => random.weighted(WEIGHTS))

export const tokenOf = (job: Job): string => (job.metadata as { token: string }).token

export interface Handlers {
  /** From now on all goes well. */
  heal(): void
  /** What runs a job in this realm. */
  handler(realm: Realm): Handler
}

export function createHandlers(world: World, wrong: (what: string) => void): Handlers {
  let healed = false
  const sleep = (realm: Realm, ms: number): Promise<void> => new Promise((resolve) => { world.after(realm, ms, resolve) })

  async function act(realm: Realm, what: Act, ctx: Context): Promise<void> {
    switch (what) {
      case 'ok': case 'throws': return
      case 'ok soon': await sleep(realm, world.random.between(1, 400)); return
      case 'slow': await sleep(realm, world.random.between(1000, 8000)); return
      case 'very slow': await sleep(realm, world.random.between(15_000, 70_000)); return
      case 'fails': await sleep(realm, world.random.int(50)); throw new Error('it failed')
      case 'unrecoverable': throw new Unrecoverable('never')
      case 'retry after': throw new RetryAfter(world.random.between(0, 5000))
      case 'snooze': throw new Snooze(world.random.between(0, 5000))
      case 'cancel': throw new Cancel('not needed')
      case 'steps': {
        const first = await ctx.step('one', () => 1)
        if (first !== 1) wrong(`a step gave ${String(first)}`)
        await sleep(realm, world.random.int(300))
        await ctx.step('two', () => { if (world.random.chance(0.3) && !healed) throw new Error('a step failed') })
        return
      }
      case 'reports': {
        for (let i = 0; i < 4; i++) { ctx.progress(i * 25, 'on its way'); ctx.log(`line ${i}`); await sleep(realm, 200) }
        return
      }
      case 'listens': {
        await new Promise<void>((resolve, reject) => {
          ctx.signal.addEventListener('abort', () => { reject(ctx.signal.reason as Error) })
          world.after(realm, world.random.between(500, 20_000), resolve)
        })
        return
      }
      case 'deaf': void ctx.signal; await sleep(realm, world.random.between(2000, 40_000)); return
      case 'no network': if (!world.online) throw new NetworkError('no network'); return
      case 'heartbeat': {
        await ctx.heartbeat().catch((error: unknown) => { if (!(error instanceof HoldfastError)) throw error })
        await sleep(realm, 100)
      }
    }
  }

  const handlerIn = (realm: Realm): Handler => (job, ctx) => {
    const { token, plan } = job.data as Data
    if (token !== tokenOf(job)) wrong(`the data of ${tokenOf(job)} is that of ${token}`)
    for (const [name, left] of Object.entries(ctx.parents)) {
      const answered = (left as { readonly status?: number } | undefined)?.status === 200
      if (left !== name && !answered && !(left === undefined && job.onParentDead === 'run')) wrong(`${token} has ${JSON.stringify(left)} of ${name}`)
    }
    const what = healed ? 'ok' : plan[Math.min(job.failures + job.stalls, plan.length - 1)] ?? 'ok'
    if (what === 'throws') throw new Error('it throws')
    return what === 'ok' ? token : act(realm, what, ctx).then(() => token)
  }

  return {
    heal() { healed = true },
    handler: handlerIn,
  }
}

export interface Server {
  heal(): void
  fetch(realm: Realm): typeof fetch
  /** Somebody signs in by hand. */
  signedIn(): void
  /** Gets credentials that it takes. */
  signIn(realm: Realm): Promise<void>
}

/** A server that answers as it likes, and takes credentials until it does not. */
export function createServer(world: World): Server {
  let healed = false
  let expired = false
  const answer = (status: number, headers: Record<string, string> = {}): Response => ({ status, headers: new Headers(headers), text: () => Promise.resolve('') }) as unknown as Response
  return {
    heal() { healed = true },
    signedIn() { expired = false },
    signIn: (realm) => new Promise((resolve, reject) => {
      world.after(realm, world.random.between(5, 3000), () => {
        switch (healed ? 'ok' : world.random.weighted({ ok: 20, none: 4, denied: 1, useless: 2, silent: 1 })) {
          case 'ok': expired = false; resolve(); break
          case 'none': reject(new TypeError('Failed to fetch')); break
          case 'denied': reject(new Error('denied')); break
          case 'useless': resolve(); break
          case 'silent': break
        }
      })
    }),
    fetch: (realm) => (_url, init) => new Promise((resolve, reject) => {
      const { random } = world
      init?.signal?.addEventListener('abort', () => { reject(init.signal?.reason as Error) })
      const later = (call: () => void): void => { world.after(realm, random.between(5, 300), call) }
      if (!world.online) { later(() => { reject(new TypeError('Failed to fetch')) }); return }
      if (!healed && random.chance(0.05)) expired = true
      if (expired) { later(() => { resolve(answer(401)) }); return }
      switch (healed ? 'ok' : random.weighted({ ok: 50, error: 10, away: 15, refused: 5, none: 10, silent: 2, busy: 3 })) {
        case 'ok': later(() => { resolve(answer(200)) }); break
        case 'error': later(() => { resolve(answer(500)) }); break
        case 'away': later(() => { resolve(answer(503)) }); break
        case 'busy': later(() => { resolve(answer(429, { 'retry-after': '3' })) }); break
        case 'refused': later(() => { resolve(answer(400)) }); break
        case 'none': later(() => { reject(new TypeError('Failed to fetch')) }); break
        case 'silent': break
      }
    }),
  }
}
