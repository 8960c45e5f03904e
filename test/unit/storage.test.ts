/** How the storage is told of, checked, repaired, read when it is damaged, and begun anew. */
import { openDB, type IDBPDatabase } from 'idb'
import { afterEach, describe, expect, it, onTestFinished, vi } from 'vitest'
import { createSpace } from '../../src/engine/space.ts'
import { createQueue, openQueue } from '../../src/index.ts'
import type { Queue, QueueEvent } from '../../src/queue.ts'
import { VERSION } from '../../src/store/schema.ts'
import { faults, forget, freshName, stored } from './support/database.ts'
import { after, tabs, until } from './support/tabs.ts'

afterEach(() => { vi.restoreAllMocks(); vi.unstubAllGlobals() })

const MB = 1_048_576
const BIG = 'x'.repeat(20_000)

/** A queue with a job in every room. */
async function full(name = freshName()): Promise<{ readonly name: string; readonly queue: Queue; readonly ids: readonly string[] }> {
  const queue = await openQueue(name, { worker: false })
  onTestFinished(async () => { await queue.close(); await forget(name) })
  const ids = await queue.pushMany('q', [
    ...Array.from({ length: 100 }, (_, i) => ({ name: 'n', data: i })), { name: 'other', data: BIG }, { name: 'later', data: 1, options: { delayMs: 3_600_000 } },
    ...[1, 2, 3].map((data) => ({ name: 'ordered', data, options: { group: 'g' } })),
  ])
  const jobs = await queue.pull('q', 5)
  await queue.ack(jobs[0]!, 'done')
  await queue.fail(jobs[1]!, Object.assign(new Error('no'), { name: 'Unrecoverable' }))
  return { name, queue, ids }
}

async function raw<T>(name: string, use: (db: IDBPDatabase) => Promise<T>): Promise<T> {
  const db = await openDB(`holdfast:${name}`)
  try { return await use(db) } finally { db.close() }
}

interface Page { queue: string; lane: string; rank: number; first: number; jobs: Array<{ seq: number; position: number }> }
const keyOf = (page: Page): IDBValidKey => [page.queue, page.lane, page.rank, page.first]
const first = async <T>(db: IDBPDatabase, room: string): Promise<T> => (await db.getAll(room))[0] as T

interface QueueRow { counts: { waiting: number }; lanes: Record<string, unknown> }
const changeMeta = async (db: IDBPDatabase, change: (meta: { queue?: QueueRow }) => object): Promise<unknown> => db.put('meta', change(await db.get('meta', 'main') as { queue?: QueueRow }))
const changeQueue = (db: IDBPDatabase, change: (row: QueueRow) => void): Promise<unknown> => changeMeta(db, (meta) => { change(meta.queue!); return meta })
/** As if another queue had been written since. */
const putApart = async (db: IDBPDatabase): Promise<unknown> => changeMeta(db, ({ queue, ...meta }) => { void db.put('queues', queue); return meta })

/** What can be wrong; `lost`: how many jobs cannot come back. */
const DAMAGE: Array<[string, (db: IDBPDatabase) => Promise<unknown>, { lost?: number; dead?: true }?]> = [
  ['a counter is off', (db) => changeQueue(db, (row) => { row.counts.waiting += 7 })],
  ['a counter is off, of a queue that is not the last', async (db) => { await putApart(db); const row = await db.get('queues', 'q') as QueueRow; row.counts.waiting += 7; await db.put('queues', row) }],
  ['a lane is unknown', (db) => changeQueue(db, (row) => { delete row.lanes['other'] })],
  ['the queue is unknown', (db) => changeMeta(db, ({ queue: _queue, ...meta }) => meta)],
  ['a page is lost', async (db) => db.delete('waiting', keyOf((await db.getAll('waiting') as Page[]).find(({ lane }) => lane === 'other')!)), { lost: 1 }],
  ['a page is out of order', async (db) => { const page = await first<Page>(db, 'waiting'); page.jobs.reverse(); await db.put('waiting', page, keyOf(page)) }],
  ['a job waits twice', async (db) => { const page = await first<Page>(db, 'waiting'); await db.add('waiting', { ...page, first: 5000, jobs: [{ ...page.jobs[0]!, position: 5000 }] }, [page.queue, page.lane, page.rank, 5000]) }],
  ['a job waits in two lanes', async (db) => {
    const pages = await db.getAll('waiting') as Page[]
    const [one, other] = [pages[0]!, pages.find(({ lane }) => lane === 'other')!]
    other.jobs.push({ ...one.jobs[0]!, position: 9000 })
    await db.put('waiting', other, keyOf(other))
  }],
  ['an origin waits for a request that is not out', (db) => db.put('origins', { origin: 'https://a.example', failures: 1, retryAt: 1, since: 1, allow: 1, out: 1, reason: '' })],
  ['a leased job waits too', async (db) => {
    const page = await first<Page>(db, 'waiting')
    const box = await first<{ jobs: Page['jobs'] }>(db, 'boxes')
    page.jobs.push({ ...box.jobs[3]!, position: 9000 })
    await db.put('waiting', page, keyOf(page))
  }],
  ['a lease has lost its box', async (db) => db.clear('boxes'), { lost: 3 }],
  ['a box has lost its lease', async (db) => db.clear('leases')],
  ['an archive has lost its history', async (db) => db.clear('history')],
  ['a history has lost its archive', async (db) => db.clear('archives'), { lost: 1 }],
  ['a dead job is delayed too', async (db) => { const dead = await first<object>(db, 'dead'); await db.put('delayed', { ...dead, state: 'delayed', runAt: 1 }) }],
  ['a dead job is in the delayed room as well, as it was', async (db) => { await db.put('delayed', await first<object>(db, 'dead')) }],
  ['data was left behind', (db) => db.put('payloads', { seq: 77_777, data: 'x' })],
  ['data is missing', (db) => db.clear('payloads'), { dead: true }],
  ['a group has forgotten who waits', async (db) => db.clear('groups')],
  ['a group waits for one that is gone', async (db) => { const head = (await db.getAll('groups') as Array<{ position: number }>)[0]!; await db.put('groups', { ...head, seq: 99_999 }) }],
  ['a group counts wrongly', async (db) => { const head = (await db.getAll('groups') as Array<{ position: number }>)[0]!; await db.put('groups', { ...head, waiting: 7 }) }],
  ['a number would be given again', async (db) => { const meta = await db.get('meta', 'main') as { next: number }; await db.put('meta', { ...meta, next: 5 }) }],
  ...[undefined, null, 7, {}, { queue: 'q', lane: 'x', rank: 0, first: 5, bytes: 0, jobs: null }, { queue: 'q', lane: 'x', rank: 0, first: 5, bytes: 0, jobs: [null] }, { jobs: [{ seq: 5 }], common: 1 }]
    .map((page): typeof DAMAGE[number] => [`a page is ${JSON.stringify(page)}`, (db) => db.put('waiting', page, ['q', 'x', 0, 5])]),
  ['a page holds something that is no job as well', async (db) => { const page = await first<Page>(db, 'waiting'); page.jobs.push(null as never); await db.put('waiting', page, keyOf(page)) }],
  ['a page is nowhere', (db) => db.put('waiting', 7, ['elsewhere', 'x', 0, 5])],
  ['a box is text', (db) => db.put('boxes', 'hello', 999)],
  ['an archive is a number', (db) => db.put('archives', 5, 999)],
  ['an archive holds something that is no job as well', async (db) => { const [key] = await db.getAllKeys('archives'); const archive = await db.get('archives', key!) as { jobs: unknown[] }; archive.jobs.push(null); await db.put('archives', archive, key) }],
  ['a lease says nothing', (db) => db.put('leases', { box: 999, buckets: [1] })],
  ['a history says nothing', (db) => db.put('history', { queue: 'q', state: 'completed', order: 999 })],
  ['a delayed job is only a number', (db) => db.put('delayed', { seq: 777 })],
  ['a blocked job is only a number', (db) => db.put('blocked', { seq: 777 })],
  ['a dead job is only a number', (db) => db.put('dead', { seq: 778 })],
  ['a queue is only a name', (db) => db.put('queues', { queue: 'zz' })],
  ['the queue is only a name', async (db) => { await putApart(db); await db.put('queues', { queue: 'q' }) }],
  ['an old row of the last queue is only a name', (db) => db.put('queues', { queue: 'q' })],
  ['the last queue is only a name', (db) => changeMeta(db, (meta) => ({ ...meta, queue: { queue: 'q' } }))],
  ['the last queue is not even that', (db) => changeMeta(db, (meta) => ({ ...meta, queue: {} }))],
  ['a group says nothing', (db) => db.put('groups', { queue: 'q', group: 'x', position: 3 })],
  ['an origin says nothing', (db) => db.put('origins', { origin: 'https://a.example' })],
  ['the meta row is lost', (db) => db.delete('meta', 'main')],
  ['the meta row says nothing', (db) => db.put('meta', { key: 'main' })],
]

describe('verify', () => {
  it('finds nothing wrong in what is sound', async () => {
    const { queue } = await full()
    expect(await queue.verify()).toEqual({ ok: true, jobs: 105, found: 0, faults: [], repaired: 0 })
  })

  it.each(DAMAGE)('%s: it is found, and repaired', async (_what, damage, { lost = 0, dead = false } = {}) => {
    const { name, queue, ids } = await full()
    await raw(name, damage)
    const found = await queue.verify()
    expect(found).toMatchObject({ ok: false, repaired: 0 })
    const salvaged = new Set((await queue.salvage()).jobs.map(({ id }) => id))
    expect(ids.filter((id) => !salvaged.has(id))).toHaveLength(lost)
    await queue.verify({ repair: true })
    const after = await queue.verify()
    expect(after.jobs).toBe(105 - lost)
    expect(after).toMatchObject({ ok: true, faults: [] })
    if (dead) { expect(await queue.get(ids[100]!)).toMatchObject({ state: 'dead', reason: 'invalid' }); return }
    expect(faults(await stored(name))).toEqual([])
    expect((await queue.pull('q', 200)).length).toBeGreaterThan(90)
  })

  it('is not misled by what others do meanwhile', async () => {
    const { queue } = await full()
    let on = true
    const busy = (async () => { while (on) { await queue.push('q', 'n', 0); for (const job of await queue.pull('q', 3)) await queue.ack(job) } })()
    for (let n = 0; n < 5; n++) expect(await queue.verify()).toMatchObject({ ok: true, faults: [] })
    on = false
    await busy
  })

  it('names an option that it does not know', async () => {
    const { queue } = await full()
    await expect(queue.verify({ mend: true } as never)).rejects.toMatchObject({ code: 'VALIDATION', details: { field: 'options.mend' } })
  })
})

it('a job whose data was lost dies of it, and takes no other along', async () => {
  const { name, queue, ids } = await full()
  await raw(name, (db) => db.clear('payloads'))
  expect((await queue.list({ name: 'other' })).jobs).toMatchObject([{ id: ids[100], state: 'waiting' }])
  expect((await queue.pull('q', 200)).some((job) => job.name === 'other')).toBe(false)
  expect(await queue.get(ids[100]!)).toMatchObject({ state: 'dead', reason: 'invalid' })
  await queue.retry(ids[100]!, { data: 'anew' })
  expect((await queue.pull('q'))[0]?.data).toBe('anew')
})

describe('salvage', () => {
  it('reads every job, with its data and what its lease knows', async () => {
    const { queue, ids } = await full()
    const { jobs, unreadable } = await queue.salvage()
    expect(unreadable).toEqual([])
    expect(jobs.map(({ id }) => id).sort()).toEqual([...ids].sort())
    expect(jobs.find(({ name }) => name === 'other')?.data).toBe(BIG)
    expect(jobs.filter(({ state }) => state === 'active')).toHaveLength(3)
  })

  it('passes over what cannot be read, and names it', async () => {
    const { queue } = await full()
    const original = IDBObjectStore.prototype.get
    vi.spyOn(IDBObjectStore.prototype, 'get').mockImplementation(function (this: IDBObjectStore, key) {
      if (this.name === 'dead') throw new DOMException('The value is damaged', 'DataError')
      return original.call(this, key)
    })
    const { jobs, unreadable } = await queue.salvage()
    expect(jobs).toHaveLength(104)
    expect(unreadable).toEqual([expect.stringContaining('dead')])
  })
})

describe('reset', () => {
  it('deletes all jobs and begins anew, in other handles too', async () => {
    const { queue } = await full()
    const before = await queue.storage()
    await queue.reset()
    expect((await queue.stats()).counts.waiting).toBe(0)
    const id = await queue.push('q', 'n', 'new')
    expect((await queue.get(id))?.data).toBe('new')
    expect((await queue.storage()).generation).not.toBe(before.generation)
  })
})

describe('a database that was made anew', () => {
  const heard = async (name: string): Promise<string[]> => {
    const events: QueueEvent[] = []
    const queue = createQueue(name, { worker: false })
    queue.on('*', (event) => { events.push(event) })
    await queue.queues()
    await queue.close()
    return events.map(({ type }) => type)
  }

  it('is noticed by the generation that the page remembers', async () => {
    vi.stubGlobal('localStorage', {})
    const name = freshName()
    onTestFinished(() => forget(name))
    expect(await heard(name)).toEqual([])
    expect(await heard(name)).toEqual([])
    await forget(name)
    expect(await heard(name)).toEqual(['storage-lost'])
    expect(await heard(name)).toEqual([])
  })

  it('is told once in each tab', async () => {
    const { name, queues } = await tabs(3)
    const told = queues.map(() => 0)
    queues.forEach((queue, i) => { queue.on('storage-lost', () => { told[i]!++ }) })
    await queues[0]!.push('q', 'n', 1)
    await Promise.all(queues.map((queue) => queue.stats()))
    await forget(name)
    for (const queue of queues) await queue.push('q', 'n', 1)
    await after(100)
    expect(told).toEqual([1, 1, 1])
  })

  it('is found out by a tab that only looks', { timeout: 15_000 }, async () => {
    const { name, queues: [one, two] } = await tabs(2)
    let told = 0
    two!.on('storage-lost', () => { told++ })
    await two!.push('q', 'n', 1)
    await forget(name)
    await one!.push('q', 'n', 1)
    await until('it is told', () => told > 0, 12_000)
  })

  it('is not, where nothing can be remembered', async () => {
    const name = freshName()
    onTestFinished(() => forget(name))
    expect(await heard(name)).toEqual([])
    await forget(name)
    expect(await heard(name)).toEqual([])
  })
})

it('a database of an older version gets the rooms that it lacks, and loses nothing', async () => {
  const [made, name] = [await full(), freshName()]
  await made.queue.push('another', 'n', 1)
  const like = await raw(made.name, async (db) => {
    // As it was before the last queue moved into the meta row.
    await putApart(db)
    return Promise.all([...db.objectStoreNames].map(async (room) => {
      const { store } = db.transaction(room)
      const indexes = [...store.indexNames].map((index) => store.index(index)).map(({ name: index, keyPath, multiEntry }) => ({ index, keyPath, multiEntry }))
      const { keyPath, autoIncrement } = store
      return { room, keyPath, autoIncrement, indexes, keys: await store.getAllKeys(), rows: await store.getAll() as unknown[] }
    }))
  })
  const old = await openDB(`holdfast:${name}`, 1, {
    upgrade(db) {
      for (const { room, keyPath, autoIncrement, indexes, keys, rows } of like.filter((one) => one.room !== 'credentials')) {
        const store = db.createObjectStore(room, { keyPath, autoIncrement })
        for (const { index, keyPath: path, multiEntry } of indexes) store.createIndex(index, path as string, { multiEntry })
        rows.forEach((row, i) => { void store.put(row, keyPath === null ? keys[i] : undefined) })
      }
    },
  })
  old.close()
  const queue = await openQueue(name, { worker: false })
  onTestFinished(async () => { await queue.close(); await forget(name) })
  expect((await queue.storage()).generation).toBe((await made.queue.storage()).generation)
  await queue.push('q', 'n', 'last')
  expect((await queue.stats()).queues.map((one) => [one.queue, one.counts.waiting])).toEqual([['another', 1], ['q', 98]])
  expect((await queue.pull('q', 200)).map(({ data }) => data).slice(-1)).toEqual(['last'])
  expect(await queue.pull('another')).toMatchObject([{ data: 1 }])
  expect(await queue.verify()).toMatchObject({ ok: true })
  expect(faults(await stored(name))).toEqual([])
})

it('a database of an older version that has lost its meta row is opened, and repaired', async () => {
  const name = freshName()
  const old = await openDB(`holdfast:${name}`, 1, { upgrade(db) { db.createObjectStore('meta', { keyPath: 'key' }) } })
  old.close()
  const queue = createQueue(name, { worker: false })
  onTestFinished(async () => { await queue.close(); await forget(name) })
  await queue.verify({ repair: true })
  await queue.push('q', 'n', 1)
  expect(await queue.pull('q')).toMatchObject([{ data: 1 }])
})

describe('a newer version of the database', () => {
  const upgrade = (name: string, needs?: number): Promise<void> => openDB(`holdfast:${name}`, VERSION + 1, {
    upgrade(db, _old, _new, tx) {
      db.createObjectStore('something new')
      if (needs !== undefined) void tx.objectStore('meta').get('main').then((meta: object) => tx.objectStore('meta').put({ ...meta, needs }))
    },
  }).then((db) => { db.close() })

  it('is not held up, and is used as long as it allows that', async () => {
    const { name, queue } = await full()
    await upgrade(name)
    await queue.push('q', 'n', 'still here')
    expect((await queue.stats()).counts.waiting).toBe(98)
  })

  it('that does not allow it is left alone: the tab says that it is outdated', async () => {
    const { name, queue } = await full()
    const events: string[] = []
    queue.on('outdated', ({ type }) => { events.push(type) })
    await upgrade(name, VERSION + 1)
    await expect(queue.push('q', 'n', 'too old')).rejects.toMatchObject({ code: 'STORAGE', message: expect.stringContaining('reload') as string })
    await expect(queue.push('q', 'n', 'too old')).rejects.toMatchObject({ code: 'STORAGE' })
    await until('it is told', () => events.length > 0)
    expect(events).toHaveLength(1)
    expect((await raw(name, (db) => db.getAll('waiting'))).flatMap(({ jobs }: Page) => jobs)).toHaveLength(97)
  })
})

describe('room', () => {
  const space = (quota: number, used: number): { used: number; low: number; it: ReturnType<typeof createSpace> } => {
    const disk = { used, low: 0 }
    return Object.assign(disk, { it: createSpace(() => Promise.resolve({ usage: disk.used, quota }), () => { disk.low++ }) })
  }

  it('is taken without looking while there is plenty', async () => {
    const { it: room } = space(1000 * MB, 0)
    await room.look()
    expect(room.take(MB)).toBeUndefined()
  })

  it('is refused where it would eat into the reserve', async () => {
    const { it: room } = space(10 * MB, 9.4 * MB)
    await room.look()
    await expect(room.take(0.2 * MB)).rejects.toMatchObject({ code: 'QUOTA' })
    expect(room.take(0.05 * MB)).toBeUndefined()
  })

  it('is given again when there is more', async () => {
    const state = space(10 * MB, 9.9 * MB)
    await state.it.look()
    await expect(state.it.take(MB)).rejects.toMatchObject({ code: 'QUOTA' })
    state.used = MB
    await state.it.take(MB)
  })

  it('is told to be low once, at four fifths', async () => {
    const state = space(10 * MB, 7 * MB)
    await state.it.look()
    expect([state.it.low, state.low]).toEqual([false, 0])
    state.used = 8 * MB
    await state.it.look()
    await state.it.look()
    expect([state.it.low, state.low]).toEqual([true, 1])
  })

  it('where nobody says how much there is: none is missing', () => {
    expect(createSpace(() => Promise.resolve(undefined), () => {}).take(MB)).toBeUndefined()
  })

  it('keeps a reserve in which what is stored can end', async () => {
    let usage = 0
    vi.stubGlobal('navigator', { storage: { estimate: () => Promise.resolve({ usage, quota: 100 * MB }) } })
    const { queue } = await full()
    const low: unknown[] = []
    queue.on('storage-low', (event) => { low.push(event) })
    usage = 99 * MB
    await queue.storage()
    const [job] = await queue.pull('q')
    await expect(queue.push('q', 'n', BIG)).rejects.toMatchObject({ code: 'QUOTA' })
    await queue.ack(job!, 'done')
    expect(await queue.get(job!.id)).toMatchObject({ state: 'completed', result: 'done' })
    expect(low).toHaveLength(1)
    expect(await queue.storage()).toMatchObject({ state: 'ok', low: true, usage, quota: 100 * MB, durability: 'strict' })
    usage = 0
    await queue.push('q', 'n', BIG)
  })
})
