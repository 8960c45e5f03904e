/** Large data is written once, and not again when its job moves. */
import { afterEach, expect, onTestFinished, test } from 'vitest'
import { closeAll, freshName, openTab } from './tabs.ts'

afterEach(closeAll)

/** Each row that is written from now on in this realm: its room, and how many bytes of Blobs and buffers are in it. */
function watchWrites(): Array<{ readonly room: string; readonly binary: number }> {
  const writes: Array<{ readonly room: string; readonly binary: number }> = []
  const binaryOf = (value: unknown): number => value instanceof Blob ? value.size : value instanceof ArrayBuffer ? value.byteLength : ArrayBuffer.isView(value) ? value.buffer.byteLength
    : typeof value === 'object' && value !== null ? Object.values(value).reduce<number>((sum, part) => sum + binaryOf(part), 0) : 0
  for (const method of ['put', 'add'] as const) {
    const real = IDBObjectStore.prototype[method]
    IDBObjectStore.prototype[method] = function (this: IDBObjectStore, value: unknown, ...key) {
      writes.push({ room: this.name, binary: binaryOf(value) })
      return real.call(this, value, ...key)
    }
    onTestFinished(() => { IDBObjectStore.prototype[method] = real })
  }
  return writes
}

const SIZE = 50 * 1_048_576
const bytes = new Uint8Array(SIZE).map((_, i) => i)

test.for(['a Blob', 'a buffer'])('50 MB as %s: pushed, claimed, failed, retried and completed with one write of it', async (kind) => {
  const queue = await openTab(0, freshName(), { worker: false })
  const writes = watchWrites()
  const id = await queue.push('files', 'upload', { name: 'film', content: kind === 'a Blob' ? new Blob([bytes]) : bytes }, { maxAttempts: 1 })
  await queue.pull('files')
  await queue.progress(id, 50)
  await queue.fail(id, new Error('no'))
  await queue.retry(id)
  const [job] = await queue.pull('files')
  const { content } = job!.data as { content: Blob | Uint8Array }
  expect(content instanceof Blob ? content.size : content.byteLength).toBe(SIZE)
  await queue.ack(id)
  expect(await queue.get(id)).toMatchObject({ state: 'completed', large: true })
  expect(writes.length).toBeGreaterThan(10)
  expect(writes.filter(({ binary }) => binary > 0)).toEqual([{ room: 'payloads', binary: SIZE }])
  expect(writes.filter(({ room }) => room === 'payloads')).toHaveLength(1)
})

test('so is a request with a file of 50 MB that is refused, retried and edited: each edit is one more', async () => {
  const queue = await openTab(0, freshName(), { worker: false })
  await queue.pause('http.upload')
  const writes = watchWrites()
  const id = await queue.fetch('/nowhere', { body: bytes })
  await queue.cancel(id)
  await queue.retry(id)
  await queue.cancel(id)
  expect(writes.filter(({ binary }) => binary > 0)).toEqual([{ room: 'payloads', binary: SIZE }])
  await queue.retry(id, { data: new Blob(['smaller']) })
  expect(writes.filter(({ room }) => room === 'payloads').map(({ binary }) => binary)).toEqual([SIZE, 7])
  const { data } = (await queue.get(id))!
  expect(await (data as Blob).text()).toBe('smaller')
})
