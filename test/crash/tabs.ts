/** Tabs of one browser, each a process of its own, driven from outside. */
import type { JSHandle, Page } from 'playwright-core'
import type { openQueue, createQueue, Queue } from 'holdfast'
import { serveSite, signal, type KillableBrowser, type Site } from './harness.ts'

/** What a tab's page has. */
export interface Realm {
  readonly queue: Queue
  readonly library: { readonly openQueue: typeof openQueue; readonly createQueue: typeof createQueue }
  /** To the journal. */
  tell(what: string, id?: string): void
  /** Epoch ms. */
  when(): number
  /** Whatever a test wants to keep there. */
  kept: Record<string, unknown>
}

export interface Tab { readonly page: Page; readonly realm: JSHandle<Realm>; readonly pid: number; kill(): void; stop(): void; thaw(): void }

/** `tab?db=…` opens a queue; `&worker=…` with another worker than the built-in one; `library` opens none; `&bare` lacks what `bare-worker.js` lacks. */
const PAGES = {
  tab: `
    import * as library from 'holdfast'
    const asked = new URLSearchParams(location.search)
    const worker = asked.get('worker')
    Object.assign(window, { library, kept: {} })
    window.queue = await library.openQueue(asked.get('db'), worker ? { worker: () => new Worker('/holdfast/' + worker) } : {})
    window.ready = true`,
  library: `
    import * as library from 'holdfast'
    Object.assign(window, { library, kept: {} })
    window.ready = true`,
}

export const serveTabs = (): Promise<Site> => serveSite(PAGES)

let databases = 0
export const freshName = (): string => `t-${++databases}`

export async function openTab(browser: KillableBrowser, { url }: Site, db: string, more: { readonly worker?: string; readonly bare?: boolean } = {}): Promise<Tab> {
  return tabAt(browser, `${url}/tab?${new URLSearchParams({ db, ...(more.worker !== undefined && { worker: more.worker }), ...(more.bare === true && { bare: '' }) })}`)
}

export async function tabAt(browser: KillableBrowser, url: string): Promise<Tab> {
  const { page, pid } = await browser.tab(url)
  await page.waitForFunction('window.ready')
  const realm = await page.evaluateHandle('window') as unknown as JSHandle<Realm>
  return { page, realm, pid, kill() { signal(pid, 'KILL') }, stop() { signal(pid, 'STOP') }, thaw() { signal(pid, 'CONT') } }
}
