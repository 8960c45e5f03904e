/** The handle in main when its engine page dies (test/electron plays the rest). */
import { getEventListeners } from 'node:events'
import { expect, it, onTestFinished, vi } from 'vitest'
import { remote } from '../../src/electron/remote.ts'

const port = (): Parameters<ReturnType<typeof remote>['connect']>[0] & { readonly postMessage: ReturnType<typeof vi.fn> } => ({ postMessage: vi.fn() }) as never

it('a call that the dead engine page had not answered waits 30 s for another one, and no longer', async () => {
  vi.useFakeTimers()
  onTestFinished(() => { vi.useRealTimers() })
  const far = remote('test')
  far.connect(port())
  const seen: string[] = []
  for (const method of ['stats', 'queues'] as const) far.queue[method]().then(() => seen.push(`${method} done`), (error: { code: string }) => seen.push(`${method} ${error.code}`))
  await vi.advanceTimersByTimeAsync(60_000)
  expect(seen).toEqual([])

  far.lost()
  await vi.advanceTimersByTimeAsync(29_000)
  const next = port()
  far.connect(next)
  await vi.advanceTimersByTimeAsync(60_000)
  expect(seen).toEqual([])
  const [{ id }] = next.postMessage.mock.calls.map(([message]) => message).filter(({ method }) => method === 'stats') as [{ id: number }]
  far.hear({ t: 'reply', id, reply: { value: {} } })
  far.lost()
  await vi.advanceTimersByTimeAsync(30_001)
  expect(seen).toEqual(['stats done', 'queues WORKER_DIED'])
})

it('a call that was answered listens to its signal no more', async () => {
  const far = remote('test')
  const there = port()
  far.connect(there)
  const { signal } = new AbortController()
  const waited = far.queue.waitFor('a', { signal })
  expect(getEventListeners(signal, 'abort')).toHaveLength(1)
  far.hear({ t: 'reply', id: (there.postMessage.mock.calls.at(-1) as [{ id: number }])[0].id, reply: { value: 'done' } })
  expect(await waited).toBe('done')
  expect(getEventListeners(signal, 'abort')).toHaveLength(0)
})
