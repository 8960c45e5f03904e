import { afterEach, expect, test } from 'vitest'
import { captureWorkers, closeAll, freshName, openTab, until } from './tabs.ts'

afterEach(closeAll)

test('a job pushed in one tab is run by the handler of another, and awaited from the first', async () => {
  const name = freshName()
  const [one, two] = [await openTab(1, name), await openTab(2, name)]
  await two.process('q', (job) => `done ${String(job.data)}`)
  const id = await one.push('q', 'n', 'x')
  expect(await one.waitFor(id, { timeoutMs: 5000 })).toBe('done x')
})

test('no job runs twice over two tabs, and concurrency holds over both', async () => {
  const name = freshName()
  const tabs = [await openTab(1, name), await openTab(2, name)]
  const runs = new Map<unknown, number>()
  let [running, most] = [0, 0]
  await tabs[0]!.pause('q')
  await tabs[0]!.pushMany('q', Array.from({ length: 200 }, (_, i) => ({ name: 'n', data: i })))
  const processors = await Promise.all(tabs.map((tab) => tab.process('q', async (job) => {
    runs.set(job.data, (runs.get(job.data) ?? 0) + 1)
    most = Math.max(most, ++running)
    await new Promise((resolve) => { setTimeout(resolve, 3) })
    running--
  }, { concurrency: 4 })))
  await tabs[1]!.resume('q')
  await until(async () => (await tabs[0]!.stats('q')).counts.completed === 200, 20_000)
  for (const processor of processors) await processor.stop()
  expect([...runs.values()].every((count) => count === 1)).toBe(true)
  expect(runs.size).toBe(200)
  expect(most).toBeLessThanOrEqual(4)
})

test('a tab with other handlers gets its turn, however busy the first is', async () => {
  const name = freshName()
  const [one, two] = [await openTab(1, name), await openTab(2, name)]
  let done = 0
  await one.process('q', { newsletter: async () => { await new Promise((resolve) => { setTimeout(resolve, 2) }); done++ } })
  await two.process('q', { welcome: () => done })
  await one.pushMany('q', Array.from({ length: 1000 }, () => ({ name: 'newsletter', data: 0 })))
  expect(await two.waitFor(await two.push('q', 'welcome', 0))).toBeLessThan(500)
})

test('every tab hears events', async () => {
  const name = freshName()
  const [one, two] = [await openTab(1, name), await openTab(2, name)]
  const heard: string[] = []
  one.on('*', (event) => { heard.push(event.type) })
  await until(async () => { await two.push('early', 'n', 0); return heard.length > 0 })
  await new Promise((resolve) => { setTimeout(resolve, 200) })
  heard.length = 0
  await two.push('q', 'n', 1)
  const [job] = await two.pull('q')
  await two.ack(job!)
  await until(() => heard.includes('completed'))
  expect(heard).toEqual(['pushed', 'active', 'completed'])
})

test('a killed worker is replaced: 100 pending calls all settle, none is applied twice', async () => {
  const captured = captureWorkers()
  const queue = await openTab(1, freshName())
  captured.restore()
  for (const delay of [0, 1, 3, 10]) {
    const before = (await queue.stats('q')).counts.waiting
    const pushes = Array.from({ length: 100 }, (_, i) => queue.push('q', 'n', i))
    await new Promise((resolve) => { setTimeout(resolve, delay) })
    captured.workers.at(-1)!.terminate()
    const again = captureWorkers()
    const ids = await Promise.all(pushes)
    again.restore()
    captured.workers.push(...again.workers)
    expect(new Set(ids).size).toBe(100)
    expect((await queue.stats('q')).counts.waiting).toBe(before + 100)
  }
})

test('a worker killed in the middle of a page handler: the handler goes on, and its job is not started elsewhere', async () => {
  const captured = captureWorkers()
  const name = freshName()
  const one = await openTab(1, name)
  captured.restore()
  const two = await openTab(2, name)
  const starts: string[] = []
  let finish = (): void => {}
  const gate = new Promise<void>((resolve) => { finish = resolve })
  await one.process('q', async () => { starts.push('one'); await gate; return 'by one' }, { concurrency: 5 })
  const id = await one.push('q', 'n', 0)
  await until(() => starts.length === 1)
  await two.process('q', () => { starts.push('two'); return 'by two' }, { concurrency: 5 })
  captured.workers[0]!.terminate()
  await new Promise((resolve) => { setTimeout(resolve, 1500) })
  expect(starts).toEqual(['one'])
  finish()
  expect(await two.waitFor(id, { timeoutMs: 5000 })).toBe('by one')
  expect(starts).toEqual(['one'])
})

test('the jobs of a closed tab go to another at once', async () => {
  const name = freshName()
  const frame = document.createElement('iframe')
  document.body.append(frame)
  await one(frame, name)
  const two = await openTab(2, name)
  expect((await two.stats('q')).counts.active).toBe(1)
  const started = new Promise<number>((resolve) => { void two.process('q', () => { resolve(performance.now()) }) })
  await new Promise((resolve) => { setTimeout(resolve, 300) })
  const closed = performance.now()
  frame.remove()
  expect(await started - closed).toBeLessThan(5000)

  /** A tab that never ends its job: an iframe, which dies with its worker and its locks. */
  async function one(tab: HTMLIFrameElement, database: string): Promise<void> {
    const script = tab.contentDocument!.createElement('script')
    script.type = 'module'
    // The test runner wraps dynamic imports by a global of its page, which a frame has not.
    Object.assign(tab.contentWindow!, { __vitest_browser_runner__: { wrapDynamicImport: (load: () => unknown) => load() } })
    script.textContent = `
      import { openQueue } from '/src/index.ts'
      const queue = await openQueue(${JSON.stringify(database)})
      await queue.process('q', () => new Promise(() => {}))
      await queue.push('q', 'n', 0)
      queue.on('active', () => { parent.postMessage('started') })
      parent.postMessage('pushed')`
    const pushed = new Promise((resolve) => { addEventListener('message', resolve, { once: true }) })
    tab.contentDocument!.body.append(script)
    await pushed
    await new Promise((resolve) => { setTimeout(resolve, 200) })
  }
})

test('a tab that does not claim pushes and waits, but runs nothing and sends nothing', async () => {
  const name = freshName()
  const idle = await openTab(1, name, { claims: false })
  await expect(idle.process('q', () => 1)).rejects.toMatchObject({ code: 'VALIDATION', details: { field: 'options.claims' } })
  await expect(idle.pull('q')).rejects.toMatchObject({ code: 'VALIDATION', details: { field: 'options.claims' } })
  const [job, request] = [await idle.push('q', 'n', 'x'), await idle.fetch(location.href, { method: 'HEAD' })]
  await new Promise((resolve) => { setTimeout(resolve, 700) })
  expect((await idle.stats()).counts).toMatchObject({ waiting: 2, active: 0, completed: 0 })
  const busy = await openTab(2, name)
  await busy.process('q', () => 'done')
  expect(await idle.waitFor(job, { timeoutMs: 5000 })).toBe('done')
  expect(await idle.waitFor(request, { timeoutMs: 5000 })).toMatchObject({ status: 200 })
})
