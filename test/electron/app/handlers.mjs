// @ts-check
// Says in a file, which no kill can take back, when each attempt starts and ends, and who runs it.
import { appendFileSync, readFileSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'

const file = process.env.JOURNAL ?? ''
const note = (/** @type {string} */ what, /** @type {string} */ id) => appendFileSync(file, `${what} ${id} ${process.pid} ${Date.now()}\n`)

/** Whether another process runs this job now. @param {string} id */
function overlaps(id) {
  const open = new Set()
  for (const line of readFileSync(file, 'utf8').split('\n')) {
    const [what, job, pid] = line.split(' ')
    if (job !== id) continue
    if (what === 'start') open.add(Number(pid))
    else open.delete(Number(pid))
  }
  return [...open].some((pid) => { try { return !/\) [ZX] /.test(readFileSync(`/proc/${pid}/stat`, 'utf8')) } catch { return false } })
}

/** @type {import('holdfast/electron/main').NodeHandlers} */
export default {
  async work(job, ctx) {
    const { ms = 20 } = /** @type {{ ms?: number }} */ (job.data)
    if (overlaps(job.id)) note('overlap', job.id)
    note('start', job.id)
    ctx.progress(50, 'half')
    try { await sleep(ms, undefined, { signal: ctx.signal }) } catch (error) { note('stopped', job.id); throw error }
    note('end', job.id)
    return process.pid
  },
  async steps(job, ctx) {
    const once = await ctx.step('once', () => { note('step', job.id); return Math.random() })
    ctx.log('one step done')
    await ctx.heartbeat()
    if (ctx.attempt === 1) throw new Error('the first attempt fails')
    return { once, again: await ctx.step('once', () => -1), attempt: ctx.attempt, queue: ctx.queue, node: process.versions.node }
  },
  /** Heeds nothing. */
  async stubborn(job) {
    note('start', job.id)
    await sleep(/** @type {{ ms: number }} */ (job.data).ms)
    note('end', job.id)
  },
  /** Heeds nothing, and lets nobody else be heard. */
  busy(job) {
    note('start', job.id)
    for (const end = Date.now() + /** @type {{ ms: number }} */ (job.data).ms; Date.now() < end;) { /* at work */ }
    note('end', job.id)
  },
  parents: (_job, { parents }) => parents,
  unstorable: () => ({ call() {} }),
  snoozes() { throw Object.assign(new Error('later'), { name: 'Snooze', ms: 3_600_000 }) },
  throws(job) {
    const get = () => { throw new Error('not to be looked at') }
    switch (/** @type {{ what: string }} */ (job.data).what) {
      case 'bare': throw Object.create(null)
      case 'proxy': throw /** @type {any} */ (new Proxy({}, { get, getPrototypeOf: get, has: get, ownKeys: get }))
      default: throw Object.defineProperty(new Error('x'), 'message', { get })
    }
  },
  dies(_job, ctx) { if (ctx.attempt === 1) process.exit(7); return 'alive' },
}
