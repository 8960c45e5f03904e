/** Lives of a queue, drawn from seeds: `SIM_SEED` plays one, `SIM_FROM` and `SIM_SEEDS` say which are played. */
import { expect, it } from 'vitest'
import { simulate, type Outcome } from './simulate.ts'

const env = (name: string, otherwise: number): number => Number(process.env[name] ?? otherwise)
const ONE = process.env['SIM_SEED']
const [FROM, SEEDS] = ONE === undefined ? [env('SIM_FROM', 1), env('SIM_SEEDS', 300)] : [Number(ONE), 1]
/** Whether tabs have a probe for the network; there is a captive portal now and then. */
const PROBE = process.env['SIM_PROBE'] !== undefined
/** How much of the trace a failure shows. */
const LINES = env('SIM_LINES', 60)
const CHUNK = 25

/** Seeds that found something once: jobs that were given back called each other back for ever (153, 256, 324), `removeAll` took what was retried meanwhile (587, 1458), progress renewed no lease (415), the end of a group's member overlooked that another's had passed it the turn (317619, 319994), a page that came back after hours pushed again what it could not know to be stored (412681), a receipt answered `setUser` before others had stopped (500547), a refresh begun before the clock was set back was always due (550546), a job that ended while `forgetUser` looked was taken out twice (601161), a processor that was stopped was gone before the end of its job was stored, which its worker then took along (1001601), what a page had leased before it lost its lock was counted with what it leased as another owner (3004107). */
const FOUND = [153, 256, 324, 415, 587, 1458, 317619, 319994, 412681, 500547, 550546, 601161, 1001601, 3004107]

const report = (seed: number, probes: boolean, { error, trace }: Outcome): string =>
  `seed ${seed}: ${error}\n\n${trace.slice(-LINES).join('\n')}\n\n${probes ? 'SIM_PROBE=1 ' : ''}SIM_SEED=${seed} npx vitest run --project unit test/simulation/simulation.test.ts\n`

/** Plays them all, and fails with the first that fails. */
async function play(seeds: readonly number[], probes = PROBE): Promise<void> {
  const failures: Array<{ readonly seed: number; readonly outcome: Outcome }> = []
  for (const seed of seeds) {
    const outcome = await simulate(seed, probes)
    if (!outcome.ok) failures.push({ seed, outcome })
  }
  const [first] = failures
  if (first) expect.fail(`${report(first.seed, probes, first.outcome)}\n${failures.map(({ seed, outcome }) => `seed ${seed}: ${outcome.error?.slice(0, 160)}`).join('\n')}`)
}

const chunks = Array.from({ length: Math.ceil(SEEDS / CHUNK) }, (_, i) => ({ first: FROM + i * CHUNK, last: Math.min(FROM + (i + 1) * CHUNK, FROM + SEEDS) - 1 }))

it.each(chunks)('seeds $first to $last', { timeout: 120_000 }, async ({ first, last }) => {
  await play(Array.from({ length: last - first + 1 }, (_, i) => first + i))
})

it.skipIf(ONE !== undefined).each(chunks.slice(0, 2))('seeds $first to $last, with a probe', { timeout: 120_000 }, async ({ first, last }) => {
  await play(Array.from({ length: last - first + 1 }, (_, i) => first + i), true)
})

it.skipIf(ONE !== undefined).each(FOUND)('seed %i, which found something once', (seed) => play([seed]))

it.skipIf(ONE !== undefined)('the same seed lives the same life', async () => {
  const [one, other] = [await simulate(FROM), await simulate(FROM)]
  expect(other.trace).toEqual(one.trace)
  expect(other.hash).toBe(one.hash)
})
