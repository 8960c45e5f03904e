/** The app's life: closed windows, a second start, Quit, networks that go and come. */
import { execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { APP, buildLibrary, executable, inMainOf, openStage, pause, present, skipped, until, type Desktop, type InMain, type PageGlobals, type Stage } from './stage.ts'

skipped()

describe.skipIf(!present)('the app', () => {
  let stage: Stage
  let desktop: Desktop
  let inMain: InMain
  async function start(): Promise<void> {
    desktop = await stage.start()
    inMain = inMainOf(desktop)
  }
  beforeAll(() => { buildLibrary() })
  beforeEach(async () => {
    stage = await openStage()
    await start()
  })
  afterEach(async () => { await stage?.close() })

  const windowCount = (): Promise<number> => desktop.electron.evaluate(({ BrowserWindow }) => BrowserWindow.getAllWindows().length)

  it('goes on with all windows closed, and shows what was done when one is opened again', async () => {
    const ids = await desktop.page.evaluate((url) => {
      const { queue } = window as unknown as PageGlobals
      return Promise.all(Array.from({ length: 20 }, (_, i) => i % 4 === 3 ? queue.fetch(url, { method: 'POST', body: 'request' }) : queue.push(i % 4 === 1 ? 'node' : 'page', 'work', { ms: 200 })))
    }, stage.notes.url)
    await desktop.electron.evaluate(({ BrowserWindow }) => {
      for (const one of BrowserWindow.getAllWindows()) if (!one.webContents.getURL().endsWith('/engine.html')) one.close()
    })
    await until(async () => await windowCount() === 1)
    expect(await desktop.electron.evaluate(({ BrowserWindow }) => BrowserWindow.getAllWindows().map((one) => [one.isVisible(), one.webContents.getURL()]))).toEqual([[false, 'app://holdfast/engine.html']])
    expect(await inMain(async (queue) => (await queue.stats()).counts.completed)).toBeLessThan(20)
    await inMain((queue, all: readonly string[]) => Promise.all(all.map((id) => queue.waitFor(id))), ids)
    const page = await desktop.open()
    expect(await page.evaluate(async () => {
      const { jobs } = await (window as unknown as PageGlobals).queue.list({ state: 'completed' })
      return jobs.map(({ id }) => id).sort()
    })).toEqual([...ids].sort())
  })

  it('started a second time shows its first window, and starts nothing', async () => {
    const second = spawn(executable, ['--no-sandbox', APP, `--user-data-dir=${join(stage.folder, 'data')}`], { env: { ...process.env, ...stage.env }, stdio: 'ignore' })
    const before = await desktop.electron.evaluate(({ BrowserWindow }) => BrowserWindow.getAllWindows().map((one) => [one.id, one.isVisible()]))
    expect(before).toContainEqual([expect.any(Number), false])
    expect(await once(second, 'exit')).toEqual([0, null])
    await until(() => desktop.electron.evaluate(({ BrowserWindow }) => BrowserWindow.getAllWindows().some((one) => one.isVisible() && one.isFocused())))
    expect(await windowCount()).toBe(2)
  })

  it('quits in the middle of jobs: they go back at no cost, and are done after the next start', async () => {
    const ids = await inMain(async (queue) => {
      const running = async (count: number): Promise<void> => { while ((await queue.stats()).counts.active < count) await new Promise((resolve) => { setTimeout(resolve, 20) }) }
      const node = [await queue.push('node', 'work', { ms: 3000 }), await queue.push('node', 'stubborn', { ms: 3000 })]
      await running(2)
      const made = [...node, await queue.push('page', 'work', { ms: 4500 }), await queue.push('node', 'work', { ms: 20 }), await queue.push('page', 'work', { ms: 1200 })]
      await running(4)
      await new Promise((resolve) => { setTimeout(resolve, 300) })
      return made
    })
    const begun = performance.now()
    const gone = once(desktop.electron.process(), 'exit')
    desktop.electron.evaluate(({ app }) => { app.quit() }).catch(() => {})
    expect(await gone).toEqual([0, null])
    const tookMs = Math.round(performance.now() - begun)
    expect(tookMs).toBeLessThan(5000)
    expect(stage.journal().filter(([what]) => what === 'end')).toEqual([])

    await start()
    const jobs = await inMain((queue, all: readonly string[]) => Promise.all(all.map(async (id) => {
      await queue.waitFor(id)
      return queue.get(id)
    })), ids)
    expect(jobs.map((job) => [job?.state, job?.failures])).toEqual(ids.map(() => ['completed', 0]))
    expect(stage.journal().filter(([what]) => what === 'overlap')).toEqual([])
    // Node's were given back, the page's that takes too long was cut off, and the other one had the time to end.
    expect(jobs.map((job) => job?.stalls)).toEqual([0, 0, 1, 0, 0])
    expect(stage.notes.lines.filter(([what, id]) => what === 'start' && id === ids[4])).toHaveLength(1)
    console.info(`quit within ${tookMs} ms`)
  })

  it('goes on when a quit is refused, by the app or by a window; and comes up again when it is started while it quits', async () => {
    const quit = (): Promise<void> => desktop.electron.evaluate(({ app }) => { app.quit() })
    const long = await inMain((queue) => queue.push('node', 'work', { ms: 5000 }))
    await until(() => stage.journal().length === 1)
    const works = (): Promise<unknown> => inMain(async (queue, id: string) => [await queue.waitFor(await queue.push('page', 'work', {})), (await queue.get(id))?.state], long)

    await desktop.electron.evaluate(({ app }) => { app.once('before-quit', (event) => { event.preventDefault() }) })
    await quit()
    expect(await works()).toEqual(['done', 'active'])

    await desktop.page.evaluate(() => { addEventListener('beforeunload', (event) => { if (!('sure' in window)) event.preventDefault() }) })
    await desktop.page.click('body', { force: true, position: { x: 1, y: 1 } })
    await quit()
    await pause(300)
    expect(await works()).toEqual(['done', 'active'])
    expect(await desktop.page.evaluate(async () => {
      const { queue } = window as unknown as PageGlobals
      return queue.waitFor(await queue.push('page', 'work', {}))
    })).toBe('done')
    expect(await windowCount()).toBe(2)

    // At the last moment, when all was drained.
    await desktop.page.evaluate(() => { Object.assign(window, { sure: true }) })
    await desktop.electron.evaluate(({ app }) => {
      app.once('before-quit', () => {
        app.once('before-quit', (event) => {
          event.preventDefault()
          setImmediate(() => { Object.assign(globalThis, { refused: true }) })
        })
      })
    })
    await quit()
    await until(() => desktop.electron.evaluate(() => 'refused' in globalThis))
    expect(await inMain(async (queue, id: string) => [await queue.waitFor(await queue.push('node', 'work', {})), await queue.waitFor(id), (await queue.get(id))?.failures], long)).toEqual([expect.any(Number), expect.any(Number), 0])

    await inMain(async (queue) => {
      const id = await queue.push('page', 'work', { ms: 60_000 })
      while ((await queue.get(id))?.state !== 'active') await new Promise((resolve) => { setTimeout(resolve, 20) })
    })
    await desktop.electron.evaluate(async ({ app }, file) => {
      const { writeFileSync } = process.getBuiltinModule('node:fs')
      app.relaunch = () => { writeFileSync(file, 'again') }
    }, join(stage.folder, 'relaunched'))
    const gone = once(desktop.electron.process(), 'exit')
    await quit()
    await pause(500)
    spawn(executable, ['--no-sandbox', APP, `--user-data-dir=${join(stage.folder, 'data')}`], { env: { ...process.env, ...stage.env }, stdio: 'ignore' })
    expect(await gone).toEqual([0, null])
    expect(existsSync(join(stage.folder, 'relaunched'))).toBe(true)
  })

  it('does not begin what a process of Node from before a kill still runs', async () => {
    const id = await inMain(async (queue) => {
      const made = await queue.push('node', 'busy', { ms: 4000 })
      while ((await queue.get(made))?.state !== 'active') await new Promise((resolve) => { setTimeout(resolve, 20) })
      return made
    })
    await until(() => stage.journal().some(([what]) => what === 'start'))
    const [, , node] = stage.journal()[0]!
    // Held, so that it cannot notice that its app is gone.
    process.kill(node, 'SIGSTOP')
    await desktop.stop()
    await start()
    await pause(2000)
    expect(stage.journal().filter(([what]) => what === 'start')).toHaveLength(1)
    process.kill(node, 'SIGKILL')
    await inMain((queue, job: string) => queue.waitFor(job), id)
    expect(stage.journal().map(([what]) => what)).toEqual(['start', 'start', 'end'])
  })

  it('ends a handler that heeds nothing when its engine page is gone, and only then begins anew', async () => {
    const id = await inMain((queue) => queue.push('node', 'busy', { ms: 30_000 }))
    const starts = (): Array<readonly [string, string, number, number]> => stage.journal().filter(([what]) => what === 'start')
    await until(() => starts().length === 1)
    process.kill(await desktop.renderer('engine'), 'SIGKILL')
    await until(() => starts().length === 2, 15_000)
    const [first = 0, second] = starts().map(([, , pid]) => pid)
    expect(second).not.toBe(first)
    expect(() => process.kill(first, 0)).toThrow('ESRCH')
    expect(await inMain(async (queue, job: string) => (await queue.get(job))?.stalls, id)).toBe(1)
  })

  it('waits without a network, and sends when it is back', async () => {
    const emulate = (offline: boolean): Promise<void> => desktop.electron.evaluate(({ session }, off) => { if (off) session.defaultSession.enableNetworkEmulation({ offline: true }); else session.defaultSession.disableNetworkEmulation() }, offline)
    const push = (): Promise<string[]> => desktop.page.evaluate((url) => Promise.all(Array.from({ length: 5 }, () => (window as unknown as PageGlobals).queue.fetch(url, { method: 'POST', body: 'request' }))), stage.notes.url)
    const done = (ids: readonly string[]): Promise<unknown> => inMain((queue, all: readonly string[]) => Promise.all(all.map(async (id) => { await queue.waitFor(id); return (await queue.get(id))?.failures })), ids)
    const sent = (): number => stage.notes.lines.filter(([what]) => what === 'request').length

    await emulate(true)
    // It is told to another process, which requests reach by another way.
    await pause(300)
    const first = await push()
    await pause(1500)
    expect(sent()).toBe(0)
    await emulate(false)
    expect(await done(first)).toEqual([0, 0, 0, 0, 0])

    // The device itself loses its network: main tells the engine page.
    const link = (state: 'up' | 'down'): void => { execFileSync('ip', ['link', 'set', 'hold0', state]) }
    try { link('down') } catch { console.warn('SKIPPED: this machine’s network cannot be cut off'); return }
    await until(() => inMain(async (queue) => !(await queue.stats()).online))
    const second = await push()
    await pause(500)
    expect(sent()).toBe(5)
    link('up')
    const begun = performance.now()
    expect(await done(second)).toEqual([0, 0, 0, 0, 0])
    console.info(`sent ${Math.round(performance.now() - begun)} ms after the network came back`)
  })

  it('tells of jobs that die, and counts what there is', async () => {
    expect(await inMain(async (queue) => {
      const seen: number[] = []
      const off = queue.watch((stats) => { seen.push(stats.counts.dead) })
      const dead = new Promise((resolve) => { queue.on('dead', (event) => { resolve([event.queue, event.error?.message]) }) })
      await queue.push('node', 'dies', {}, { maxAttempts: 1 })
      const told = await dead
      while (seen.at(-1) !== 1) await new Promise((resolve) => { setTimeout(resolve, 50) })
      off()
      return told
    })).toEqual(['node', expect.stringContaining('exit code 7')])
  })
})
