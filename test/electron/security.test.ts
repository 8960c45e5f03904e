/** What a page can do that has been taken over: nothing that a page on the web could not. */
import { symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { buildLibrary, inMainOf, openStage, pause, present, skipped, until, type Desktop, type PageGlobals, type Stage } from './stage.ts'

skipped()

describe.skipIf(!present)('a compromised page', () => {
  let stage: Stage
  let desktop: Desktop
  beforeAll(async () => {
    buildLibrary()
    stage = await openStage()
    desktop = await stage.start({ FORGE: '1' })
  })
  afterAll(async () => { await stage?.close() })

  const windows = (): Promise<string[]> => desktop.electron.evaluate(({ BrowserWindow }) => BrowserWindow.getAllWindows().map((one) => one.webContents.getURL()).sort())
  const OURS = ['app://holdfast/', 'app://holdfast/engine.html']

  it('has no Node, no Electron, and in windows no bridge', async () => {
    for (const page of [desktop.page, await desktop.engine()]) {
      expect(await page.evaluate(() => ['require', 'process', 'module', 'Buffer', 'global', 'electron', 'ipcRenderer', '__dirname'].filter((name) => name in window))).toEqual([])
      expect(await page.evaluate(`import('node:fs').then(() => 'loaded', () => 'refused')`)).toBe('refused')
    }
    expect(await desktop.page.evaluate(() => 'holdfastEngine' in window)).toBe(false)
  })

  it('cannot open windows; main opens those of the app, as safe as any', async () => {
    for (const url of ['https://example.invalid/', 'file:///etc/passwd', 'data:text/html,hello', 'javascript:alert(1)', 'app://other/', 'app://holdfast.evil/', 'about:blank'])
      expect(await desktop.page.evaluate((to) => window.open(to, '_blank', 'nodeIntegration=yes,sandbox=no') === null, url)).toBe(true)
    await pause(300)
    expect(await windows()).toEqual(OURS)
    const opened = desktop.electron.waitForEvent('window')
    expect(await desktop.page.evaluate(() => window.open('/index.html', '_blank', 'nodeIntegration=yes,contextIsolation=no') === null)).toBe(true)
    const page = await opened
    await page.waitForFunction(() => 'queue' in window)
    expect(await page.evaluate(() => ['require', 'process', 'holdfastEngine'].filter((name) => name in window))).toEqual([])
    await page.close()
    await until(async () => (await windows()).length === 2)
  })

  it('cannot leave its origin', async () => {
    for (const url of ['file:///etc/passwd', 'https://example.invalid/', 'app://other/', 'data:text/html,hello']) {
      await desktop.page.evaluate((to) => { location.href = to }, url).catch(() => {})
      await pause(200)
      expect(await windows()).toEqual(OURS)
    }
    expect(await desktop.page.evaluate(() => 'queue' in window)).toBe(true)
    // The engine page, too, goes on as if it had not tried.
    const engine = await desktop.engine()
    await engine.evaluate(() => { location.href = 'https://example.invalid/' }).catch(() => {})
    await pause(200)
    expect(await inMainOf(desktop)(async (queue) => (await queue.stats()).counts.dead)).toBe(0)
  })

  it('cannot embed, load or ask what is not the app’s', async () => {
    const refused = await desktop.page.evaluate(async () => {
      const violated: string[] = []
      document.addEventListener('securitypolicyviolation', ({ effectiveDirective }) => violated.push(effectiveDirective))
      const frame = document.createElement('iframe')
      frame.src = 'https://example.invalid/'
      const script = document.createElement('script')
      script.textContent = 'window.injected = true'
      const remote = document.createElement('script')
      remote.src = 'https://example.invalid/evil.js'
      const view = document.createElement('webview')
      view.setAttribute('src', 'https://example.invalid/')
      document.body.append(frame, script, remote, view)
      const asked = await fetch('https://example.invalid/').then(() => 'answered', () => 'refused')
      setTimeout('window.evaluated = true' as unknown as () => void)
      await new Promise((resolve) => { setTimeout(resolve, 300) })
      return { violated: [...new Set(violated)].sort(), asked, ran: ['injected', 'evaluated'].filter((name) => name in window), view: 'getWebContentsId' in view }
    })
    expect(refused).toEqual({ violated: ['connect-src', 'frame-src', 'script-src', 'script-src-elem'], asked: 'refused', ran: [], view: false })
  })

  it('gets no permission', async () => {
    const said = await desktop.page.evaluate(async () => ({
      notification: await Notification.requestPermission(),
      place: await new Promise((resolve) => { navigator.geolocation.getCurrentPosition(() => { resolve('told') }, ({ code }) => { resolve(code) }) }),
      camera: await navigator.mediaDevices.getUserMedia({ video: true }).then(() => 'given', ({ name }: Error) => name),
      clipboard: await navigator.clipboard.readText().then(() => 'read', ({ name }: Error) => name),
    }))
    expect(said).toEqual({ notification: 'denied', place: 1, camera: expect.stringMatching(/NotAllowed|NotFound/), clipboard: 'NotAllowedError' })
  })

  it('reads no files but the app’s', async () => {
    symlinkSync('/etc/passwd', join(stage.folder, 'pages/link'))
    symlinkSync('/etc', join(stage.folder, 'pages/etc'))
    const read = await desktop.page.evaluate(() => Promise.all(['/../../../../etc/passwd', '/%2e%2e/%2e%2e/%2e%2e/etc/passwd', '/..%2f..%2f..%2fetc%2fpasswd', '/..%5c..%5cetc', '/%00', '/%', '//etc/passwd', '/C:/Windows/win.ini', '/link', '/etc/passwd']
      .map(async (path) => { const answer = await fetch(`app://holdfast${path}`); return [answer.status, (await answer.text()).slice(0, 20)] })))
    expect(read).toEqual(read.map(() => [404, 'not found']))
    expect(await desktop.page.evaluate(() => fetch('app://other/index.html').then(({ status }) => status, () => 'refused'))).toBe('refused')
  })

  it('gets no port for the asking: not from another frame, origin or window, nor twice', async () => {
    expect(await desktop.electron.evaluate(() => (globalThis as unknown as { readonly forged: unknown[] }).forged)).toEqual([])
    // A window whose own preload lets everything through, at the right origin.
    const preload = join(stage.folder, 'leaky.cjs')
    writeFileSync(preload, `const { contextBridge, ipcRenderer } = require('electron')
      let got = 0
      ipcRenderer.on('holdfast:port', () => { got++ })
      contextBridge.exposeInMainWorld('leaky', { send: (...args) => ipcRenderer.send(...args), got: () => got })`)
    const opened = desktop.electron.waitForEvent('window')
    await desktop.electron.evaluate(({ BrowserWindow }, [file]) => { void new BrowserWindow({ show: false, webPreferences: { preload: file, sandbox: true } }).loadURL('app://holdfast/') }, [preload] as const)
    const leaky = await opened
    await leaky.waitForFunction(() => 'queue' in window)
    expect(await leaky.evaluate(async () => {
      const { leaky: bridge } = window as unknown as { leaky: { send(...args: unknown[]): void; got(): number } }
      for (const name of ['test', '', '__proto__']) bridge.send('holdfast:connect', name)
      await new Promise((resolve) => { setTimeout(resolve, 300) })
      return bridge.got()
    })).toBe(0)
    await leaky.close()
    expect(await (await desktop.engine()).evaluate(async () => {
      let got = 0
      addEventListener('message', () => { got++ })
      const { holdfastEngine } = window as unknown as { holdfastEngine: { connect(name: unknown): void } }
      for (const name of ['test', { toString: () => 'test' }]) try { holdfastEngine.connect(name) } catch { got += 0 }
      await new Promise((resolve) => { setTimeout(resolve, 300) })
      return got
    })).toBe(0)
  })

  it('changes nothing through the bridge: no prototype, no function of another realm', async () => {
    const engine = await desktop.engine()
    expect(await engine.evaluate(() => {
      const { holdfastEngine: bridge } = window as unknown as { holdfastEngine: Record<string, unknown> & { connect: { constructor: (code: string) => () => unknown } } }
      const tried = (work: () => unknown): unknown => { try { return work() } catch { return 'refused' } }
      return {
        keys: Object.keys(bridge),
        realm: tried(() => bridge.connect.constructor('return typeof process + typeof require')()),
        frozen: Object.isFrozen(bridge) && Object.isFrozen(Object.getPrototypeOf(bridge.connect)) === Object.isFrozen(Function.prototype),
        deleted: tried(() => Reflect.deleteProperty(window, 'holdfastEngine')),
      }
    })).toEqual({ keys: ['connect'], realm: 'undefinedundefined', frozen: true, deleted: false })

    // It speaks for the page on the port that it has.
    await engine.evaluate(() => {
      const { postMessage } = MessagePort.prototype
      MessagePort.prototype.postMessage = function (this: MessagePort, message: { t?: string }, ...more: []) {
        if (message?.t === 'reply') {
          const hostile: unknown[] = [null, 1, {}, { t: '__proto__' }, { t: 'reply' }, { t: 'reply', id: '__proto__', reply: { value: { polluted: true } } }, { t: 'events', events: null },
            { t: 'events', events: [{ type: '__proto__', polluted: true }, null] }, { t: 'stuck', id: 'constructor' }, JSON.parse('{"t":"reply","id":4242,"reply":{"value":{"__proto__":{"polluted":true}}},"__proto__":{"polluted":true}}')]
          for (const one of hostile) postMessage.call(this, one)
        }
        postMessage.call(this, message, ...more)
      }
    })
    expect(await inMainOf(desktop)(async (queue) => {
      const counts = await queue.stats()
      return { works: counts.counts.dead, polluted: 'polluted' in {}, array: 'polluted' in [], listed: typeof (await queue.list()).jobs }
    })).toEqual({ works: 0, polluted: false, array: false, listed: 'object' })
    expect(await desktop.page.evaluate(async () => (await (window as unknown as PageGlobals).queue.stats()).counts.dead)).toBe(0)
  })
})
