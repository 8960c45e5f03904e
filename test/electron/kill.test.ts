/** kill -9 of main, of the hidden window and of a window, with a hundred jobs on their way: none lost, none twice. ELECTRON_KILLS says how often each. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { kill } from './kills.ts'
import { buildLibrary, openStage, present, skipped, type Stage } from './stage.ts'

const KILLS = Number(process.env['ELECTRON_KILLS'] ?? 2)
const SEED = Number(process.env['CRASH_SEED'] ?? Math.floor(Math.random() * 2 ** 31))
skipped()

describe.skipIf(!present)('kill -9', () => {
  let stage: Stage
  beforeAll(() => { buildLibrary() })
  afterAll(async () => { await stage?.close() })

  it.each(['main', 'engine', 'window'] as const)(`of %s, ${KILLS} times (CRASH_SEED=${SEED})`, async (part) => {
    stage = await openStage()
    const { faults, kills, acknowledged, starts } = await kill(stage, part, KILLS, SEED)
    await stage.close()
    expect(faults).toEqual([])
    expect([kills, acknowledged]).toEqual([KILLS, KILLS * 100])
    console.info(`${part}: ${kills} kills, ${acknowledged} acknowledged, ${starts} starts of ${acknowledged * 0.8} handlers: none lost, none twice`)
  }, 60_000 + KILLS * 30_000)
})
