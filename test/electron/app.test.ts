/** The demo as a desktop app: it starts, keeps what it holds, and sends mails with its windows closed. */
import { execFileSync } from 'node:child_process'
import { chmodSync, mkdtempSync, readdirSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { serve } from '@hono/node-server'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { createMailApi, type Account } from '../../demo/server/mail-api.ts'
import { buildLibrary, discard, ensureNetwork, launch, pause, present, root, skipped, until, type Desktop } from './stage.ts'

skipped()
const PORT = 4040

describe.skipIf(!present)('Harbour Mail', () => {
  const folder = mkdtempSync(join(tmpdir(), 'holdfast-electron-'))
  const screenshots = process.env['SCREENSHOTS'] ?? folder
  let server: ReturnType<typeof serve>
  let desktop: Desktop
  const start = async (): Promise<void> => { desktop = await launch(join(root, 'electron/main.mjs'), folder, process.env as Record<string, string>) }
  beforeAll(async () => {
    ensureNetwork()
    buildLibrary()
    execFileSync('npm', ['run', '--silent', 'build:desktop'], { cwd: root, stdio: ['ignore', 'ignore', 'inherit'] })
    chmodSync(folder, 0o777)
    server = serve({ fetch: createMailApi().fetch, port: PORT, hostname: '127.0.0.1' })
    await start()
  })
  afterAll(async () => {
    await desktop?.stop().catch(() => {})
    server?.close()
    await discard(folder)
  })
  const account = async (): Promise<Account> => await (await fetch(`http://127.0.0.1:${PORT}/api/effects`)).json() as Account

  it('starts at app://holdfast/, and keeps its jobs through kill -9', async () => {
    expect(await desktop.page.evaluate(() => ({ url: location.href, secure: isSecureContext, node: 'process' in window || 'require' in window }))).toEqual({ url: 'app://holdfast/', secure: true, node: false })
    const id = await desktop.page.evaluate(() => window.holdfast.push('later', 'kept', { kept: true }, { delayMs: 3_600_000 }))
    await desktop.stop()
    await start()
    expect(await desktop.page.evaluate((wanted) => window.holdfast.get(wanted), id)).toMatchObject({ id, state: 'delayed', data: { kept: true } })
    console.info(`ran on Electron ${await desktop.electron.evaluate(() => process.versions.electron)}`)
  })

  it('sends twenty mails with every window closed; opened again, it shows them sent', async () => {
    await fetch(`http://127.0.0.1:${PORT}/api/settings`, { method: 'PUT', body: JSON.stringify({ failRate: 0 }) })
    await desktop.page.click('#network')
    for (const _ of [1, 2]) await desktop.page.click('#send-ten')
    await desktop.page.waitForFunction(() => document.getElementById('waiting-count')?.textContent === '20')
    expect((await account()).total).toBe(0)
    await desktop.page.click('#network')
    await desktop.electron.evaluate(({ BrowserWindow }) => { for (const one of BrowserWindow.getAllWindows()) if (!one.webContents.getURL().endsWith('/engine.html')) one.close() })
    await until(async () => (await account()).total === 20, 60_000)
    expect((await account()).twice).toBe(0)
    const page = await desktop.open()
    await page.waitForFunction(() => document.getElementById('sent-count')?.textContent === '20')
    await pause(1000)
    await page.screenshot({ path: join(screenshots, 'desktop.png') })
  })

  it('hashes a folder in Node, from its menu, file by file', async () => {
    const page = await desktop.open()
    const chosen = join(root, 'demo/src')
    await desktop.electron.evaluate(({ dialog, Menu }, folderPath) => {
      dialog.showOpenDialog = () => Promise.resolve({ canceled: false, filePaths: [folderPath] })
      Menu.getApplicationMenu()?.items.flatMap(({ submenu }) => submenu?.items ?? []).find(({ label }) => label === 'Hash a folder…')?.click()
    }, chosen)
    const files = readdirSync(chosen)
    await until(async () => await page.evaluate(async () => (await window.holdfast.stats('files')).counts.completed) === files.length)
    const { jobs } = await page.evaluate(() => window.holdfast.list({ queue: 'files', state: 'completed' }))
    const hashes = (names: readonly string[]): string[] => names.map((name) => execFileSync('sha256sum', [join(chosen, name)], { encoding: 'utf8' }).slice(0, 64)).sort()
    expect(jobs.map(({ result }) => (result as { sha256: string }).sha256).sort()).toEqual(hashes(files))
    expect(jobs.every(({ progress }) => progress === 100)).toBe(true)
  })

  it('tells of a job that dies', async () => {
    const told = desktop.electron.evaluate(({ Notification }) => new Promise((resolve) => { Notification.prototype.show = function (this: { title: string; body: string }) { resolve([this.title, this.body]) } }))
    await desktop.page.context().pages().at(-1)!.evaluate(() => window.holdfast.push('files', 'hash', { path: '/no/such/file', to: 'none' }, { maxAttempts: 1 }))
    expect(await told).toEqual(['hash needs a decision', expect.stringContaining('ENOENT')])
  })
})
