/** kill -9 of a part of the app in the middle of a hundred jobs, as often as asked; what was acknowledged is compared with what became of it. */
import { seeded } from '../crash/harness.ts'
import type { Page } from 'playwright-core'
import { inMainOf, pause, until, type Desktop, type PageGlobals, type Stage } from './stage.ts'

export type Part = 'main' | 'engine' | 'window'
export interface Findings { kills: number; acknowledged: number; /** Attempts that began, and how many of them after a kill: the work that was done again. */ starts: number; readonly faults: string[] }

const JOBS = 100
const SETTLE_MS = 60_000

export async function kill(stage: Stage, part: Part, kills: number, seed: number, findings: Findings = { kills: 0, acknowledged: 0, starts: 0, faults: [] }): Promise<Findings> {
  const random = seeded(seed)
  let desktop = await stage.start()
  let { page } = desktop
  for (let n = 0; n < kills; n++) {
    const ids = await push(page, stage, random)
    await pause(50 + random() * 900)
    if (part === 'main') {
      await desktop.stop()
      desktop = await stage.start()
      ;({ page } = desktop)
    } else {
      const died = await desktop.renderer(part)
      process.kill(died, 'SIGKILL')
      await until(async () => { const now = await desktop.renderer(part).catch(() => 0); return now !== 0 && now !== died })
      // The window has been loaded again; but what drives it here thinks it dead for ever.
      if (part === 'window') page = await desktop.open()
    }
    findings.kills++
    findings.acknowledged += ids.length
    findings.faults.push(...await faultsIn(desktop, stage, ids).then((faults) => faults.map((fault) => `kill ${n} of ${part} (seed ${seed}): ${fault}`)))
  }
  findings.starts += stage.journal().filter(([what]) => what === 'start').length + stage.notes.lines.filter(([what]) => what === 'start').length
  await desktop.stop()
  return findings
}

/** A hundred jobs from the window: for the page, for Node, and requests. */
async function push(page: Page, { notes }: Stage, random: () => number): Promise<string[]> {
  const jobs = Array.from({ length: JOBS }, (_, i) => ({ queue: ['page', 'node', 'node', 'page', 'http'][i % 5]!, ms: Math.round(5 + random() * 60) }))
  return page.evaluate(([list, url]) => {
    const { queue } = window as unknown as PageGlobals
    return Promise.all(list.map(({ queue: to, ms }) => to === 'http' ? queue.fetch(url, { method: 'POST', body: 'request' }) : queue.push(to, 'work', { ms })))
  }, [jobs, notes.url] as const)
}

async function faultsIn(desktop: Desktop, stage: Stage, ids: readonly string[]): Promise<string[]> {
  const states = (): Promise<Record<string, string>> => inMainOf(desktop)(async (queue, wanted: readonly string[]) => Object.fromEntries(await Promise.all(wanted.map(async (id) => [id, (await queue.get(id))?.state ?? 'lost']))) as Record<string, string>, ids)
  let seen: Record<string, string> = {}
  for (const end = performance.now() + SETTLE_MS; performance.now() < end; await pause(100)) {
    seen = await states().catch(() => ({}))
    if (ids.every((id) => seen[id] === 'completed')) break
  }
  await pause(300)
  const completed = new Map<string, number>()
  const faults = ids.filter((id) => seen[id] !== 'completed').map((id) => `${id} is ${seen[id] ?? 'unknown'}`)
  for (const [what, id, when] of stage.notes.lines) if (what === 'completed') {
    if (completed.has(id)) faults.push(`${id} completed twice`)
    completed.set(id, Math.min(when, completed.get(id) ?? Infinity))
  }
  const starts = [...stage.notes.lines.map(([what, id, when]) => [what, id, when] as const), ...stage.journal().map(([what, id, , when]) => [what, id, when] as const)].filter(([what]) => what === 'start')
  for (const [, id, when] of starts) if (when > (completed.get(id) ?? Infinity)) faults.push(`${id} ran after it had completed`)
  for (const [what, id] of stage.journal()) if (what === 'overlap') faults.push(`${id} ran twice at once`)
  const { ok, faults: wrong } = await inMainOf(desktop)((queue) => queue.verify())
  if (!ok) faults.push(...wrong)
  return faults
}
