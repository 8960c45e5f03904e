/** What a page wished for holds when its worker is replaced, whatever was on its way. */
import { createQueue } from 'holdfast'
import { afterEach, expect, test } from 'vitest'
import { captureWorkers, closeAll, freshName, openTab, until } from './tabs.ts'

afterEach(closeAll)

const pause = (ms: number): Promise<void> => new Promise((resolve) => { setTimeout(resolve, ms) })

async function opened(): Promise<{ readonly queue: Awaited<ReturnType<typeof openTab>>; kill(): void }> {
  const captured = captureWorkers()
  const queue = await openTab(1, freshName())
  return { queue, kill() { captured.workers.at(-1)!.terminate(); captured.restore() } }
}

test('process as the very first call resolves', async () => {
  const queue = createQueue(freshName())
  const processor = await queue.process('q', () => 'done')
  expect(await queue.waitFor(await queue.push('q', 'n', 0), { timeoutMs: 5000 })).toBe('done')
  await processor.stop()
  await queue.close()
})

test('process resolves though the worker dies meanwhile', async () => {
  const { queue, kill } = await opened()
  const processor = queue.process('q', () => 'done')
  await pause(0)
  kill()
  await processor
  expect(await queue.waitFor(await queue.push('q', 'n', 0), { timeoutMs: 5000 })).toBe('done')
})

test('a worker that dies while it starts is replaced too', async () => {
  const captured = captureWorkers()
  const queue = await openTab(1, freshName())
  captured.workers.at(-1)!.terminate()
  await until(() => captured.workers.length === 2)
  captured.workers.at(-1)!.terminate()
  captured.restore()
  const began = performance.now()
  const ids = await Promise.all(Array.from({ length: 20 }, (_, n) => queue.push('q', 'n', n)))
  expect(new Set(ids).size).toBe(20)
  expect(performance.now() - began).toBeLessThan(6000)
  expect((await queue.stats()).counts.waiting).toBe(20)
})

test('a page whose worker cannot be replaced tries again by itself, and says so', async () => {
  const name = freshName()
  let refuse = 0
  let worker: Worker | undefined
  const queue = await openTab(1, name, { worker() {
    if (refuse-- > 0) throw new Error('not now')
    return worker = new Worker(new URL('./serving-worker.ts', import.meta.url), { type: 'module' })
  } })
  const told: string[] = []
  for (const type of ['degraded', 'recovered'] as const) queue.on(type, () => { told.push(type) })
  await queue.process('p', () => 'done')
  // One start tries three times.
  refuse = 4
  worker!.terminate()
  await until(() => told.length > 0)
  const other = await openTab(2, name)
  expect(await other.waitFor(await other.push('p', 'n', 0), { timeoutMs: 8000 })).toBe('done')
  expect(told).toEqual(['degraded', 'recovered'])
})

test('a paused processor stays paused', async () => {
  const { queue, kill } = await opened()
  let runs = 0
  const processor = await queue.process('q', () => { runs++ })
  await processor.pause()
  kill()
  await queue.push('q', 'n', 0)
  await pause(1500)
  expect(runs).toBe(0)
  await processor.resume()
  await until(() => runs === 1)
})

test('a page that was put aside claims nothing, until it is back', async () => {
  const { queue, kill } = await opened()
  let runs = 0
  await queue.process('q', () => { runs++ })
  dispatchEvent(new Event('pagehide'))
  kill()
  await queue.push('q', 'n', 0)
  await pause(1500)
  expect(runs).toBe(0)
  dispatchEvent(new Event('pageshow'))
  await until(() => runs === 1)
})

test('stop and idle wait for what runs', async () => {
  const { queue, kill } = await opened()
  let running = 0
  const processor = await queue.process('q', async () => { running++; await pause(1500); running-- })
  await queue.push('q', 'n', 0)
  await until(() => running === 1)
  const [idle, stop] = [processor.idle(), processor.stop()]
  await pause(0)
  kill()
  await Promise.all([idle.then(() => { expect(running).toBe(0) }), stop.then(() => { expect(running).toBe(0) })])
  const id = await queue.push('q', 'n', 1)
  await pause(500)
  expect((await queue.get(id))?.state).toBe('waiting')
})

test('a queue that is closed while it opens leaves no lock behind', async () => {
  const name = freshName()
  const queue = createQueue(name)
  const push = queue.push('q', 'n', 0).catch((error: { code: string }) => error.code)
  await queue.close()
  expect(await push).toMatch(/CLOSED|^[0-9a-f-]{36}$/)
  await until(async () => (await navigator.locks.query()).held?.every((lock) => !lock.name?.startsWith(`holdfast:${name}:`)) === true, 5000)
})

test('answers that are open for long keep no other receipts', async () => {
  const { queue } = await opened()
  const stop = new AbortController()
  const never = queue.waitFor(await queue.push('q', 'n', 0), { signal: stop.signal }).catch(() => 'stopped')
  for (let n = 0; n < 50; n++) await queue.push('q', 'n', n)
  const db = await new Promise<IDBDatabase>((resolve, reject) => {
    const request = indexedDB.open(`holdfast:${queue.name}`)
    request.onsuccess = () => { resolve(request.result) }
    request.onerror = () => { reject(request.error!) }
  })
  const meta = await new Promise<{ receipt: { replies: unknown[] } }>((resolve) => {
    const request = db.transaction('meta').objectStore('meta').get('main')
    request.onsuccess = () => { resolve(request.result as never) }
  })
  db.close()
  expect(meta.receipt.replies.length).toBeLessThan(5)
  stop.abort()
  expect(await never).toBe('stopped')
})
