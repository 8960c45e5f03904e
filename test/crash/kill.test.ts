/** kill -9 at random moments under load: nothing acknowledged is lost, nothing completed runs again. `npm run soak` does it more often. */
import { afterAll, beforeAll, expect, test } from 'vitest'
import type { KillableBrowser } from './harness.ts'
import { faultsIn, killBrowsers, killRenderers, openStage, type Findings, type Stage } from './kills.ts'

const RENDERER_KILLS = Number(process.env['RENDERER_KILLS'] ?? 20)
const BROWSER_KILLS = Number(process.env['BROWSER_KILLS'] ?? 5)
const SEED = Number(process.env['CRASH_SEED'] ?? Math.floor(Math.random() * 2 ** 31))

let stage: Stage<KillableBrowser>
beforeAll(async () => { stage = await openStage() })
afterAll(async () => { await stage.close() })

function expectNothing(findings: Findings): void {
  const { kills, acknowledged, starts } = findings
  expect(faultsIn(findings)).toEqual([])
  expect(acknowledged).toBeGreaterThan(kills)
  console.info(`${kills} kills, ${acknowledged} acknowledged, ${starts} starts: none lost, none run again`)
}

test(`${RENDERER_KILLS} kills of the renderer (CRASH_SEED=${SEED})`, async () => {
  expectNothing(await killRenderers(stage, { kills: RENDERER_KILLS, seed: SEED }))
})

test(`${BROWSER_KILLS} kills of the whole browser (CRASH_SEED=${SEED})`, async () => {
  expectNothing(await killBrowsers(stage, { kills: BROWSER_KILLS, seed: SEED + 1 }))
})
