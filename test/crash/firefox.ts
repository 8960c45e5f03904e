/** A real Firefox that can be killed, by puppeteer over BiDi. */
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import puppeteer, { type Browser, type Page } from 'puppeteer-core'
import { findFirefox } from '../../scripts/firefox.mjs'
import { pause, signal } from './harness.ts'
import { stageOf, type Killable, type Stage } from './kills.ts'

export { killBrowsers as killFirefoxes, noFindings } from './kills.ts'

export class KillableFirefox implements Killable {
  readonly profile = mkdtempSync(join(tmpdir(), 'holdfast-firefox-'))
  #browser: Browser | undefined

  async start(): Promise<Browser> {
    const executablePath = findFirefox()
    if (executablePath === undefined) throw new Error('no Firefox found')
    return this.#browser = await puppeteer.launch({
      browser: 'firefox', executablePath, headless: true, userDataDir: this.profile, handleSIGINT: false,
      // One that is killed again and again would offer to start without its add-ons.
      extraPrefsFirefox: { 'toolkit.startup.max_resumed_crashes': -1, 'browser.sessionstore.resume_from_crash': false },
    })
  }

  async page(): Promise<Page> {
    if (!this.#browser) throw new Error('the browser is not running')
    return this.#browser.newPage()
  }

  async killAll(): Promise<void> {
    const browser = this.#browser
    this.#browser = undefined
    const pid = browser?.process()?.pid
    if (browser === undefined || pid === undefined) return
    const all = [pid, ...descendants(pid)]
    for (const one of all) signal(one, 'KILL')
    while (all.some(alive)) await pause(10)
    await Promise.race([browser.disconnect(), pause(1000)])
  }

  async dispose(): Promise<void> {
    await this.killAll()
    rmSync(this.profile, { recursive: true, force: true, maxRetries: 5 })
  }
}

export const openStage = (): Promise<Stage<KillableFirefox>> => stageOf(new KillableFirefox())

interface Stat { readonly pid: number; readonly parent: number; readonly state: string }

/** Linux. */
function stat(pid: number): Stat | undefined {
  try {
    const text = readFileSync(`/proc/${pid}/stat`, 'utf8')
    const [state = '', parent] = text.slice(text.lastIndexOf(')') + 2).split(' ')
    return { pid, parent: Number(parent), state }
  } catch { return undefined }
}

const alive = (pid: number): boolean => !/^[ZX]?$/.test(stat(pid)?.state ?? '')

function descendants(root: number): number[] {
  const all = readdirSync('/proc').filter((name) => /^\d+$/.test(name)).flatMap((name) => stat(Number(name)) ?? [])
  const found = [root]
  for (const parent of found) found.push(...all.filter((one) => one.parent === parent).map(({ pid }) => pid))
  return found.slice(1)
}
