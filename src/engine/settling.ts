/** Stores how attempts ended. An ending always commits: whose fault it was is found out first, and what cannot be stored becomes a marker. */
import { isHoldfastError } from '../core/envelope.ts'
import { checkSize, LIMITS } from '../core/limits.ts'
import { present } from '../core/present.ts'
import type { Clock } from '../platform/clock.ts'
import type { Connectivity } from '../platform/connectivity.ts'
import { isNetworkError, withoutResult } from '../runner/outcome.ts'
import { keyOf } from '../runner/key.ts'
import type { Result, Run, RunEnding } from '../runner/runner.ts'
import type { Committer } from '../store/committer.ts'
import * as operations from '../store/operations.ts'
import type { NetworkWatch } from './network.ts'
import type { ProcessorState } from './processor.ts'

export interface SettlingOptions {
  readonly committer: Committer
  readonly clock: Clock
  readonly connectivity: Connectivity
  readonly network: NetworkWatch
  /** Uniform in [0, 1). */
  readonly random: () => number
  readonly closed: () => boolean
  /** Ends of its attempts are stored. */
  readonly settled: (processor: ProcessorState) => void
  /** An origin has refused credentials. */
  readonly refused: () => void
}

/** An attempt that this realm holds, and how it ended. */
export interface EndedRun { readonly run: Run; readonly ending: RunEnding }

export interface Settling {
  settle(processor: ProcessorState, ended: readonly EndedRun[], keys: readonly string[]): void
}

export const RETRY_SETTLE_MS = 250

/** The data of an operation, not the state of the storage, is what could not be stored. */
const refusedByStorage = (error: unknown): boolean => isHoldfastError(error) && error.code === 'STORAGE' && String(error.details['name']).startsWith('Data')

/** A handler failed for want of a network, as far as it can tell. What requests can tell they have told. */
const lacksNetwork = ({ gated, options: { runs } }: ProcessorState, { event }: RunEnding): boolean => gated && runs.kind === 'handlers' && event.type === 'fail' && !event.final && isNetworkError(event.error)

/** A result that is too large becomes a marker. */
function storable(event: Extract<Result, { type: 'complete' }>): Extract<Result, { type: 'complete' }> {
  try { checkSize('result', event.result, LIMITS.result) } catch (error) { return { ...event, ...withoutResult(error) } }
  return event
}

export function createSettling({ committer, clock, connectivity, network, random, closed, settled, refused }: SettlingOptions): Settling {
  function eventOf(processor: ProcessorState, ending: RunEnding, down: boolean): operations.Ending['event'] {
    const { event } = ending
    if (event.type === 'complete') return event.result === undefined ? event : storable(event)
    if (event.type !== 'fail') return event
    if (down && lacksNetwork(processor, ending)) return { type: 'release' }
    return { ...event, owner: processor.options.owner, random: random() }
  }

  /** A database that refuses is asked again. */
  function commit(processor: ProcessorState, endings: readonly operations.Ending[], keys: readonly string[]): void {
    const boxes = [...new Set(endings.map(({ box }) => box))]
    committer.submit({
      ending: true, rooms: operations.RUN_ROOMS, needs: [['queues', processor.options.queue], ...boxes.map((box) => ['leases', box] as const)],
      run: (work) => operations.settle(work, endings),
    }).then(() => {
      processor.settled(endings)
      processor.unsettled -= keys.length
      processor.options.port.settled(keys)
      settled(processor)
      if (endings.some(({ origin }) => origin?.unauthorized)) refused()
    }, (error: unknown) => {
      if (closed() || (isHoldfastError(error) && error.code === 'CLOSED')) return
      // One that cannot be stored must not hold up the others.
      if (endings.length > 1 && refusedByStorage(error)) {
        const own = endings.map((one) => keyOf(one.token, one.seq))
        endings.forEach((one, i) => { commit(processor, [one], own.slice(i, i + 1)) })
        const others = keys.filter((key) => !own.includes(key))
        if (others.length > 0) commit(processor, [], others)
      } else clock.after(RETRY_SETTLE_MS, () => { commit(processor, refusedByStorage(error) ? endings.map((one) => one.event.type === 'complete' ? { ...one, event: withoutResult(error) } : one) : endings, keys) })
    })
  }

  return {
    settle(processor, ended, keys) {
      processor.unsettled += keys.length
      const stored = ({ ending, run }: EndedRun, down: boolean): operations.Ending =>
        present({ box: run.box, token: run.token, seq: run.job.seq, job: run.job, event: eventOf(processor, ending, down), report: ending.report, origin: ending.origin })
      const unsure = connectivity.online ? ended.filter(({ ending }) => lacksNetwork(processor, ending)) : []
      const sure = keys.filter((key) => !unsure.some(({ ending }) => ending.key === key))
      if (sure.length > 0) commit(processor, ended.filter((one) => !unsure.includes(one)).map((one) => stored(one, !connectivity.online)), sure)
      for (const one of unsure) void network.unanswered().then((found) => { commit(processor, [stored(one, found === 'down')], [one.ending.key]) })
    },
  }
}
