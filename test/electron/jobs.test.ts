/** Jobs in the desktop app: pushed in main and in windows, run in the engine page and in Node. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { buildLibrary, inMainOf, openStage, pause, present, skipped, type Desktop, type InMain, type PageGlobals, type Stage } from './stage.ts'

skipped()

describe.skipIf(!present)('jobs', () => {
  let stage: Stage
  let desktop: Desktop
  beforeAll(async () => {
    buildLibrary()
    stage = await openStage()
    desktop = await stage.start()
  })
  afterAll(async () => { await stage?.close() })

  const inMain: InMain = (work, given) => inMainOf(desktop)(work, given)

  it('run in the engine page, from the handle in main and from a window', async () => {
    expect(await inMain(async (queue) => queue.waitFor(await queue.push('page', 'any', {})))).toBe('done')
    expect(await desktop.page.evaluate(async () => {
      const { queue } = window as unknown as PageGlobals
      return queue.waitFor(await queue.push('page', 'any', {}))
    })).toBe('done')
  })

  it('run in Node, with progress, steps, logs and retries', async () => {
    const seen = await inMain(async (queue) => {
      const progress: unknown[] = []
      const off = queue.on('progress', (event) => { progress.push([event.progress, event.message]) })
      const pid = await queue.waitFor(await queue.push('node', 'work', { ms: 700 }))
      off()
      const id = await queue.push('node', 'steps', {}, { backoff: { type: 'fixed', delayMs: 10 } })
      const result = await queue.waitFor(id)
      return { pid, main: process.pid, progress, result, job: await queue.get(id) }
    })
    expect(seen.pid).not.toBe(seen.main)
    expect(seen.progress).toContainEqual([50, 'half'])
    expect(seen.result).toMatchObject({ attempt: 2, queue: 'node', node: expect.any(String) })
    expect((seen.result as { once: number }).once).toBe((seen.result as { again: number }).again)
    expect(stage.journal().filter(([what]) => what === 'step')).toHaveLength(1)
    expect(seen.job?.attempts?.[0]?.error).toMatchObject({ name: 'Error', message: 'the first attempt fails' })
    expect(seen.job?.logs?.map(({ message }) => message)).toEqual(['one step done', 'one step done'])
  })

  it('in Node get the results of those that they depend on', async () => {
    expect(await inMain(async (queue) => queue.waitFor(await queue.push('node', 'parents', {}, { dependsOn: { before: await queue.push('page', 'any', {}) } })))).toEqual({ before: 'done' })
  })

  it('in Node are stopped by cancel, and by force when they do not heed it', async () => {
    await inMain(async (queue) => {
      const id = await queue.push('node', 'work', { ms: 60_000 })
      while ((await queue.get(id))?.state !== 'active') await new Promise((resolve) => { setTimeout(resolve, 20) })
      await new Promise((resolve) => { setTimeout(resolve, 200) })
      await queue.cancel(id)
      await queue.waitFor(id).catch(() => {})
    })
    expect(stage.journal().filter(([what]) => what === 'stopped')).toHaveLength(1)
    const states = await inMain(async (queue) => {
      const id = await queue.push('node', 'busy', { ms: 3_600_000 }, { timeoutMs: 300, maxAttempts: 1 })
      const error = await queue.waitFor(id).catch((reason: { message: string }) => reason.message)
      return [error, await queue.waitFor(await queue.push('node', 'work', {}))]
    })
    expect(states).toEqual([expect.stringContaining('took more than 300 ms'), expect.any(Number)])
  })

  it('in Node may end the process, throw by name, and return what cannot be stored', async () => {
    const [dies, snoozed, unstorable] = await inMain(async (queue) => {
      const options = { backoff: { type: 'fixed', delayMs: 10 } } as const
      const one = await queue.waitFor(await queue.push('node', 'dies', {}, options))
      const id = await queue.push('node', 'snoozes', {})
      while ((await queue.get(id))?.state !== 'delayed') await new Promise((resolve) => { setTimeout(resolve, 20) })
      return [one, (await queue.get(id))?.failures, await queue.waitFor(await queue.push('node', 'unstorable', {}))]
    })
    expect(dies).toBe('alive')
    expect(snoozed).toBe(0)
    expect(unstorable).toEqual({ unstorable: expect.stringContaining('could not be cloned') })
  })

  it('in Node may throw what cannot be looked at, and in the engine page return what holds itself', async () => {
    expect(await inMain(async (queue) => {
      const pid = await queue.waitFor(await queue.push('node', 'work', {}))
      const said = await Promise.all(['bare', 'proxy', 'message'].map(async (what) => queue.waitFor(await queue.push('node', 'throws', { what }, { maxAttempts: 1 })).catch((error: { message: string }) => error.message)))
      return [said, await queue.waitFor(await queue.push('node', 'work', {})) === pid]
    })).toEqual([Array.from({ length: 3 }, () => expect.stringContaining('cannot be read')), true])
    expect(await inMain(async (queue) => {
      const id = await queue.push('page', 'cycle', {})
      const result = await queue.waitFor(id) as { self: unknown; blob: unknown }
      const [listed] = (await queue.list({ ids: [id] })).jobs.map((job) => job.result as { self: unknown })
      return [result.self === result, result.blob, listed?.self === listed, listed !== undefined]
    })).toEqual([true, { blob: { size: 4, type: '' } }, true, true])
  })

  it('are not begun by what main is told wrongly: the error names it', async () => {
    expect(await inMain((queue) => {
      const { main } = globalThis as unknown as { readonly main: (options: unknown) => unknown }
      const right = { name: 'test', host: 'holdfast', pages: '/pages' }
      const fieldOf = (call: () => unknown): unknown => { try { call(); return 'taken' } catch (error) { return (error as { details: { field?: string } }).details?.field ?? String(error) } }
      const options: unknown[] = [undefined, {}, { ...right, name: '' }, { ...right, name: 7 }, { ...right, host: 'a..b' }, { ...right, host: 'x.' }, { ...right, pages: 'pages' }, { ...right, drainMs: -1 }, { ...right, drainMs: '2' },
        { ...right, via: ['https://a.example/path'] }, { ...right, via: 'https://a.example' }, { ...right, connect: ['a.example'] }, { ...right, connect: ["https://a.example; script-src *"] }, { ...right, dev: 'localhost' }, { ...right, engine: 'engine.html' }, { ...right, page: '/x' },
        { ...right, via: ['https://a.example/', 'HTTPS://B.example'], connect: ['https://a.example/', 'wss://*.example'] }]
      const handle = queue.handle as (...given: unknown[]) => void
      return [
        ...options.map((one) => fieldOf(() => main(one))),
        fieldOf(() => queue.open('settings.html')), fieldOf(() => queue.open('//elsewhere.example/')), fieldOf(() => { handle('node', 'x.js') }), fieldOf(() => { handle('', 'x.js') }), fieldOf(() => { handle('files') }), fieldOf(() => { handle('files', new URL('https://a.example/x.js')) }), fieldOf(() => { handle('files', 'x.js', { concurrency: 0 }) }),
      ]
    })).toEqual(['options', 'options.name', 'options.name', 'options.name', 'options.host', 'options.host', 'options.pages', 'options.drainMs', 'options.drainMs',
      'options.via[0]', 'options.via', 'options.connect[0]', 'options.connect[0]', 'options.dev', 'options.engine', 'options.page', 'main',
      'path', 'path', 'queue', 'queue', 'file', 'file', 'options.concurrency'])
  })

  it('in a window are refused with a word on where they live', async () => {
    const refused = await desktop.page.evaluate(async () => {
      const { queue } = window as unknown as PageGlobals
      return Promise.all([queue.process('page', () => 1), queue.pull('page')].map((call) => call.then(() => 'taken', (error: { code: string; message: string }) => `${error.code} ${error.message}`)))
    })
    expect(refused).toEqual([expect.stringMatching(/^VALIDATION process: .*engine page/), expect.stringMatching(/^VALIDATION pull: /)])
  })

  it('requests are sent by the engine page only', async () => {
    const sent = (): number => stage.notes.lines.filter(([what]) => what === 'request').length
    const engine = await desktop.renderer('engine')
    process.kill(engine, 'SIGSTOP')
    const id = await desktop.page.evaluate((url) => (window as unknown as PageGlobals).queue.fetch(url, { method: 'POST', body: 'request 1 1' }), stage.notes.url)
    await pause(1500)
    expect(sent()).toBe(0)
    process.kill(engine, 'SIGCONT')
    expect(await inMain((queue, job: string) => queue.waitFor(job), id)).toMatchObject({ status: 200 })
    expect(sent()).toBe(1)
  })

  it('errors, events and values cross to main', async () => {
    const seen = await inMain(async (queue) => {
      const refused = await queue.push('page', 'no such name!', {}).catch((error: { code: string; name: string; details: unknown }) => [error.code, error.name])
      const notFound = await queue.cancel('00000000-0000-7000-8000-000000000000').catch((error: { code: string }) => error.code)
      const uncloneable = await queue.push('page', 'any', { call() {} }).catch((error: { code: string }) => error.code)
      const stop = new AbortController()
      const heard: string[] = []
      const [pulled] = await Promise.all([
        (async () => {
          await queue.push('by-hand', 'job', { n: 1 })
          const [job] = await queue.pull('by-hand', 1, { waitMs: 1000 })
          await queue.ack(job!, 'by main')
          return [job!.data, await queue.waitFor(job!.id)]
        })(),
        (async () => { for await (const { type } of queue.events({ queue: 'by-hand', signal: stop.signal })) { heard.push(type); if (type === 'completed') stop.abort() } })(),
      ])
      const late = await queue.waitFor(await queue.push('page', 'any', { ms: 2000 }), { signal: AbortSignal.timeout(50) }).catch((error: { name: string }) => error.name)
      return { refused, notFound, uncloneable, heard, pulled, late }
    })
    expect(seen).toEqual({ refused: ['VALIDATION', 'ValidationError'], notFound: 'NOT_FOUND', uncloneable: 'VALIDATION', heard: expect.arrayContaining(['pushed', 'completed']), pulled: [{ n: 1 }, 'by main'], late: 'TimeoutError' })
  })
})
