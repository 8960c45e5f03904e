/** Locks taken away from tabs that are about to acknowledge: whoever of two ends a job, only one is believed. */
import { KillableBrowser, pause, seeded, type Site } from './harness.ts'
import { noFindings, type Findings, type KillOptions, type Stage } from './kills.ts'
import { freshName, openTab, serveTabs, tabAt, type Tab } from './tabs.ts'

export { noFindings } from './kills.ts'

export async function openStage(): Promise<Stage<KillableBrowser>> {
  const browser = new KillableBrowser()
  const site = await serveTabs()
  await browser.start()
  return { site, browser, async close() { await browser.dispose(); await site.close() }, async keep() { await browser.killAll(); await site.close() } }
}

/** Whose leases there are. */
export const ownerOf = (tab: Tab, name: string): Promise<string> => tab.realm.evaluate(async (_realm, database) => {
  const db = await new Promise<IDBDatabase>((resolve) => { const open = indexedDB.open(database); open.onsuccess = () => { resolve(open.result) } })
  const rows = await new Promise<Array<{ owner: string }>>((resolve) => { const all = db.transaction('leases').objectStore('leases').getAll(); all.onsuccess = () => { resolve(all.result as Array<{ owner: string }>) } })
  db.close()
  return rows[0]!.owner
}, `holdfast:${name}`)

export const steal = (thief: Tab, database: string, owner: string): Promise<unknown> =>
  thief.page.evaluate((lock) => navigator.locks.request(lock, { steal: true }, () => {}), `${database}:owner:${owner}`)

const JOBS = 3

/** One round: a tab pulls, its lock is stolen, and it acknowledges at about the same time as the tab that was given its jobs. */
async function round(one: Tab, two: Tab, thief: Tab, name: string, random: () => number): Promise<{ readonly ids: readonly string[]; readonly accepted: readonly string[] }> {
  const ids = await two.realm.evaluate(({ queue }, count) => queue.pushMany('q', Array.from({ length: count }, () => ({ name: 'n', data: 0 }))), JOBS)
  await one.realm.evaluate(async ({ queue, kept }, count) => { kept['jobs'] = (await queue.pull('q', count, { waitMs: 5000 })).map(({ id }) => id) }, JOBS)
  const owner = await ownerOf(two, name)
  const [mine, , others] = await Promise.all([
    one.realm.evaluate(async ({ queue, kept }, ms) => {
      await new Promise((resolve) => { setTimeout(resolve, ms) })
      const done = await Promise.all((kept['jobs'] as string[]).map((id) => queue.ack(id).then(() => id, () => undefined)))
      return done.filter((id) => id !== undefined)
    }, random() * 60),
    pause(random() * 20).then(() => steal(thief, `holdfast:${name}`, owner)),
    two.realm.evaluate(async ({ queue }) => {
      const done: string[] = []
      for (const end = performance.now() + 20_000; performance.now() < end;) {
        for (const job of await queue.pull('q', 10, { waitMs: 50 })) await queue.ack(job).then(() => { done.push(job.id) }, () => {})
        const { counts } = await queue.stats('q')
        if (counts.waiting + counts.active + counts.delayed === 0) break
      }
      return done
    }),
  ])
  return { ids, accepted: [...mine, ...others] }
}

const VERIFY_EVERY = 20

export async function stealLocks({ browser, site }: { readonly browser: KillableBrowser; readonly site: Site }, { kills, seed, findings = noFindings(), progress, stop }: KillOptions): Promise<Findings> {
  const random = seeded(seed)
  const name = freshName()
  const [one, two, thief] = [await openTab(browser, site, name), await openTab(browser, site, name), await tabAt(browser, `${site.url}/library`)]
  for (let n = 1; n <= kills && !stop?.aborted; n++) {
    const { ids, accepted } = await round(one, two, thief, name, random)
    const times = (id: string): number => accepted.filter((other) => other === id).length
    findings.kills++
    findings.acknowledged += ids.length
    findings.lost.push(...ids.filter((id) => times(id) === 0))
    findings.staleAccepted.push(...ids.filter((id) => times(id) > 1))
    if (n % VERIFY_EVERY === 0 || n === kills) findings.countersWrong.push(...await two.realm.evaluate(async ({ queue }) => (await queue.verify()).faults))
    progress?.(findings)
  }
  await Promise.all([one, two, thief].map(({ page }) => page.close()))
  return findings
}
