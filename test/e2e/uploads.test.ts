/** Bodies of every kind, byte for byte, against a real server; uploads that are slow, cut off, stopped and killed. */
import { rmSync, statSync } from 'node:fs'
import type { IncomingMessage, ServerResponse } from 'node:http'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import type { Page } from 'playwright-core'
import type { FetchOptions, Job, Queue, QueueEvent } from 'holdfast'
import { KillableBrowser, pause, serveSite, until, type Site } from '../crash/harness.ts'

interface Seen { readonly method: string; readonly url: string; readonly key: string | undefined; readonly type: string | undefined; readonly at: number; body: Buffer; done: boolean; cut: boolean }

const MB = 1_048_576
const seen: Seen[] = []
/** What the server does with a request; it is read to its end and answered 200 unless this does otherwise. */
let take: (request: IncomingMessage, response: ServerResponse, one: Seen) => void
const browser = new KillableBrowser()
let site: Site
let page: Page
let names = 0

/** Runs in the page too. */
function bytes(length: number, seed = 1): Uint8Array<ArrayBuffer> {
  const made = new Uint8Array(length)
  for (let i = 0; i < length; i++) made[i] = i * 31 + (i >> 8) * 7 + seed
  return made
}

const PAGE = `
  import { openQueue } from 'holdfast'
  const asked = new URLSearchParams(location.search)
  const worker = asked.get('worker')
  window.open = () => openQueue(asked.get('db'), worker ? { worker: worker !== 'none' && (() => new Worker('/holdfast/' + worker)) } : {})
  window.queue = await open()
  window.events = []
  queue.on('*', (event) => events.push(event))
  window.bytes = ${bytes.toString()}
  window.ready = true`

beforeAll(async () => {
  site = await serveSite(PAGE, (request, _body, response) => {
    const { headers, method = '', url = '' } = request
    const one: Seen = { method, url, key: headers['idempotency-key'] as string | undefined, type: headers['content-type'], at: performance.now(), body: Buffer.alloc(0), done: false, cut: false }
    seen.push(one)
    request.on('close', () => { one.cut = !request.complete })
    take(request, response, one)
  })
  await browser.start()
})
afterAll(async () => { await browser.dispose(); await site.close() })
beforeEach(async () => {
  await page?.close()
  seen.length = 0
  take = (request, response, one) => { void readAll(request, one).then(() => { response.end() }) }
  page = await open(`uploads-${++names}`)
})

async function open(db: string, worker = ''): Promise<Page> {
  const opened = await browser.page()
  await opened.goto(`${site.url}/page?db=${db}&worker=${worker}`)
  await opened.waitForFunction('window.ready')
  return opened
}

/** Reads a body to its end, a piece at a time if it is to be slow. */
async function readAll(request: IncomingMessage, one: Seen, everyMs = 0, pieceBytes = Infinity): Promise<void> {
  const pieces: Buffer[] = []
  let next = pieceBytes
  let length = 0
  try {
    for await (const piece of request as AsyncIterable<Buffer>) {
      pieces.push(piece)
      length += piece.length
      if (length >= next) { next += pieceBytes; await pause(everyMs) }
    }
    one.done = true
  } catch { /* cut off */ }
  one.body = Buffer.concat(pieces)
}

interface Window { readonly queue: Queue; readonly events: QueueEvent[] }
/** `init` is an expression of the page's. */
const send = (url: string, init: string, options: FetchOptions = {}): Promise<string> => page.evaluate(`queue.fetch(${JSON.stringify(url)}, ${init}, ${JSON.stringify(options)})`)
const result = (id: string): Promise<unknown> => page.evaluate((job) => (window as unknown as Window).queue.waitFor(job), id)
const get = async (id: string): Promise<Job> => (await page.evaluate((job) => (window as unknown as Window).queue.get(job), id))!
const progressOf = (id: string): Promise<number[]> => page.evaluate((job) => (window as unknown as Window).events.filter((event) => event.type === 'progress' && event.id === job).map(({ progress = -1 }) => progress), id)

interface Part { readonly head: string; readonly body: Buffer }
/** The parts of a multipart body (RFC 7578), by hand. */
function partsOf({ body, type = '' }: Seen): Part[] {
  const boundary = /^multipart\/form-data; boundary=(\S+)$/.exec(type)?.[1] ?? ''
  const parts: Part[] = []
  const mark = Buffer.from(`--${boundary}`)
  for (let at = body.indexOf(mark); ;) {
    const start = at + mark.length + 2
    const end = body.indexOf(mark, start)
    if (end < 0) return parts
    const part = body.subarray(start, end - 2)
    const gap = part.indexOf('\r\n\r\n')
    parts.push({ head: part.subarray(0, gap).toString(), body: part.subarray(gap + 4) })
    at = end
  }
}

// ---- every kind ----

const TEXT = 'Grüße, 世界 🌍\r\n"%22\0'
const KINDS: ReadonlyArray<readonly [what: string, init: string, type: string | undefined, body: Uint8Array]> = [
  ['a string', `{ body: ${JSON.stringify(TEXT)} }`, 'text/plain;charset=UTF-8', Buffer.from(TEXT)],
  ['an empty string', `{ body: '' }`, 'text/plain;charset=UTF-8', Buffer.alloc(0)],
  ['a string of a given type', `{ method: 'PUT', headers: { 'Content-Type': 'text/csv' }, body: 'a;b' }`, 'text/csv', Buffer.from('a;b')],
  ['JSON', `{ json: { to: 'Ünal', n: [1, null], at: new Date(0) } }`, 'application/json', Buffer.from('{"to":"Ünal","n":[1,null],"at":"1970-01-01T00:00:00.000Z"}')],
  ['URLSearchParams', `{ body: new URLSearchParams([['a', '1'], ['b', 'ü &'], ['a', '2']]) }`, 'application/x-www-form-urlencoded;charset=UTF-8', Buffer.from('a=1&b=%C3%BC+%26&a=2')],
  ['a Blob', `{ body: new Blob([bytes(70_000)], { type: 'image/png' }) }`, 'image/png', bytes(70_000)],
  ['a Blob without a type', `{ body: new Blob([bytes(256)]) }`, undefined, bytes(256)],
  ['a Blob of another type than its own', `{ headers: [['content-type', 'image/webp']], body: new Blob([bytes(256)], { type: 'image/png' }) }`, 'image/webp', bytes(256)],
  ['an empty Blob', `{ body: new Blob([]) }`, undefined, Buffer.alloc(0)],
  ['a File', `{ body: new File([bytes(300)], 'a.pdf', { type: 'application/pdf' }) }`, 'application/pdf', bytes(300)],
  ['an ArrayBuffer', `{ body: bytes(1000).buffer }`, undefined, bytes(1000)],
  ['a view of a part of its buffer', `{ body: bytes(1000).subarray(100, 200) }`, undefined, bytes(1000).subarray(100, 200)],
  ['a DataView', `{ body: new DataView(bytes(1000).buffer, 990) }`, undefined, bytes(1000).subarray(990)],
  ['a stream', `{ body: new ReadableStream({ start(c) { c.enqueue(bytes(5)); setTimeout(() => { c.enqueue(bytes(100_000, 9)); c.close() }, 50) } }) }`, undefined, Buffer.concat([bytes(5), bytes(100_000, 9)])],
]
test.each(KINDS)('%s', async (_what, init, type, body) => {
  const id = await send('/raw/x', init)
  await result(id)
  expect(seen).toMatchObject([{ type, key: `"${id}"`, method: init.includes('PUT') ? 'PUT' : 'POST', done: true }])
  expect(seen[0]!.body.equals(body)).toBe(true)
})

test('a Request: its method, headers and body, a form too, with what the second argument says instead', async () => {
  await result(await page.evaluate(`queue.fetch(new Request('/raw/one', { method: 'PATCH', headers: { 'x-a': '1' }, body: '{"a":1}' }), { headers: { 'content-type': 'application/json' } })`))
  await result(await page.evaluate(`(() => { const form = new FormData(); form.append('f', new File([bytes(300)], 'ü.bin')); return queue.fetch(new Request('/raw/two', { method: 'POST', body: form })) })()`))
  await result(await page.evaluate(`queue.fetch(new Request('/raw/three'))`))
  await result(await page.evaluate(`queue.fetch(new Request('/raw/four', { method: 'DELETE' }), { method: 'PUT', json: 4 })`))
  expect(seen).toMatchObject([{ method: 'PATCH', url: '/raw/one', type: 'application/json' }, { method: 'POST' }, { method: 'GET', type: undefined }, { method: 'PUT', type: 'application/json' }])
  expect(seen.map(({ body }) => body.length)).toEqual([7, expect.any(Number), 0, 1])
  expect(partsOf(seen[1]!).map((part) => part.body.equals(bytes(300)))).toEqual([true])
})

test('what the caller changes after the call does not count', async () => {
  const ids: string[] = await page.evaluate(`(() => {
    const view = bytes(1000), form = new FormData(), headers = new Headers({ 'content-type': 'a/b' }), params = new URLSearchParams('a=1')
    form.append('a', 'before')
    const calls = [queue.fetch('/raw/view', { headers, body: view }), queue.fetch('/raw/buffer', { body: view.buffer }), queue.fetch('/raw/form', { body: form }), queue.fetch('/raw/params', { body: params })]
    view.fill(0); form.set('a', 'after'); headers.set('content-type', 'c/d'); params.set('a', '2')
    return Promise.all(calls)
  })()`)
  await Promise.all(ids.map(result))
  const at = (url: string): Seen => seen.find((one) => one.url === `/raw/${url}`)!
  expect(at('view').type).toBe('a/b')
  for (const url of ['view', 'buffer']) expect(at(url).body.equals(bytes(1000))).toBe(true)
  expect(partsOf(at('form')).map(({ body }) => body.toString())).toEqual(['before'])
  expect(at('params').body.toString()).toBe('a=1')
})

test('where there is no XMLHttpRequest, fetch sends the same, without progress, and no redirect is followed', async () => {
  await page.close()
  page = await open(`uploads-${++names}`, 'fetching-worker.js')
  const id = await send('/raw/x', `{ body: (() => { const form = new FormData(); form.append('f', new File([bytes(${MB})], 'ü.bin')); return form })() }`)
  await result(id)
  expect(partsOf(seen[0]!).map(({ body }) => body.equals(bytes(MB)))).toEqual([true])
  expect(await progressOf(id)).toEqual([])
  take = (request, response, one) => { void readAll(request, one).then(() => { response.writeHead(302, { location: '/raw/new' }).end() }) }
  await expect(result(await send('/raw/old', `{ body: bytes(100) }`))).rejects.toThrow('A redirect (3xx) from POST')
  expect(seen.map(({ url }) => url)).toEqual(['/raw/x', '/raw/old'])
})

// ---- what became of it ----

test.each([
  ['a string', `{ body: 'a' }`, `'b'`, `{ a: 1 }`, Buffer.from('b')],
  ['JSON', `{ json: { a: 1 } }`, `{ a: 2 }`, `new Blob(['x'])`, Buffer.from('{"a":2}')],
  ['a Blob', `{ body: new Blob(['a']) }`, `new Blob([bytes(70_000)])`, `'b'`, bytes(70_000)],
  ['an ArrayBuffer', `{ body: bytes(5).buffer }`, `bytes(50).subarray(10, 20)`, `[1, 2]`, bytes(50).subarray(10, 20)],
  ['nothing', `{ method: 'DELETE' }`, undefined, `'b'`, Buffer.alloc(0)],
])('edited, %s is sent under a new key; what is no such body is refused', async (_what, init, edit, wrong, body) => {
  take = (request, response, one) => { void readAll(request, one).then(() => { response.writeHead(seen.length === 1 ? 400 : 200).end() }) }
  const id = await send('/raw/x', init)
  await result(id).catch(() => {})
  expect(await page.evaluate(`queue.retry('${id}', { data: ${wrong} }).catch(({ code, details }) => [code, details.field])`)).toEqual(['VALIDATION', 'data'])
  expect(await get(id)).toMatchObject({ state: 'dead', failures: 1 })
  await page.evaluate(`queue.retry('${id}'${edit === undefined ? '' : `, { data: ${edit} }`})`)
  await result(id)
  expect(seen.map(({ key }) => key)).toEqual([`"${id}"`, edit === undefined ? `"${id}"` : `"${id}.1"`])
  expect(seen[1]!.body.equals(body)).toBe(true)
})

test('the data of a form is its entries, which can be edited', async () => {
  take = (request, response, one) => { void readAll(request, one).then(() => { response.writeHead(seen.length === 1 ? 422 : 200).end() }) }
  const id = await send('/raw/x', `{ body: (() => { const form = new FormData(); form.append('a', '1'); form.append('f', new File(['x'], 'x.txt')); return form })() }`)
  await result(id).catch(() => {})
  expect(await page.evaluate(`queue.get('${id}').then(({ data }) => data.map(([name, value]) => [name, value.name ?? value]))`)).toEqual([['a', '1'], ['f', 'x.txt']])
  expect(await page.evaluate(`queue.retry('${id}', { data: [['a']] }).catch(({ code }) => code)`)).toBe('VALIDATION')
  await page.evaluate(`queue.get('${id}').then(({ data }) => queue.retry('${id}', { data: [...data, ['a', '2'], ['g', new Blob(['y'])]] }))`)
  await result(id)
  expect(seen[1]!.key).toBe(`"${id}.1"`)
  expect(partsOf(seen[1]!).map(({ head, body }) => [/ name="(\w)"/.exec(head)?.[1], body.toString()])).toEqual([['a', '1'], ['f', 'x'], ['a', '2'], ['g', 'y']])
})

test('more than 64 KiB of binary data go to a queue of their own, two at a time', async () => {
  const held: ServerResponse[] = []
  take = (request, response, one) => { void readAll(request, one).then(() => { held.push(response) }) }
  const small = await send('/raw/x', `{ body: bytes(65_536) }`)
  const large = await Promise.all(Array.from({ length: 5 }, () => send('/raw/x', `{ body: bytes(65_537) }`)))
  const named = await send('/raw/x', `{ body: bytes(65_537) }`, { queue: 'own', name: 'photo' })
  expect(await get(small)).toMatchObject({ queue: 'http', name: 'fetch' })
  for (const id of large) expect(await get(id)).toMatchObject({ queue: 'http.upload', name: 'fetch', large: true })
  expect(await get(named)).toMatchObject({ queue: 'own', name: 'photo' })
  await until(() => held.length === 4)
  await pause(300)
  expect(held).toHaveLength(4)
  for (let n = 0; n < 7; n++) { await until(() => held.length > 0); held.pop()!.end() }
  await Promise.all([small, named, ...large].map(result))
})

test.each([[302, 'POST', 'GET'], [307, 'POST', 'POST'], [302, 'PUT', 'PUT']])('an upload that was redirected by %i is dead, though it was sent there: %s as %s', async (status, method, as) => {
  take = (request, response, one) => { void readAll(request, one).then(() => { if (one.url === '/raw/old') response.writeHead(status, { location: '/raw/new' }); response.end() }) }
  const id = await send('/raw/old#part', `{ method: '${method}', body: bytes(100) }`)
  await expect(result(id)).rejects.toThrow(`${site.url}/raw/new`)
  expect(await get(id)).toMatchObject({ state: 'dead', failures: 1, reason: 'unrecoverable' })
  expect(seen.map((one) => `${one.method} ${one.url}`)).toEqual([`${method} /raw/old`, `${as} /raw/new`])
})

test('an upload is told what the server said, headers and all', async () => {
  take = (request, response, one) => { void readAll(request, one).then(() => { response.writeHead(201, { 'content-type': 'application/json', 'x-trace': 'ä; b: c'.replace('ä', 'a') }).end('{"id":"ü"}') }) }
  const id = await send('/raw/x', `{ body: bytes(100) }`, { keepResult: true })
  expect(await result(id)).toMatchObject({ status: 201, headers: { 'x-trace': 'a; b: c', 'content-type': 'application/json' }, body: { id: 'ü' } })
  take = (request, response, one) => { void readAll(request, one).then(() => { response.writeHead(413, { 'content-type': 'application/problem+json' }).end('{"type":"about:blank","status":413,"title":"Too large","detail":"at most 50 bytes","errors":[{"pointer":"#/f"}]}') }) }
  await expect(result(await send('/raw/x', `{ body: bytes(100) }`))).rejects.toThrow('413 from POST')
  expect((await page.evaluate(() => (window as unknown as Window).queue.list({ state: 'dead' }))).jobs[0]?.attempts?.[0]?.error.message).toContain(': Too large: at most 50 bytes')
})

test('one whose address a browser writes otherwise is not taken for redirected', async () => {
  take = (request, response, one) => { void readAll(request, one).then(() => { response.writeHead(200, { 'content-type': 'application/json' }).end(`{"name":"O'Brien"}`) }) }
  const create = await send('/raw/create', '{ json: {} }', { keepResult: true })
  await result(await send('/raw/x?who={{create.body.name}}', `{ body: bytes(100) }`, { dependsOn: { create }, fill: true }))
  expect(seen.map(({ url }) => url)).toEqual(['/raw/create', '/raw/x?who=O%27Brien'])
})

test('an answer that CORS hides is no answer, and is said to be one of several', async () => {
  const other = await serveSite('', (_request, _body, response) => { response.end() })
  await send(`${other.url}/raw/x`, `{ body: bytes(100) }`)
  await send(`${other.url}/api/x`, `{ body: 'x' }`)
  await page.waitForFunction(`events.some(({ type }) => type === 'origin-closed')`)
  const { reason } = (await page.evaluate(() => (window as unknown as Window).events)).find(({ type }) => type === 'origin-closed')!
  expect(reason).toMatch(/^No answer from POST .*offline, refused by CORS or CSP, blocked, cut off, or the server is down/)
  await other.close()
})

// ---- answers that do not end ----

describe.each([['a request', '{ json: 1 }'], ['an upload', `{ body: bytes(1000) }`]])('of the answer to %s', (_what, init) => {
  test('no more is read than is kept, however long it is', async () => {
    let closed = false
    take = (request, response, one) => {
      void readAll(request, one).then(() => {
        response.writeHead(200, { 'content-type': 'text/plain' })
        const more = setInterval(() => { response.write('ü'.repeat(50_000)) }, 20)
        response.on('close', () => { closed = true; clearInterval(more) })
      })
    }
    const { body } = await result(await send('/raw/x', init, { keepResult: true, timeoutMs: 3000, maxAttempts: 1 })) as { body: string }
    expect(Buffer.byteLength(body)).toBeLessThanOrEqual(65_536)
    expect(body).toMatch(/^ü{30000,}…\(truncated\)$/)
    await until(() => closed)
    expect(seen).toHaveLength(1)
  })

  test.each([[422, 'dead', '422 from POST'], [500, 'dead', '500 from POST'], [201, 'waiting', undefined]])('that breaks off, a %i was heard, unless what was done is to be told', async (status, state, says) => {
    take = (request, response, one) => {
      void readAll(request, one).then(async () => {
        response.writeHead(status, { 'content-type': 'text/plain', 'content-length': 100_000 })
        response.write(`Not so. ${' '.repeat(5000)}`)
        await pause(200)
        response.destroy()
      })
    }
    const id = await send('/raw/x', init, { maxAttempts: 1 })
    await page.waitForFunction(`events.some(({ type }) => ['dead', 'origin-closed'].includes(type))`)
    const job = await get(id)
    expect([job.state, job.attempts?.[0]?.error.message]).toEqual([state, says && expect.stringMatching(new RegExp(`^${says}.*: Not so\\.`))])
  })
})

// ---- slow, stopped, killed ----

test('an upload that moves is not cut off by its timeout, and tells how far it is', async () => {
  take = (request, response, one) => { void readAll(request, one, 100, MB).then(() => { response.end() }) }
  const id = await send('/raw/x', `{ body: bytes(${40 * MB}) }`, { timeoutMs: 1500 })
  await result(id)
  const took = performance.now() - seen[0]!.at
  expect(took).toBeGreaterThan(3000)
  expect(await get(id)).toMatchObject({ failures: 0, stalls: 0, progress: 100 })
  expect(seen).toMatchObject([{ done: true }])
  expect(seen[0]!.body.equals(bytes(40 * MB))).toBe(true)
  const progress = await progressOf(id)
  expect(progress.length).toBeGreaterThan(5)
  expect(progress).toEqual(progress.toSorted((a, b) => a - b))
  console.info(`40 MB in ${Math.round(took)} ms under a timeout of 1500 ms, ${progress.length} progress events`)
})

test('one that stands still is', async () => {
  let stalled: IncomingMessage | undefined
  take = (request) => { stalled = request }
  const id = await send('/raw/x', `{ body: bytes(${40 * MB}) }`, { timeoutMs: 700, maxAttempts: 1 })
  await expect(result(id)).rejects.toThrow('Nothing was sent for 700 ms')
  expect(await get(id)).toMatchObject({ state: 'dead', reason: 'no-answer', attempts: [{ error: { name: 'TimeoutError' } }] })
  // Who reads nothing does not notice either.
  stalled!.resume()
  await until(() => seen[0]!.cut)
})

test('one whose answer drips is, once the answer has had its time', async () => {
  let drips = 0
  take = (request, response, one) => {
    void readAll(request, one).then(() => {
      response.writeHead(200, { 'content-type': 'application/json' })
      const drip = setInterval(() => { drips++; response.write(' '.repeat(1000)) }, 100)
      response.on('close', () => { clearInterval(drip) })
    })
  }
  const id = await send('/raw/x', `{ body: bytes(1000) }`, { timeoutMs: 1000, maxAttempts: 1 })
  await expect(Promise.race([result(id), pause(6000)])).rejects.toThrow('Nothing was sent for 1000 ms, nor answered in full')
  expect(drips).toBeGreaterThan(3)
})

test('one that is cancelled in its middle is cut off', async () => {
  take = (request, response, one) => { void readAll(request, one, 100, MB).then(() => { response.end() }) }
  const id = await send('/raw/x', `{ body: bytes(${40 * MB}) }`)
  await page.waitForFunction(`events.some(({ type }) => type === 'progress')`)
  await page.evaluate(`queue.cancel('${id}')`)
  await until(() => seen[0]!.cut, 2000)
  await expect(result(id)).rejects.toThrow('cancelled')
  expect(seen).toMatchObject([{ done: false }])
})

test.each(['', 'none'])('one whose queue is closed is cut off and given back (worker: %s)', async (worker) => {
  await page.close()
  page = await open(`uploads-${++names}`, worker)
  take = (request, response, one) => { void readAll(request, one, 100, MB).then(() => { response.end() }) }
  const id = await send('/raw/x', `{ body: bytes(${20 * MB}) }`)
  await until(() => seen.length === 1)
  await page.evaluate('queue.close()')
  await until(() => seen[0]!.cut, 2000)
  take = (request, response, one) => { void readAll(request, one).then(() => { response.end() }) }
  await page.evaluate('open().then((again) => { queue = again })')
  await result(id)
  expect(await get(id)).toMatchObject({ state: 'completed', failures: 0, stalls: 0 })
})

test('one whose stored file the browser has lost is dead, and its origin is not blamed', async () => {
  const db = `uploads-${names}`
  await page.evaluate(`queue.pause('http.upload')`)
  const id = await send('/raw/x', `{ body: bytes(${MB}) }`)
  await browser.killAll()
  const files = browser.files('IndexedDB', /\.blob\/.*\/[0-9a-f]+$/).filter((path) => statSync(path).isFile())
  expect(files.length).toBeGreaterThan(0)
  for (const file of files) rmSync(file)
  await browser.start()
  page = await open(db)
  await page.evaluate(`queue.resume('http.upload')`)
  await expect(result(id)).rejects.toThrow('can no longer be read')
  expect(await page.evaluate(`events.filter(({ type }) => type === 'origin-closed')`)).toEqual([])
})

test('a form with three files, killed in its middle with the whole browser, arrives byte for byte', async () => {
  const db = `uploads-${names}`
  const files: ReadonlyArray<readonly [string, string]> = [['a file with "quotes" & Ümläuten.bin', `bytes(${12 * MB})`], ['empty.txt', `''`], ['every byte.bin', `Uint8Array.from({ length: 256 }, (_, i) => i)`]]
  take = (request, _response, one) => { void readAll(request, one, 300, MB) }
  const id = await send('/raw/x', `{ body: (() => {
    const form = new FormData()
    form.append('note', 'Grüße\\r\\nzweite Zeile')
    ${files.map(([name, content]) => `form.append('file', new File([${content}], ${JSON.stringify(name)}, { type: 'application/x-test' }))`).join('\n')}
    form.append('note', 'again')
    return form
  })() }`)
  await until(() => seen.length === 1)
  await browser.killAll()
  await until(() => seen[0]!.cut)
  take = (request, response, one) => { void readAll(request, one, 100, MB).then(() => { response.end() }) }
  await browser.start()
  page = await open(db)
  await result(id)
  expect(await get(id)).toMatchObject({ state: 'completed', failures: 0 })
  expect(seen).toMatchObject([{ done: false, key: `"${id}"` }, { done: true, key: `"${id}"` }])
  const parts = partsOf(seen[1]!)
  const escaped = (name: string): string => name.replaceAll('"', '%22')
  expect(parts.map(({ head }) => head)).toEqual([
    'Content-Disposition: form-data; name="note"',
    ...files.map(([name]) => `Content-Disposition: form-data; name="file"; filename="${escaped(name)}"\r\nContent-Type: application/x-test`),
    'Content-Disposition: form-data; name="note"',
  ])
  const sent = [Buffer.from('Grüße\r\nzweite Zeile'), bytes(12 * MB), Buffer.alloc(0), Uint8Array.from({ length: 256 }, (_, i) => i), Buffer.from('again')]
  expect(parts.map(({ body }, i) => body.equals(sent[i]!))).toEqual(sent.map(() => true))
  expect((await progressOf(id)).length).toBeGreaterThan(1)
})
