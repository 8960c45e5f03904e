// Medians, ratios and targets as text.

/**
 * @typedef {import('./plan.mjs').Plan} Plan
 * @typedef {import('./measures.ts').Result & { level: number, round: number, name: string, what: string }} Round
 * @typedef {{ environment: Record<string, string | number | boolean>, plan: Plan, rounds: Round[], seconds: number,
 *   unfilled: Array<{ name: string, level: number, seconds: number }>, wrong: Array<{ name: string, level: number, what: string, error: string, hung: boolean }> }} Numbers
 * @typedef {{ target: string, value: number | undefined, bound: number, atMost: boolean, unit: string, note: string }} Target
 */

const PEERS = { plain: 'plain idb', dexie: 'Dexie', workbox: 'Workbox*', tanstack: 'TanStack*' }

/** @type {ReadonlyArray<[what: string, label: (plan: Plan) => string, subject: string]>} */
const ROWS = [
  ['push', () => 'push, awaited one by one', 'holdfast'],
  ['burst', ({ sizes }) => `${count(sizes.burst)} pushes at once`, 'holdfast'],
  ['pushMany', ({ sizes }) => `pushMany of ${count(sizes.pushMany)}`, 'holdfast'],
  ['drain1', () => 'drain, 1 at once, handler in the page', 'holdfast'],
  ['drain1', () => 'drain, 1 at once, handler in a worker', 'holdfast worker'],
  ['drain16', () => 'drain, 16 at once, handler in the page', 'holdfast'],
  ['drain16', () => 'drain, 16 at once, handler in a worker', 'holdfast worker'],
  ['batch', () => 'pull 50 + ack 50', 'holdfast'],
]

/** @param {Numbers} numbers */
export function report(numbers) {
  const { plan } = numbers
  const { at, peers, fastest } = reader(numbers)
  const top = Math.max(...plan.levels)
  const lines = [
    `Jobs per second, median of ${plan.rounds} rounds; ratio: holdfast to the fastest peer (of a drain, at either concurrency); ${Object.entries(numbers.environment).map(([name, value]) => `${name} ${value}`).join(', ')}`, '',
    row('', ['holdfast', ...Object.values(PEERS), 'ratio']),
  ]
  for (const level of plan.levels) {
    const rows = ROWS.filter(([what, , subject]) => [subject, ...Object.keys(PEERS)].some(name => at(level, name, what) !== undefined))
    if (rows.length > 0) lines.push(`${level === 0 ? 'nothing' : count(level)} waiting`)
    for (const [what, label, subject] of rows) {
      const own = at(level, subject, what)
      lines.push(row(`  ${label(plan)}`, [...[own, ...peers(level, what)].map(rate), times(over(own, fastest(level, what)))]))
    }
  }
  const own = OWN.map(([label, what, field]) => /** @type {const} */ ([label, at(0, 'holdfast', what, field), at(what === 'origin' ? plan.ahead : top, 'holdfast', what, field)]))
    .filter(([, , full]) => full !== undefined)
  if (own.length > 0) lines.push('', row('holdfast, p50 in ms', ['without', 'with', 'ratio']), ...own.map(([label, without, full]) => row(`  ${label(plan, top)}`, [ms(without), ms(full), times(over(full, without))])))
  const bare = ['bare page', 'bare worker'].map(name => at(0, name, 'push', 'push'))
  if (bare.some(one => one !== undefined)) lines.push('', `p50 in ms, nothing waiting: holdfast's push ${ms(at(0, 'holdfast', 'push', 'push'))}, a bare put + commit() ${ms(bare[0])} in the page, ${ms(bare[1])} in a worker`)

  lines.push('', 'Targets')
  for (const { target, value, bound, atMost, unit, note } of targets(numbers)) {
    const met = value !== undefined && (atMost ? value <= bound : value >= bound)
    lines.push(`  ${value === undefined ? '–     ' : met ? 'met   ' : 'MISSED'}  ${target.padEnd(58)} ${atMost ? '≤' : '≥'} ${bound}${unit}: ${value === undefined ? 'not measured' : `${value.toFixed(2)}${unit}${note && ` (${note})`}`}`)
  }

  lines.push('', '* relaxed: Workbox and TanStack do not let one ask for strict commits; Workbox deletes a request before it is sent, TanStack answers before the commit.',
    'All peers but TanStack are measured in a worker, next to their database, where they are faster; holdfast is called from the page.')
  for (const { name, level, seconds } of numbers.unfilled) lines.push(`${name}: not filled to ${count(level)} nor further; it would take ${Math.round(seconds)} s, the limit is ${plan.fillMs / 1000} s.`)
  for (const { name, level, what, error } of numbers.wrong) lines.push(`WRONG: ${name}, ${what} at ${count(level)}: ${error}`)
  lines.push(`${numbers.seconds} s`)
  return lines.join('\n')
}

/** @type {ReadonlyArray<[label: (plan: Plan, top: number) => string, what: string, field: keyof import('./measures.ts').Result]>} */
const OWN = [
  [(_plan, top) => `push, ${count(top)} waiting`, 'p50', 'push'],
  [(_plan, top) => `pull 50, ${count(top)} waiting`, 'p50', 'pull'],
  [(_plan, top) => `ack 50, ${count(top)} waiting`, 'p50', 'ack'],
  [(_plan, top) => `stats(), ${count(top)} waiting`, 'stats', 'stats'],
  [plan => `claim behind ${count(plan.ahead)} requests to a closed origin`, 'origin', 'claim'],
  [() => 'request to its answer, behind the same', 'origin', 'request'],
]

/** @param {Numbers} numbers @returns {Target[]} */
export function targets(numbers) {
  const { plan } = numbers
  const { at, fastest, fastestName } = reader(numbers)
  const top = Math.max(...plan.levels)
  const bare = Math.min(at(0, 'bare page', 'push', 'push') ?? Infinity, at(0, 'bare worker', 'push', 'push') ?? Infinity)
  const p50 = (/** @type {'push' | 'pull' | 'ack'} */ field) => over(at(top, 'holdfast', 'p50', field), at(0, 'holdfast', 'p50', field))
  const shortfall = top < 1_000_000 ? `at ${count(top)} only` : ''
  return [
    least('1000 pushes at once / fastest peer', over(at(0, 'holdfast', 'burst'), fastest(0, 'burst')), 20, fastestName(0, 'burst')),
    least('pushMany / bulkAdd of Dexie', over(at(0, 'holdfast', 'pushMany'), at(0, 'dexie', 'pushMany')), 5),
    least('drain by a worker handler, 1 at once / fastest peer', over(at(0, 'holdfast worker', 'drain1'), fastest(0, 'drain1')), 10),
    least('drain by a worker handler, 16 at once / fastest peer', over(at(0, 'holdfast worker', 'drain16'), fastest(0, 'drain16')), 10),
    least('awaited push / bare put + commit(), by their p50', bare < Infinity ? over(bare, at(0, 'holdfast', 'push', 'push')) : undefined, 0.45),
    most('p50 of a push, 1 M waiting / nothing waiting', p50('push'), 1.5, '×', shortfall),
    most('p50 of pull 50, 1 M waiting / nothing waiting', p50('pull'), 1.5, '×', shortfall),
    most('p50 of ack 50, 1 M waiting / nothing waiting', p50('ack'), 1.5, '×', shortfall),
    most('claim behind 100 k requests to a closed origin / without', over(at(plan.ahead, 'holdfast', 'origin', 'claim'), at(0, 'holdfast', 'origin', 'claim')), 1.2, '×', plan.ahead < 100_000 ? `${count(plan.ahead)} only` : ''),
    most('stats() with 1 M waiting', at(top, 'holdfast', 'stats', 'stats'), 5, ' ms', shortfall),
  ]
}

/** @returns {Target} @param {string} target @param {number | undefined} value @param {number} bound */
const least = (target, value, bound, note = '') => ({ target, value, bound, atMost: false, unit: '×', note })
/** @returns {Target} @param {string} target @param {number | undefined} value @param {number} bound @param {string} unit @param {string} note */
const most = (target, value, bound, unit, note) => ({ target, value, bound, atMost: true, unit, note })

/** @param {Numbers} numbers */
function reader({ rounds }) {
  /** @param {number} level @param {string} name @param {string} what @param {keyof import('./measures.ts').Result} field */
  const at = (level, name, what, field = 'rate') =>
    median(rounds.flatMap(one => one.level === level && one.name === name && one.what === what ? one[field] ?? [] : []))
  const peers = (/** @type {number} */ level, /** @type {string} */ what) => Object.keys(PEERS).map(name => at(level, name, what))
  /** Of a drain: at whatever concurrency suits the peer. @param {number} level @param {string} what */
  const fastest = (level, what) =>
    Math.max(...(what.startsWith('drain') ? ['drain1', 'drain16'] : [what]).flatMap(one => peers(level, one)).map(one => one ?? 0)) || undefined
  const fastestName = (/** @type {number} */ level, /** @type {string} */ what) => Object.values(PEERS)[peers(level, what).indexOf(fastest(level, what))] ?? ''
  return { at, peers, fastest, fastestName }
}

/** @param {readonly number[]} values */
function median(values) {
  const sorted = values.toSorted((a, b) => a - b)
  const [below, above] = [sorted[(sorted.length - 1) >> 1], sorted[sorted.length >> 1]]
  return below === undefined || above === undefined ? undefined : (below + above) / 2
}

/** @param {number | undefined} a @param {number | undefined} b */
const over = (a, b) => a === undefined || b === undefined ? undefined : a / b
/** @param {number} n */
const count = n => n.toLocaleString('en').replaceAll(',', ' ')
/** @param {number | undefined} n */
const rate = n => n === undefined ? '–' : count(Number(n.toPrecision(3)))
/** @param {number | undefined} n */
const ms = n => n === undefined ? '–' : n.toFixed(2)
/** @param {number | undefined} n */
const times = n => n === undefined ? '–' : `${Number(n.toPrecision(2))}×`
/** @param {string} label @param {readonly string[]} cells */
const row = (label, cells) => label.padEnd(54) + cells.map(cell => cell.padStart(11)).join('')
