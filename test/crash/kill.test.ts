/** kill -9 at random moments under load: nothing acknowledged is lost, nothing completed runs again. `npm run soak` does it more often. */
import { expect, test } from 'vitest'
import type { Backend, KillableBrowser } from './harness.ts'
import { faultsIn, killBrowsers, killRenderers, openStage, type Findings, type Stage } from './kills.ts'

const RENDERER_KILLS = Number(process.env['RENDERER_KILLS'] ?? 20)
const BROWSER_KILLS = Number(process.env['BROWSER_KILLS'] ?? 5)
const SEED = Number(process.env['CRASH_SEED'] ?? Math.floor(Math.random() * 2 ** 31))

function expectNothing(findings: Findings): void {
  const { kills, acknowledged, starts, remade, thrownAway } = findings
  expect(faultsIn(findings)).toEqual([])
  expect(acknowledged + thrownAway).toBeGreaterThan(kills)
  console.info(`${kills} kills, ${acknowledged} acknowledged, ${starts} starts: none lost, none run again${remade > 0 ? `, but for ${thrownAway} that the browser threw away` : ''}`)
}

async function on(backend: Backend, kill: (stage: Stage<KillableBrowser>) => Promise<Findings>): Promise<void> {
  const stage = await openStage(backend)
  try { expectNothing(await kill(stage)) } finally { await stage.close() }
}

test(`${RENDERER_KILLS} kills of the renderer (CRASH_SEED=${SEED})`, async () => {
  await on('sqlite', (stage) => killRenderers(stage, { kills: RENDERER_KILLS, seed: SEED }))
})

test.for(['sqlite', 'leveldb'] as const)(`${BROWSER_KILLS} kills of the whole browser that stores in %s (CRASH_SEED=${SEED})`, async (backend) => {
  await on(backend, (stage) => killBrowsers(stage, { kills: BROWSER_KILLS, seed: SEED + 1 }))
})
