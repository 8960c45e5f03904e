/** A real Firefox that can be killed, by puppeteer over BiDi. */
import { spawn, type ChildProcess } from 'node:child_process'
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import puppeteer, { type Browser, type Page } from 'puppeteer-core'
import { findFirefox } from '../../scripts/firefox.mjs'
import { listening, pause, signal } from './harness.ts'
import { stageOf, type Killable, type Stage } from './kills.ts'

export { killBrowsers as killFirefoxes, noFindings } from './kills.ts'

/** A first start without questions, and none about the kills before. */
const PREFERENCES = {
  'toolkit.startup.max_resumed_crashes': -1, 'browser.sessionstore.resume_from_crash': false, 'browser.shell.checkDefaultBrowser': false,
  'datareporting.policy.dataSubmissionEnabled': false, 'app.update.enabled': false, 'app.normandy.enabled': false, 'browser.startup.homepage_override.mstone': 'ignore',
  'browser.newtabpage.enabled': false, 'browser.startup.page': 0, 'network.captive-portal-service.enabled': false, 'network.connectivity-service.enabled': false,
}

/** Started by hand: puppeteer would move the profile's preferences about while it is killed and started again. */
export class KillableFirefox implements Killable {
  readonly profile = mkdtempSync(join(tmpdir(), 'holdfast-firefox-'))
  #process: ChildProcess | undefined
  #browser: Browser | undefined

  async start(): Promise<Browser> {
    const executable = findFirefox()
    if (executable === undefined) throw new Error('no Firefox found')
    writeFileSync(join(this.profile, 'user.js'), Object.entries(PREFERENCES).map(([name, value]) => `user_pref('${name}', ${JSON.stringify(value)});\n`).join(''))
    const child = spawn(executable, ['--headless', '--no-remote', '--profile', this.profile, '--remote-debugging-port', '0', 'about:blank'], { stdio: ['ignore', 'ignore', 'pipe'], detached: true })
    this.#process = child
    const endpoint = await listening(child, /WebDriver BiDi listening on (ws:\S+)/)
    return this.#browser = await puppeteer.connect({ browserWSEndpoint: `${endpoint}/session`, protocol: 'webDriverBiDi' })
  }

  async page(): Promise<Page> {
    if (!this.#browser) throw new Error('the browser is not running')
    return this.#browser.newPage()
  }

  async killAll(): Promise<void> {
    const pid = this.#process?.pid
    this.#process = undefined
    if (pid === undefined) return
    const all = [pid, ...descendants(pid)]
    for (const one of all) signal(one, 'KILL')
    while (all.some(alive)) await pause(10)
    await Promise.race([this.#browser?.disconnect(), pause(1000)])
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
