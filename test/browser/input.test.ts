/** Bad input is refused by name, and nothing is stored. */
import { afterEach, expect, test } from 'vitest'
import { openQueue, type HoldfastError, type Queue } from 'holdfast'
import { closeAll, freshName, openTab } from './tabs.ts'

afterEach(closeAll)

const push = (data: unknown, options?: object) => (queue: Queue) => queue.push('q', 'n', data, options)
const REFUSED: ReadonlyArray<readonly [what: string, field: string, act: (queue: Queue) => Promise<unknown>]> = [
  ['an empty queue name', 'queue', (queue) => queue.push('', 'n', 0)],
  ['a queue name with a space', 'queue', (queue) => queue.push('a b', 'n', 0)],
  ['a queue name of 257 bytes', 'queue', (queue) => queue.push('q'.repeat(257), 'n', 0)],
  ['a queue name that is no string', 'queue', (queue) => queue.push(7 as unknown as string, 'n', 0)],
  ['a job name with a slash', 'name', (queue) => queue.push('q', 'a/b', 0)],
  ['a job name of 1025 bytes', 'name', (queue) => queue.push('q', 'n'.repeat(1025), 0)],
  ['a function inside data', 'data', push({ items: [0, 1, 2, { onClick() {} }] })],
  ['a symbol as data', 'data', push(Symbol('s'))],
  ['data of 2 MiB', 'data', push('x'.repeat(2 * 1_048_576))],
  ['data of 1 MiB in many small parts', 'data', push(Array.from({ length: 200_000 }, (_, i) => i))],
  ['an own __proto__ key', 'data.a.__proto__', push(JSON.parse('{"a":{"__proto__":{"polluted":true}}}'))],
  ['an unknown option', 'options.retries', push(0, { retries: 3 })],
  ['a wrong priority', 'options.priority', push(0, { priority: 1.5 })],
  ['no attempts at all', 'options.maxAttempts', push(0, { maxAttempts: 0 })],
  ['a negative delay', 'options.delayMs', push(0, { delayMs: -1 })],
  ['delayMs and runAt', 'options.runAt', push(0, { delayMs: 1, runAt: 1 })],
  ['an unknown backoff', 'options.backoff.type', push(0, { backoff: { type: 'random' } })],
  ['33 tags', 'options.tags', push(0, { tags: Array.from({ length: 33 }, () => 't') })],
  ['a tag of 129 bytes', 'options.tags[0]', push(0, { tags: ['t'.repeat(129)] })],
  ['metadata over 64 KiB', 'options.metadata', push(0, { metadata: 'x'.repeat(65_537) })],
  ['one bad item of many', 'items[1].name', (queue) => queue.pushMany('q', [{ name: 'a', data: 0 }, { name: 'b c', data: 0 }])],
  ['a function in one of many', 'items', (queue) => queue.pushMany('q', [{ name: 'a', data: 0 }, { name: 'b', data: () => {} }])],
  ['a fractional count', 'count', (queue) => queue.pull('q', 1.5)],
  ['a lease of 1 ms', 'options.leaseMs', (queue) => queue.pull('q', 1, { leaseMs: 1 })],
  ['no handler', 'handler', (queue) => queue.process('q', undefined as never)],
  ['a handler that is no function', 'handler.n', (queue) => queue.process('q', { n: 'x' as never })],
  ['no concurrency', 'options.concurrency', (queue) => queue.process('q', () => {}, { concurrency: 0 })],
  ['an id that is none', 'id', (queue) => queue.get('42')],
  ['an unknown filter', 'filter.colour', (queue) => queue.list({ colour: 'red' } as never)],
  ['an unknown state', 'filter.state', (queue) => queue.list({ state: 'broken' as never })],
  ['an unknown setting', 'settings.speed', (queue) => queue.configure('q', { speed: 3 } as never)],
  ['a delay as a default', 'settings.defaults.delayMs', (queue) => queue.configure('q', { defaults: { delayMs: 1 } as never })],
  ['a file URL', 'url', (queue) => queue.fetch('file:///etc/passwd')],
  ['a header with a line break', 'init.headers["x"]', (queue) => queue.fetch('/x', { headers: { x: 'a\r\nb: c' } })],
  ['a stored Authorization', 'init.headers["Authorization"]', (queue) => queue.fetch('/x', { headers: { Authorization: 'Bearer 1' } })],
  ['a header that the browser sets', 'init.headers["Host"]', (queue) => queue.fetch('/x', { headers: { Host: 'evil' } })],
  ['a body with GET', 'init.body', (queue) => queue.fetch('/x', { method: 'GET', body: 'x' })],
  ['body and json', 'init.json', (queue) => queue.fetch('/x', { body: 'x', json: {} })],
  ['a content type for a form', 'init.headers["Content-Type"]', (queue) => queue.fetch('/x', { headers: { 'Content-Type': 'multipart/form-data' }, body: new FormData() })],
  ['an object as body', 'init.body', (queue) => queue.fetch('/x', { body: { a: 1 } as never })],
  ['a function as body', 'init.body', (queue) => queue.fetch('/x', { body: (() => {}) as never })],
  ['a Blob in JSON', 'init.json', (queue) => queue.fetch('/x', { json: { a: new Blob(['x']) } })],
  ['a BigInt in JSON', 'init.json', (queue) => queue.fetch('/x', { json: { a: 1n } })],
  ['a form with 1 MiB of text', 'init.body', (queue) => { const form = new FormData(); form.append('a', 'x'.repeat(1_048_576)); return queue.fetch('/x', { body: form }) }],
  ['shared memory as body', 'init.body', (queue) => queue.fetch('/x', { body: new WebAssembly.Memory({ initial: 1, maximum: 1, shared: true }).buffer as never })],
  ['a stream that is locked', 'init.body', (queue) => { const body = new ReadableStream(); body.getReader(); return queue.fetch('/x', { body }) }],
  ['a stream that fails', 'init.body', (queue) => queue.fetch('/x', { body: new ReadableStream({ pull() { throw new Error('no') } }) })],
  ['a stream of text', 'init.body', (queue) => queue.fetch('/x', { body: new ReadableStream({ pull(c) { c.enqueue('x'); c.close() } }) })],
  ['a Request whose body was read', 'init.body', async (queue) => { const request = new Request('/x', { method: 'POST', body: 'x' }); await request.text(); return queue.fetch(request) }],
  ['a Request that takes cookies to other origins', 'url.credentials', (queue) => queue.fetch(new Request('/x', { credentials: 'include' }))],
  ['a body in a Request with GET', 'init.body', (queue) => queue.fetch(new Request('/x'), { body: 'x' })],
  ['headers that are no pairs', 'init.headers', (queue) => queue.fetch('/x', { headers: ['abc'] as never })],
  ['a URL that is none', 'url', (queue) => queue.fetch('http://[')],
  ['no URL at all', 'url', (queue) => queue.fetch(undefined as never)],
  ['a queue that is no name', 'queue', (queue) => queue.fetch('/x', {}, { queue: 'a b' })],
  ['an unknown option of a request', 'options.retries', (queue) => queue.fetch('/x', {}, { retries: 3 } as never)],
  ['an option that fetch has and this has not', 'init.credentials', (queue) => queue.fetch('/x', { credentials: 'include' } as never)],
]

test.each(REFUSED)('%s', async (_what, field, act) => {
  const queue = await openTab(0, freshName())
  const error = await act(queue).then(() => undefined, (reason: unknown) => reason)
  expect(error).toMatchObject({ name: 'ValidationError', code: 'VALIDATION', details: { field } })
  expect((error as HoldfastError).message).toContain(field.split('.')[0])
  expect(await queue.list()).toEqual({ jobs: [] })
  expect(({} as { polluted?: boolean }).polluted).toBeUndefined()
})

test('a function is named by its path', async () => {
  const queue = await openTab(0, freshName())
  await expect(queue.push('q', 'n', { items: [0, 1, 2, { onClick() {} }] })).rejects.toThrow('data.items[3].onClick is a function')
})

test('what the caller changes after the call does not count', async () => {
  const queue = await openTab(0, freshName())
  const mail = { to: 'ada' }
  const pushes = [queue.push('q', 'n', mail)]
  mail.to = 'bob'
  pushes.push(queue.push('q', 'n', mail))
  const jobs = await Promise.all((await Promise.all(pushes)).map((id) => queue.get(id)))
  expect(jobs.map((job) => job?.data)).toEqual([{ to: 'ada' }, { to: 'bob' }])
})

test('opening one name twice shares the worker, and refuses to differ', async () => {
  const name = freshName()
  const one = await openQueue(name)
  const two = await openQueue(name)
  await expect(openQueue(name, { durability: 'relaxed' })).rejects.toMatchObject({ code: 'VALIDATION', details: { field: 'options.durability' } })
  await one.close()
  expect(await two.queues()).toEqual([])
  await two.close()
  await expect(two.push('q', 'n', 0)).rejects.toMatchObject({ code: 'CLOSED' })
})
