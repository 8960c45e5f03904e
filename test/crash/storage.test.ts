/** A quota that is used up, and a disk that is full: what was stored stays, and is ended. */
import { spawnSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, statfsSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Page } from 'playwright-core'
import { afterAll, beforeAll, expect, onTestFinished, test } from 'vitest'
import { KillableBrowser, until, type Backend, type Site } from './harness.ts'
import { FRANK_QUOTA } from './library.ts'
import { freshName, openTab, serveTabs, tabAt, type Realm, type Tab } from './tabs.ts'

let site: Site
beforeAll(async () => { site = await serveTabs() })
afterAll(async () => { await site.close() })

/** Gone with its test, however that ends. */
function begin(backend?: Backend, finished = onTestFinished): KillableBrowser {
  const browser = new KillableBrowser(backend && { backend })
  finished(() => browser.dispose())
  return browser
}

interface Filled { readonly ids: readonly string[]; readonly refused: string; readonly message: string }

/** Pushes `bytes` at a time until one is refused. Text that does not compress. */
const fill = (tab: Tab, bytes: number, most: number): Promise<Filled> => tab.realm.evaluate(async ({ queue }, [size, end]) => {
  const ids: string[] = []
  for (let n = 0; n < end; n++) {
    const noise = new Uint8Array(size)
    for (let at = 0; at < size; at += 65_536) crypto.getRandomValues(noise.subarray(at, Math.min(size, at + 65_536)))
    try { ids.push(await queue.push('q', 'n', noise)) } catch (error) { return { ids, refused: (error as { code: string }).code, message: (error as Error).message } }
  }
  return { ids, refused: '', message: '' }
}, [bytes, most] as const)

/** Of these ids, those that `get` does not find. */
const missing = (tab: Tab, ids: readonly string[]): Promise<string[]> => tab.realm.evaluate(async ({ queue }, list) => {
  const found = await Promise.all(list.map(async (id) => await queue.get(id) === undefined ? id : undefined))
  return found.filter((id) => id !== undefined)
}, ids)

/** Pulls and acknowledges this many with a result of some bytes. */
const endSome = (tab: Tab, count: number): Promise<string[]> => tab.realm.evaluate(async ({ queue }, some) => {
  const ended: string[] = []
  for (const job of await queue.pull('q', some)) await queue.ack(job, 'r'.repeat(2000)).then(() => { ended.push('ok') }, (error: { code: string; message: string }) => { ended.push(`${error.code}: ${error.message}`) })
  return ended
}, count)

/** A tab on an origin whose quota is set before its database is opened: the browser remembers for a while how much room there was. */
async function limited(browser: KillableBrowser, worker?: string): Promise<{ tab: Tab; setQuota(bytes: number): Promise<void> }> {
  await browser.start()
  const { page } = await tabAt(browser, `${site.url}/library`)
  const session = await page.context().newCDPSession(page)
  const setQuota = async (bytes: number): Promise<void> => { await session.send('Storage.overrideQuotaForOrigin', { origin: site.url, quotaSize: bytes }) }
  await setQuota(FRANK_QUOTA)
  const tab = await openTab(browser, site, freshName(), worker === undefined ? {} : { worker })
  await tab.realm.evaluate(({ queue, kept }) => { kept['heard'] = []; queue.on('*', ({ type }) => { (kept['heard'] as string[]).push(type) }) })
  return { tab, setQuota }
}

const OKS = (count: number): string[] => Array.from({ length: count }, () => 'ok')
const faults = (tab: Tab): Promise<readonly string[]> => tab.realm.evaluate(async ({ queue }) => (await queue.verify()).faults)

test('a quota that the browser tells: storage-low first, then pushes are refused while stored jobs are ended', async () => {
  const browser = begin()
  const { tab } = await limited(browser, 'frank-worker.js')
  const filled = await fill(tab, 40_000, 1000)
  expect(filled).toMatchObject({ refused: 'QUOTA' })
  expect(filled.ids.length).toBeGreaterThan(300)
  expect(await tab.realm.evaluate(({ kept }) => kept['heard'] as string[])).toContain('storage-low')
  expect(await tab.realm.evaluate(({ queue }) => queue.storage())).toMatchObject({ state: 'ok', low: true })
  expect(await missing(tab, filled.ids)).toEqual([])
  expect(await endSome(tab, 100)).toEqual(OKS(100))
  expect(await faults(tab)).toEqual([])
  console.info(`quota told: ${filled.ids.length} pushes of 40 kB into 24 MB, then: ${filled.message}`)
})

test('a quota that the browser hides: the push that does not fit is refused, nothing else is lost, and it goes on when there is room', async () => {
  const browser = begin()
  const { tab, setQuota } = await limited(browser)
  const filled = await fill(tab, 400_000, 200)
  expect(filled).toMatchObject({ refused: 'QUOTA' })
  expect(filled.ids.length).toBeGreaterThan(40)
  expect(await missing(tab, filled.ids)).toEqual([])
  expect(await endSome(tab, 5)).toEqual(OKS(5))
  expect(await faults(tab)).toEqual([])
  await setQuota(200_000_000)
  expect((await fill(tab, 400_000, 5)).refused).toBe('')
  expect(await endSome(tab, 10)).toEqual(OKS(10))
  console.info(`quota hidden: ${filled.ids.length} pushes of 400 kB into 24 MB, then: ${filled.message}`)
})

// Together, since both mostly wait for the browser to look again how much room there is.
test.concurrent.for(['sqlite', 'leveldb'] as const)('a quota that is used up to the last kilobytes in %s: what is stored is ended out of the reserve, and pushes go on when it is back', async (backend, context) => {
  const browser = begin(backend, context.onTestFinished)
  const { tab, setQuota } = await limited(browser)
  const reserved = (): Promise<boolean> => tab.realm.evaluate(async ({ queue }) => (await indexedDB.databases()).some(({ name }) => name === `holdfast-reserve:${queue.name}`))
  // The reserve is laid by when a tab has been open for a while.
  await expect.poll(reserved, { timeout: 30_000 }).toBe(true)
  const large = await fill(tab, 200_000, 1000)
  // Now Chromium has seen how much there is: many small ones at once would be let through until it looks again.
  const small = await fill(tab, 4000, 1000)
  expect([large.refused, small.refused]).toEqual(['QUOTA', 'QUOTA'])
  expect(await reserved()).toBe(true)
  expect(await endSome(tab, 20)).toEqual(OKS(20))
  expect(await reserved()).toBe(false)
  expect((await fill(tab, 4000, 1)).refused).toBe('QUOTA')
  expect(await endSome(tab, 20)).toEqual(OKS(20))
  expect(await missing(tab, [...large.ids, ...small.ids])).toEqual([])
  expect(await faults(tab)).toEqual([])
  expect(await tab.realm.evaluate(({ kept }) => kept['heard'] as string[])).toContain('storage-low')
  expect(await tab.realm.evaluate(({ queue }) => queue.storage())).toMatchObject({ low: true })
  await setQuota(200_000_000)
  await expect.poll(async () => (await fill(tab, 4000, 1)).refused, { timeout: 30_000 }).toBe('')
  console.info(`last kilobytes: ${large.ids.length} of 200 kB and ${small.ids.length} of 4 kB into 24 MB, 40 ended out of the reserve`)
})

test('a log torn by a kill, for which Chromium throws all of the origin away: storage-lost is told, and the queue goes on', async () => {
  const browser = begin('leveldb')
  const name = freshName()
  const push = async (): Promise<string> => {
    await browser.start()
    return (await openTab(browser, site, name)).realm.evaluate(({ queue }) => queue.push('q', 'n', 0))
  }
  const ids = [await push()]
  // Where it is remembered which database it was; browsers write that down a little later.
  await until(() => browser.files('Local Storage', /\.log$/).some((path) => readFileSync(path).includes(`holdfast:${name}`)), 60_000)
  await browser.killAll()
  expect(browser.remade()).toBe(true)
  browser.tearLog()
  ids.push(await push())
  await browser.killAll()
  expect(browser.remade()).toBe(false)
  await browser.start()
  expect(await revisit((await tabAt(browser, `${site.url}/library`)).page, name, ids)).toEqual({ missing: 2, faults: [], told: true, ended: ['ok'] })
  expect(browser.remade()).toBe(true)
})

/** As after a kill that took the files of large values along. */
async function withoutFiles(browser: KillableBrowser, name: string): Promise<Tab> {
  await browser.killAll()
  const files = browser.files('IndexedDB', /blob/).filter((path) => statSync(path).isFile())
  expect(files.length).toBeGreaterThan(0)
  for (const file of files) rmSync(file)
  await browser.start()
  return openTab(browser, site, name)
}

test('a file of the browser that is lost takes its own job along, and no other', async () => {
  const browser = begin('leveldb')
  const name = freshName()
  await browser.start()
  const ids = await (await openTab(browser, site, name)).realm.evaluate(async ({ queue }) => {
    const noise = (): Uint8Array<ArrayBuffer> => crypto.getRandomValues(new Uint8Array(60_000))
    return Promise.all([queue.push('q', 'n', [noise(), noise(), noise()]), queue.push('q', 'n', 1), queue.push('q', 'later', [noise(), noise(), noise()], { delayMs: 3_600_000 }), queue.push('q', 'n', 2)])
  })
  const tab = await withoutFiles(browser, name)
  expect(await tab.realm.evaluate(async ({ queue, kept }, list) => {
    kept['heard'] = []
    queue.on('degraded', ({ message }) => { (kept['heard'] as string[]).push(`degraded ${message}`) })
    const known = await Promise.all(list.map(async (id) => (await queue.get(id))?.data))
    const listed = (await queue.list()).jobs.length
    const ran: unknown[] = []
    await queue.process('q', ({ data }) => { ran.push(data) })
    for (const end = Date.now() + 10_000; ran.length < 2 && Date.now() < end;) await new Promise((resolve) => { setTimeout(resolve, 20) })
    const [dead] = (await queue.list({ state: 'dead' })).jobs
    const found = (await queue.verify()).faults.length
    await queue.verify({ repair: true })
    return { known, listed, ran, dead: dead?.id === list[0] && [dead?.reason, dead?.data], heard: kept['heard'], found, later: (await queue.get(list[2]))?.reason, left: (await queue.verify()).faults, unreadable: (await queue.salvage()).unreadable.length }
  }, ids)).toEqual({ known: [undefined, 1, undefined, 2], listed: 4, ran: [1, 2], dead: ['invalid', undefined], heard: [], found: 1, later: 'invalid', left: [], unreadable: 2 })
})

test('rows of queues that lay in a lost file are made again by repair', async () => {
  const browser = begin('leveldb')
  const name = freshName()
  await browser.start()
  await (await openTab(browser, site, name)).realm.evaluate(async ({ queue }) => {
    // So many lanes that the browser puts their queue's row in a file.
    const many = Array.from({ length: 3000 }, (_, i) => ({ name: Array.from({ length: 6 }, () => crypto.randomUUID()).join(''), data: i, options: { removeOnComplete: true } }))
    await queue.pushMany('wide', many)
    await queue.push('small', 'n', 1)
    await queue.push('wide', 'n', 2)
    // One that is no longer wide lies in the row that all commits write; what it left behind is in that file as well.
    await queue.pushMany('narrow', many.slice(0, 1000))
    await queue.ackMany(await queue.pull('narrow', 1000))
  })
  const tab = await withoutFiles(browser, name)
  expect(await tab.realm.evaluate(async ({ queue }) => {
    const refused = await queue.push('wide', 'n', 3).catch(({ code }: { code: string }) => code)
    const { found } = await queue.verify()
    await queue.verify({ repair: true })
    await queue.push('small', 'n', 4)
    await queue.push('wide', 'n', 5)
    return { refused, found, left: (await queue.verify()).faults, waiting: (await queue.stats()).queues.map((one) => [one.queue, one.counts.waiting]) }
  })).toEqual({ refused: 'STORAGE', found: 2, left: [], waiting: [['narrow', 0], ['small', 2], ['wide', 3002]] })
})

/** A small disk of its own; undefined where none may be mounted. */
function smallDisk(megabytes: number): { readonly folder: string; unmount(): void } | undefined {
  const folder = mkdtempSync(join(tmpdir(), 'holdfast-disk-'))
  const remove = (): void => { rmSync(folder, { recursive: true, force: true }) }
  if (spawnSync('mount', ['-t', 'tmpfs', '-o', `size=${megabytes}m`, 'tmpfs', folder]).status !== 0) { remove(); return undefined }
  return { folder, unmount() { spawnSync('umount', ['-l', folder]); remove() } }
}

/** What a new visit finds of these ids, and whether it is told that the database is another one. */
const revisit = (page: Page, name: string, ids: readonly string[]): Promise<{ missing: number; faults: readonly string[]; told: boolean; ended: readonly string[] }> => page.evaluate(async ([db, list]) => {
  const queue = (window as unknown as Realm).library.createQueue(db)
  let told = false
  queue.on('storage-lost', () => { told = true })
  await queue.push('q', 'n', 0)
  const found = await Promise.all(list.map((id) => queue.get(id)))
  const ended: string[] = []
  for (const job of await queue.pull('q', 5)) await queue.ack(job).then(() => { ended.push('ok') }, (error: Error) => { ended.push(error.message) })
  return { missing: found.filter((job) => job === undefined).length, faults: (await queue.verify()).faults, told, ended }
}, [name, ids] as const)

// Under such pressure Chromium may throw away all that an origin has stored, even where it granted persistence. That cannot be helped, only told.
test.for([300_000, 3000])('a full disk, pushes of %i bytes: what was acknowledged is there after a restart, or storage-lost is told', async (bytes, { skip }) => {
  const disk = smallDisk(160)
  if (!disk) { console.warn('SKIPPED: a full disk needs the right to mount a tmpfs'); skip(); return }
  const browser = new KillableBrowser({ folder: disk.folder })
  try {
    const name = freshName()
    await browser.start()
    const { page } = await tabAt(browser, `${site.url}/library`)
    // Else the browser's own reckoning with the disk would refuse first.
    await (await page.context().newCDPSession(page)).send('Storage.overrideQuotaForOrigin', { origin: site.url, quotaSize: 10_000_000_000 })
    const tab = await openTab(browser, site, name)
    await tab.realm.evaluate(({ queue, kept }) => { kept['lost'] = false; queue.on('storage-lost', () => { kept['lost'] = true }) })
    const ballast = join(disk.folder, 'ballast')
    const { bavail, bsize } = statfsSync(disk.folder)
    writeFileSync(ballast, new Uint8Array(Math.max(0, bavail * bsize - 10_000_000)))
    const { ids, refused, message } = await fill(tab, bytes, 2500)
    const ended = await endSome(tab, 3).catch((error: Error) => [error.message.split('\n')[0]!])
    const lost = await tab.realm.evaluate(({ kept }) => kept['lost'] as boolean)
    await browser.killAll()
    rmSync(ballast)
    await browser.start()
    const again = await revisit((await tabAt(browser, `${site.url}/library`)).page, name, ids)
    console.info(`full disk: ${ids.length} pushes of ${bytes} bytes, then ${refused || 'none refused'} ${message}; acks then: ${ended.join('; ')}; ${again.missing} missing, ${lost || again.told ? 'storage-lost was told' : 'nothing was lost'}`)
    if (!lost && !again.told) expect(again.missing).toBe(0)
    if (bytes > 100_000) expect(refused).toMatch(/QUOTA|STORAGE/)
    expect(again.faults).toEqual([])
    expect(again.ended.length).toBeGreaterThan(0)
    expect(again.ended.filter((what) => what !== 'ok')).toEqual([])
  } finally {
    await browser.dispose()
    disk.unmount()
  }
})
