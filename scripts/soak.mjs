// @ts-check
// The reliability tests with their numbers turned up, for hours: node scripts/soak.mjs --renderer-kills 10000 --browser-kills 1000 --seeds 100000 --json soak.json
// Ctrl-C ends it after the round it is in, and prints what there is.
import { writeFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { runnerImport } from 'vite'
import { ensureChromium } from './chromium.mjs'

const root = fileURLToPath(new URL('../', import.meta.url))
const number = { type: /** @type {const} */ ('string') }
const { values } = parseArgs({ options: {
  'renderer-kills': number, 'browser-kills': number, 'firefox-kills': number, steals: number, seeds: number, from: number, tabs: number, jobs: number, rounds: number, seed: number, json: number,
} })
/** @param {keyof typeof values} name @param {number} otherwise */
const asked = (name, otherwise) => Number(values[name] ?? otherwise)
const SEED = asked('seed', Math.floor(Math.random() * 2 ** 31))

/**
 * @typedef {{ kind: string, n: number, lost: number, doubled: number, staleAccepted: number, countersWrong: number, unfinished: number, acknowledged: number, broken: number, seconds: number, bound95: number, notes: string[] }} Row
 */
/** @type {Row[]} */
const rows = []
/** Of the tabs together. */
const CONCURRENCY = 32
const stop = new AbortController()
process.on('SIGINT', () => { if (stop.signal.aborted) process.exit(130); stop.abort(); say('ending: once more to leave at once\n') })

console.log(`soak: seed ${SEED}, ${ensureChromium().executablePath}`)
await killing('renderer kills', asked('renderer-kills', 0), 500, 'test/crash/kills.ts', 'killRenderers', 'sqlite')
// Half of them on each of Chromium's two backends.
await killing('browser kills, SQLite', Math.ceil(asked('browser-kills', 0) / 2), 100, 'test/crash/kills.ts', 'killBrowsers', 'sqlite')
await killing('browser kills, LevelDB', Math.floor(asked('browser-kills', 0) / 2), 100, 'test/crash/kills.ts', 'killBrowsers', 'leveldb')
await killing('firefox kills', asked('firefox-kills', 0), 50, 'test/crash/firefox.ts', 'killFirefoxes')
await killing('stolen locks', asked('steals', 0), 200, 'test/crash/stale.ts', 'stealLocks')
await seeds(asked('seeds', 0), asked('from', 1))
if (values.jobs !== undefined) await tabs(asked('tabs', 8), asked('jobs', 100_000), asked('rounds', 1))
print()
process.exit(rows.every((row) => row.lost + row.doubled + row.staleAccepted + row.countersWrong + row.unfinished + row.broken === 0) ? 0 : 1)

/** A module of the tests, as it stands. @param {string} path */
async function load(path) { return (await runnerImport(root + path, { root, configFile: false, logLevel: 'error' })).module }

/** @param {string} kind @returns {Row} */
function begin(kind) {
  /** @type {Row} */
  const row = { kind, n: 0, lost: 0, doubled: 0, staleAccepted: 0, countersWrong: 0, unfinished: 0, acknowledged: 0, broken: 0, seconds: 0, bound95: 1, notes: [] }
  rows.push(row)
  return row
}

/** Rounds of at most `size`: each starts its browsers anew. @param {number} total @param {number} size */
function* rounds(total, size) { for (let done = 0; done < total && !stop.signal.aborted; done += size) yield { from: done, size: Math.min(size, total - done) } }

/** @param {Row} row @param {number} begun @param {number} of @param {number} n */
function progress(row, begun, of, n) {
  row.n = n
  row.seconds = (performance.now() - begun) / 1000
  row.bound95 = n > 0 ? 3 / n : 1
  say(`${row.kind}: ${n}/${of}, ${(row.seconds / Math.max(n, 1) * 1000).toFixed(row.seconds / n > 0.01 ? 0 : 2)} ms each; ${row.acknowledged} acknowledged, ${row.lost} lost, ${row.doubled} doubled, ${row.staleAccepted + row.countersWrong + row.unfinished + row.broken} other faults`)
}

/** @param {Row} row @param {any} findings */
function note(row, findings) {
  for (const what of /** @type {const} */ (['lost', 'doubled', 'staleAccepted', 'countersWrong', 'unfinished'])) {
    const found = findings[what] ?? []
    row[what] += found.length
    for (const one of found.slice(0, 20)) row.notes.push(`${what}: ${one}`)
  }
  row.acknowledged += findings.acknowledged ?? 0
  if (findings.remade > 0) row.notes.push(`the browser itself threw its databases away ${findings.remade} times, and ${findings.thrownAway} acknowledged jobs with them`)
  if (findings.stalled > 0) row.notes.push(`${findings.stalled} jobs were running at more than five kills, and are dead as they should be`)
}

/** @param {string} kind @param {number} kills @param {number} size @param {string} path @param {string} how @param {string} [backend] */
async function killing(kind, kills, size, path, how, backend) {
  if (kills === 0) return
  const module = await load(path)
  const row = begin(kind)
  const begun = performance.now()
  let stage = await module.openStage(backend)
  let broken = 0
  for (const { from, size: n } of rounds(kills, size)) {
    const findings = module.noFindings()
    const before = row.acknowledged
    try {
      await module[how](stage, { kills: n, seed: SEED + from, findings, stop: stop.signal, progress: (/** @type {any} */ { kills: done, acknowledged }) => { row.acknowledged = before + acknowledged; progress(row, begun, kills, from + done) } })
    } catch (error) {
      row.broken++
      row.notes.push(`broken: seed ${SEED + from} after ${findings.kills}: ${error instanceof Error ? error.stack : error}`)
    }
    row.acknowledged = before
    note(row, findings)
    const bad = row.lost + row.doubled + row.staleAccepted + row.countersWrong + row.unfinished + row.broken
    if (bad > broken) {
      // What went wrong once would be found again by each later look: the profile is kept, and another one begun.
      row.notes.push(`kept: ${stage.browser.profile} (seed ${SEED + from})`)
      await stage.keep()
      stage = await module.openStage(backend)
      broken = bad
    }
    save()
  }
  await stage.close()
  say('', true)
}

/** @param {number} count @param {number} first */
async function seeds(count, first) {
  if (count === 0) return
  const row = begin('simulation')
  const begun = performance.now()
  const { simulate } = await load('test/simulation/simulate.ts')
  for (const { from, size } of rounds(count, 10)) {
    for (const fault of await simulated(simulate, first + from, size)) { row.broken++; row.notes.push(fault) }
    progress(row, begun, count, from + size)
    save()
  }
  say('', true)
}

/** @param {(seed: number) => Promise<{ ok: boolean, error?: string }>} simulate @param {number} from @param {number} size */
async function simulated(simulate, from, size) {
  const faults = []
  for (let seed = from; seed < from + size; seed++) {
    const { ok, error } = await simulate(seed)
    if (!ok) faults.push(`seed ${seed}: ${error}`)
  }
  return faults
}

/** @param {number} count @param {number} jobs @param {number} times */
async function tabs(count, jobs, times) {
  const { drain } = await load('test/crash/drain.ts')
  const row = begin(`${count} tabs, jobs`)
  const begun = performance.now()
  for (const { from } of rounds(times, 1)) {
    const drained = await drain({ tabs: count, jobs, concurrency: CONCURRENCY, ms: 0, stop: stop.signal, progress: (/** @type {number} */ done) => { progress(row, begun, jobs * times, from * jobs + done) } })
    note(row, { ...drained, acknowledged: drained.done })
    if (drained.mostAtOnce > CONCURRENCY) { row.broken++; row.notes.push(`${drained.mostAtOnce} at once instead of ${CONCURRENCY}`) }
    progress(row, begun, jobs * times, from * jobs + drained.done)
    row.notes.push(`${Math.round(drained.done / drained.seconds)} jobs/s over ${drained.processes} processes, ${drained.perTab.join(' + ')}`)
    save()
  }
  say('', true)
}

function save() { if (values.json !== undefined) writeFileSync(values.json, `${JSON.stringify({ seed: SEED, at: new Date().toISOString(), rows }, undefined, 2)}\n`) }

function print() {
  save()
  const columns = /** @type {const} */ (['n', 'acknowledged', 'lost', 'doubled', 'staleAccepted', 'countersWrong', 'unfinished', 'broken', 'seconds', 'bound95'])
  console.table(Object.fromEntries(rows.map((row) => [row.kind, Object.fromEntries(columns.map((name) => [name, name === 'seconds' || name === 'bound95' ? Number(row[name].toPrecision(3)) : row[name]]))])))
  for (const { kind, notes } of rows) for (const line of notes) console.log(`${kind}: ${line}`)
}

/** One line that is written over, where there is a terminal; else one a minute. @param {string} text */
function say(text, last = false) {
  if (process.stdout.isTTY) { process.stdout.write(`\r\x1b[K${text}${last ? '\n' : ''}`); return }
  const now = performance.now()
  if (text && (now - (say.at ?? 0) > 60_000 || text.endsWith('\n'))) { say.at = now; console.log(text.trimEnd()) }
}
say.at = 0
