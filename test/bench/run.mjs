// `npm run bench`: holdfast beside its peers, in one Chromium. Everybody takes turns, so that a noisy minute is noisy for all.
import { writeFileSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { createServer } from 'node:http'
import { cpus, loadavg, tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { chromium } from 'playwright-core'
import { build, preview } from 'vite'
import { inlineWorker, sourceWorkerUrl } from '../../scripts/builtin-worker.mjs'
import { launchOptions } from '../../scripts/chromium.mjs'
import { COMMON, CONTESTANTS, FULL, OWN, QUICK, TAKES_PART } from './plan.mjs'
import { report } from './table.mjs'

/**
 * @typedef {import('./contestants/index.ts').Name} Name
 * @typedef {import('./measures.ts').Result} Result
 * @typedef {import('./table.mjs').Numbers} Numbers
 */

const { values: options } = parseArgs({
  options: {
    quick: { type: 'boolean', default: false },
    only: { type: 'string' },
    contestants: { type: 'string' },
    json: { type: 'string' },
    help: { type: 'boolean', default: false },
  },
})
const MEASURES = /** @type {const} */ ([...COMMON, ...OWN])
if (options.help) {
  console.log(`node test/bench/run.mjs [--quick] [--only ${MEASURES.join(',')}] [--contestants ${CONTESTANTS.join(',')}] [--json FILE]`)
  process.exit()
}

/** @template {string} T @param {string | undefined} given @param {readonly T[]} all @returns {T[]} */
function chosen(given, all) {
  const parts = given?.split(',').map(part => part.trim())
  const unknown = parts?.find(part => !all.some(one => one === part))
  if (unknown !== undefined) throw new Error(`unknown: ${unknown}; there are ${all.join(', ')}`)
  return all.filter(one => !parts || parts.includes(one))
}
const plan = options.quick ? QUICK : FULL
const wanted = chosen(options.only, MEASURES)
const names = chosen(options.contestants, CONTESTANTS)

class Hung extends Error {}

const started = Date.now()
const say = (/** @type {string} */ text) => console.error(`${String(Math.round((Date.now() - started) / 1000)).padStart(4)} s  ${text}`)

const folder = await mkdtemp(join(tmpdir(), 'holdfast-bench-'))
const root = fileURLToPath(new URL('.', import.meta.url))
const plugins = () => [inlineWorker(), sourceWorkerUrl()]
/** @type {import('vite').InlineConfig} */
const config = {
  root, configFile: false, logLevel: 'error', plugins: plugins(), worker: { format: 'es', plugins },
  build: { outDir: join(folder, 'site'), emptyOutDir: true, target: 'es2022' },
  // Isolated, a page's clock ticks every 5 µs instead of every 100.
  preview: { port: 0, headers: { 'Cross-Origin-Opener-Policy': 'same-origin', 'Cross-Origin-Embedder-Policy': 'require-corp' } },
}
say('build')
await build(config)
const site = await preview(config)
const live = createServer((_request, response) => {
  response.writeHead(204, { 'Access-Control-Allow-Origin': '*', 'Access-Control-Allow-Headers': '*', 'Access-Control-Allow-Methods': '*', 'Access-Control-Max-Age': '600' }).end()
})
const closedPort = await listen(createServer(), true)
const livePort = await listen(live, false)
const browser = await chromium.launchPersistentContext(join(folder, 'profile'), { ...launchOptions(), headless: true })

/** @type {Numbers} */
const numbers = {
  environment: { Chromium: browser.browser()?.version() ?? '', Node: process.version, cores: cpus().length, CPU: cpus()[0]?.model ?? '', 'load before': Number(loadavg()[0]?.toFixed(1)) },
  plan, rounds: [], unfilled: [], wrong: [], seconds: 0,
}
try {
  const page = await browser.newPage()
  page.on('pageerror', error => say(`page: ${error.message}`))
  page.on('console', message => { if (message.type() === 'error') say(`console: ${message.text()}`) })
  await page.goto(site.resolvedUrls?.local[0] ?? '')
  await page.waitForFunction('globalThis.bench')
  await everybody(page)
  if (names.includes('holdfast')) await holdfastAlone(page)
} finally {
  live.close()
  await Promise.all([within(10_000, 'closing Chromium', browser.close()), site.close()]).catch(error => say(String(error)))
  await rm(folder, { recursive: true, force: true, maxRetries: 5 })
}
numbers.seconds = Math.round((Date.now() - started) / 1000)
if (options.json) writeFileSync(options.json, JSON.stringify(numbers, null, 1))
console.log(report(numbers))
process.exit(numbers.wrong.length > 0 ? 1 : 0)

/** @param {import('playwright-core').Page} page */
async function everybody(page) {
  const measures = COMMON.filter(what => wanted.includes(what))
  for (const level of plan.levels) {
    const here = level === 0 ? names : await filled(page, level, measures.length > 0 ? names : names.filter(name => name === 'holdfast'))
    for (let round = 0; round < plan.rounds && measures.length > 0; round++) {
      say(`${level} waiting, round ${round + 1} of ${plan.rounds}`)
      for (const what of measures)
        for (const name of rotated(here.filter(one => TAKES_PART[one]?.includes(what) ?? true), round))
          await record({ level, round, name, what }, () => call(page, name, 'measure', level === 0 ? `empty-${slug(name)}` : `full-${slug(name)}`, level, what, plan.sizes))
    }
    // An open queue looks after itself now and then: not while others are measured.
    if (level === 0 && measures.length > 0) for (const name of here) await record({ level, round: 0, name, what: 'close' }, () => call(page, name, 'close', `empty-${slug(name)}`).then(() => {}))
  }
}

/** @param {import('playwright-core').Page} page @param {number} level @param {readonly Name[]} candidates @returns {Promise<Name[]>} those who have reached the level */
async function filled(page, level, candidates) {
  /** @type {Name[]} */
  const here = []
  for (const name of candidates) {
    if (name.startsWith('bare') || numbers.unfilled.some(one => one.name === name)) continue
    say(`${name}: fill to ${level}`)
    await record({ level, round: 0, name, what: 'fill' }, async () => {
      const { reached, ms } = await call(page, name, 'fill', `full-${slug(name)}`, level, name.startsWith('holdfast') ? plan.hungMs : plan.fillMs)
      if (reached) here.push(name)
      else numbers.unfilled.push({ name, level, seconds: ms / 1000 })
    })
  }
  return here
}

/** @param {import('playwright-core').Page} page */
async function holdfastAlone(page) {
  const name = 'holdfast'
  const top = Math.max(...plan.levels)
  /** @param {'stats' | 'closeOrigin' | 'behind'} method @param {unknown[]} args */
  const own = (method, ...args) => within(plan.hungMs, method, page.evaluate(({ method, args }) => Reflect.apply(globalThis.bench.own[method], undefined, args), { method, args }))

  for (let round = 0; round < plan.rounds && wanted.includes('p50'); round++) {
    say(`p50 with 0 and ${top} waiting, round ${round + 1} of ${plan.rounds}`)
    for (const level of rotated([0, top], round))
      for (const what of ['push', 'batch'])
        await record({ level, round, name, what: 'p50' }, () => call(page, name, 'measure', level === 0 ? 'empty-holdfast' : 'full-holdfast', level, what, plan.sizes))
  }
  for (let round = 0; round < plan.rounds && wanted.includes('stats'); round++)
    await record({ level: top, round, name, what: 'stats' }, () => own('stats', 'full-holdfast', top, plan.times))
  if (!wanted.includes('origin')) return
  say(`origin: ${plan.ahead} requests`)
  await record({ level: plan.ahead, round: 0, name, what: 'origin' }, () => own('closeOrigin', 'closed-origin', plan.ahead, `http://127.0.0.1:${closedPort}/`))
  for (let round = 0; round < plan.rounds; round++) {
    say(`origin, round ${round + 1} of ${plan.rounds}`)
    for (const ahead of rotated([0, plan.ahead], round))
      await record({ level: ahead, round, name, what: 'origin' }, () => own('behind', ahead === 0 ? 'no-origin' : 'closed-origin', ahead, `http://127.0.0.1:${livePort}/`, plan.times))
  }
}

/** @param {import('playwright-core').Page} page @param {Name} name @param {'fill' | 'measure' | 'close'} method @param {unknown[]} args */
function call(page, name, method, ...args) {
  return within(plan.hungMs, `${name}: ${method}`, page.evaluate(({ name, method, args }) => {
    const realm = globalThis.bench.realmOf(name)
    return Reflect.apply(realm[method], realm, [name, ...args])
  }, { name, method, args }))
}

/** A wrong count or a hang is told, and the rest goes on. @param {Pick<Numbers['rounds'][number], 'level' | 'round' | 'name' | 'what'>} what @param {() => Promise<Result | void>} run */
async function record(what, run) {
  if (numbers.wrong.some(one => one.name === what.name && (one.hung || one.level === what.level && one.what === what.what))) return
  try {
    const result = await run()
    if (result) numbers.rounds.push({ ...what, ...result })
  } catch (error) {
    const [message = ''] = String(error).split('\n')
    say(`${what.name}, ${what.what}: ${message}`)
    numbers.wrong.push({ ...what, error: message, hung: error instanceof Hung })
  }
}

/** So that nobody always comes first. @template T @param {readonly T[]} all @param {number} by @returns {T[]} */
function rotated(all, by) {
  const from = by % Math.max(1, all.length)
  return [...all.slice(from), ...all.slice(0, from)]
}

/** @param {string} name */
function slug(name) {
  return name.replaceAll(' ', '-')
}

/** @template T @param {number} ms @param {string} what @param {Promise<T>} promise @returns {Promise<T>} */
function within(ms, what, promise) {
  /** @type {NodeJS.Timeout | undefined} */
  let timer
  const late = new Promise((_resolve, reject) => { timer = setTimeout(() => reject(new Hung(`${what}: no answer in ${ms / 1000} s`)), ms) })
  return Promise.race([promise, late]).finally(() => clearTimeout(timer))
}

/** @param {import('node:http').Server} server @param {boolean} close @returns {Promise<number>} the port, which nobody listens to if closed again */
function listen(server, close) {
  return new Promise(resolve => server.listen(0, '127.0.0.1', () => {
    const { port } = /** @type {import('node:net').AddressInfo} */ (server.address())
    if (close) server.close(() => resolve(port))
    else resolve(port)
  }))
}
