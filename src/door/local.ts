/** Attempts in the engine's own realm: requests, and the handlers of an application's own worker. */
import { UPLOAD_QUEUE } from '../core/body.ts'
import type { HoldfastError } from '../core/errors.ts'
import type { Runs } from '../core/lane.ts'
import { present } from '../core/present.ts'
import type { Engine } from '../engine/engine.ts'
import type { Hooks } from '../engine/hooks.ts'
import { httpAttempt } from '../engine/http.ts'
import type { Platform } from '../platform/platform.ts'
import { byFetch, byXhr } from '../platform/send.ts'
import { handed } from '../runner/handed.ts'
import { createRunner, type Execute, type Run, type Runner } from '../runner/runner.ts'
import * as operations from '../store/operations.ts'
import * as reads from '../store/reads.ts'

/** What an application's own worker runs: `names` absent: all jobs of the queue. */
export interface Served { readonly queue: string; readonly names?: readonly string[]; readonly execute: Execute; readonly concurrency: number }

export interface Local {
  /** Sends the requests of a queue from now on. */
  requests(queue: string): Promise<void>
  serve(served: Served): Promise<void>
  /** Aborts what runs, and starts nothing more; resolves when nothing is held. The engine must be suspended. */
  stop(reason: HoldfastError): Promise<unknown>
}

const HTTP_CONCURRENCY = 4
const UPLOAD_CONCURRENCY = 2
const NOTHING: operations.Held = { box: -1, token: '', seq: -1 }

export function createLocal(engine: Engine, owner: string, { clock, connectivity, task, fetch }: Platform, hooks: Hooks, through = (execute: Execute): Execute => execute): Local {
  const { connection, committer } = engine.store
  let stopped = false
  const runners = new Map<string, Runner>()

  function process(queue: string, id: string, concurrency: number, runs: Runs, execute: Execute): Promise<void> {
    const held = (key: string): operations.Held => engine.processors.held(id, key) ?? NOTHING
    const runner = createRunner({
      clock, task,
      ended(endings) { engine.processors.ended(id, endings) },
      report(key, report) { committer.submit({ relaxed: true, run: (work) => operations.report(work, held(key), report) }).catch(() => {}) },
      heartbeat: (key) => committer.submit({ relaxed: true, run: (work) => operations.heartbeat(work, held(key)) }),
      steps: (key) => reads.readSteps(connection, held(key).seq),
      storeStep: (key, step, value) => committer.submit({ run: (work) => operations.storeStep(work, held(key), step, value) }),
    }, through(execute))
    runners.set(id, runner)
    const own = runs.kind === 'handlers' ? (run: Run): Run => ({ ...run, job: handed(run.job) }) : (run: Run) => run
    // What was claimed before it was stopped may come after.
    const run: Runner['run'] = (slots, more) => { runner.run(stopped ? 0 : slots, more.map(own)) }
    return engine.processors.add({ id, queue, owner, runs, concurrency, port: { run, abort: runner.abort, giveBack: runner.giveBack, settled() {} } })
  }

  const sending = new Set<string>()
  const fetched = byFetch(fetch)
  // Service workers have no XMLHttpRequest.
  const attempt = httpAttempt({ clock, hooks, send: fetched, upload: typeof XMLHttpRequest === 'undefined' ? fetched : byXhr, online: () => connectivity.online, vouches: engine.network.vouches })
  return {
    async requests(queue) {
      if (stopped || sending.has(queue)) return
      sending.add(queue)
      // Asked again by and by.
      await process(queue, `http:${queue}`, queue === UPLOAD_QUEUE ? UPLOAD_CONCURRENCY : HTTP_CONCURRENCY, { kind: 'requests', hooks: hooks.names }, attempt).catch(() => { sending.delete(queue) })
    },
    serve: ({ queue, names, execute, concurrency }) => process(queue, `served:${queue}`, concurrency, present({ kind: 'handlers' as const, names }), execute),
    stop(reason) {
      stopped = true
      for (const runner of runners.values()) for (const key of runner.keys()) runner.abort(key, reason)
      return Promise.all([...runners.keys()].map(engine.processors.idle))
    },
  }
}
