import 'fake-indexeddb/auto'
import { expect, it } from 'vitest'
import { reserveOf } from '../../src/store/reserve.ts'
import { freshName } from './support/database.ts'

const names = async (): Promise<Array<string | undefined>> => (await indexedDB.databases()).map(({ name }) => name)
const never = (): (() => void) => () => {}

it('is a database of its own while it is laid by', async () => {
  const name = freshName()
  const reserve = reserveOf(indexedDB, name, { after: never, random: Math.random })
  await reserve.lay()
  await reserve.lay()
  expect(await names()).toContain(`holdfast-reserve:${name}`)
  await reserve.free()
  await reserve.free()
  expect(await names()).not.toContain(`holdfast-reserve:${name}`)
})

it('keeps nobody waiting for a browser that does not answer, and closes what is opened late', async () => {
  const [opening, deleting] = [{}, {}] as [IDBOpenDBRequest, IDBOpenDBRequest]
  const silent = { open: () => opening, deleteDatabase: () => deleting } as unknown as IDBFactory
  const reserve = reserveOf(silent, 'q', { after: (_ms, call) => { queueMicrotask(call); return () => {} }, random: Math.random })
  await expect(reserve.lay()).rejects.toMatchObject({ name: 'TimeoutError', message: 'laying the reserve by took more than 10000 ms' })
  await expect(reserve.free()).rejects.toMatchObject({ name: 'TimeoutError' })
  let closed = 0
  Object.assign(opening, { result: { close() { closed++ } } }).onsuccess?.(new Event('success'))
  await expect.poll(() => closed).toBe(1)
})
