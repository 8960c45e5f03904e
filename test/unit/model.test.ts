/**
 * Random calls on the public handle, in Node on fake-indexeddb, beside a model that is only a list (support/model.ts). After each call the answers
 * must agree; at the end what is stored must be sound and count itself right. A failure prints one command that replays it.
 */
import 'fake-indexeddb/auto'
import fc from 'fast-check'
import { expect, it } from 'vitest'
import { commandsFor, counts, Q, type Real } from './support/commands.ts'
import { faults, forget, freshName, stored, waitingOf } from './support/database.ts'
import { Model } from './support/model.ts'
import { entryOf } from './support/tabs.ts'

const RUNS = Number(process.env.MODEL_RUNS ?? 200)
const { MODEL_SEED, MODEL_PATH, MODEL_REPLAY } = process.env

async function live(handles: number, commands: Iterable<fc.AsyncCommand<Model, Real>>): Promise<void> {
  const name = freshName()
  const openers = await Promise.all(Array.from({ length: handles }, (_, tab) => entryOf(tab)))
  const queues = await Promise.all(openers.map((open) => open(name, { worker: false })))
  const model = new Model()
  try {
    await fc.asyncModelRun(() => ({ model, real: { name, handles: queues, open: (who) => openers[who]!(name, { worker: false }) } }), commands)
    const rows = await stored(name)
    expect(faults(rows).join('; ')).toBe('')
    expect(waitingOf(rows, Q).map(({ id }) => id)).toEqual(model.waiting.map(({ id }) => id))
    for (const queue of queues) expect((await queue.stats()).counts).toEqual(counts(model))
  } finally {
    await Promise.all(queues.map((queue) => queue.close()))
    await forget(name)
  }
}

async function check(handles: number, maxCommands: number, runs: number, title: string): Promise<void> {
  const lives = fc.asyncProperty(fc.commands(commandsFor(handles), { maxCommands, size: 'max', ...(MODEL_REPLAY ? { replayPath: MODEL_REPLAY } : {}) }), (commands) => live(handles, commands))
  const details = await fc.check(lives, {
    numRuns: runs, ...(MODEL_SEED ? { seed: Number(MODEL_SEED) } : {}), ...(MODEL_PATH ? { path: MODEL_PATH } : {}),
  })
  if (!details.failed) return
  const example = fc.stringify(details.counterexample?.[0])
  const replay = /replayPath="([^"]*)"/.exec(example)?.[1] ?? ''
  throw new Error([
    `After ${details.numRuns} runs and ${details.numShrinks} shrinks: ${example}`,
    details.errorInstance instanceof Error ? details.errorInstance.message : 'it took too long',
    `Replay: MODEL_SEED=${details.seed} MODEL_PATH='${details.counterexamplePath ?? ''}' MODEL_REPLAY='${replay}' npx vitest run --project unit test/unit/model.test.ts -t '${title}'`,
  ].join('\n\n'), { cause: details.errorInstance })
}

it('one handle does what the model does', { timeout: 300_000 }, ({ task }) => check(1, 30, RUNS, task.name))
it('two tabs on one database do too', { timeout: 300_000 }, ({ task }) => check(2, 30, Math.ceil(RUNS / 2), task.name))
