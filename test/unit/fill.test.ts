/** SPEC §9: a child's request uses its parents' results; what users wrote is never a template, and no result leads a request elsewhere. */
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { filled, placesIn } from '../../src/core/fill.ts'
import type { HttpRequest } from '../../src/core/job.ts'
import { originOf } from '../../src/core/lane.ts'
import { takeRefs, templateOf } from '../../src/door/template.ts'
import { ref, type FetchInit, type FetchOptions, type Queue } from '../../src/index.ts'
import { frozen } from './support/job.ts'
import { tab } from './support/tabs.ts'
import { anyText } from './support/text.ts'

const ORIGIN = 'https://api.example'
const request = (path: string, headers: Record<string, string> = {}): HttpRequest => ({ url: ORIGIN + path, method: 'POST', headers, idempotency: false, okStatuses: [], fill: true })
const create = (id: unknown): Record<string, unknown> => ({ create: { status: 201, headers: {}, body: { id } } })
function fill(http: HttpRequest, results: Record<string, unknown>, data?: unknown): { readonly http: HttpRequest; readonly data: unknown } {
  const made = filled(frozen(http), frozen(data), frozen(results))
  if ('problem' in made) throw new Error(made.problem)
  return made
}
const problem = (http: HttpRequest, results: Record<string, unknown>, data?: unknown): string => {
  const made = filled(http, data, results)
  return 'problem' in made ? made.problem : 'none'
}
/** Text that means something in URLs, headers and templates. */
const wild = fc.oneof(anyText(), fc.string({ unit: fc.constantFrom('/', '?', '#', '%', '2', 'e', '.', '&', '=', '@', ':', '\\', '\r', '\n', '\t', ' ', '{{', '}}', 'create.body.id', '<', '"'), maxLength: 12 }))

describe('a result in a URL', () => {
  it('is one segment of its path, or one value of its query, whatever it is', () => {
    fc.assert(fc.property(wild, (id) => {
      const made = filled(request('/docs/{{create.body.id}}/edit?id={{create.body.id}}&x=1'), undefined, create(id))
      if ('problem' in made) { expect(['', '.', '..'].includes(id) || !id.isWellFormed()).toBe(true); return }
      const url = new URL(made.http.url)
      expect(url.origin).toBe(ORIGIN)
      expect(url.hash).toBe('')
      expect(url.pathname.split('/').map(decodeURIComponent)).toEqual(['', 'docs', id, 'edit'])
      expect([...url.searchParams]).toEqual([['id', id], ['x', '1']])
    }), { numRuns: 2000 })
  })

  it('that would clear a part of the path, or lead out of it, is refused', () => {
    for (const [path, id] of [['/docs/{{create.body.id}}', ''], ['/docs/{{create.body.id}}', '..'], ['/docs/{{create.body.id}}/x', '.'], ['/docs/{{create.body.id}}.', '.'], ['/docs/%2E{{create.body.id}}', '.'], ['/docs/{{create.body.id}}?q', '']] as const)
      expect(problem(request(path), create(id)), path + id).toMatch(/^create\.body\.id cannot stand in the path/)
    expect(fill(request('/docs?after={{create.body.id}}'), create('')).http.url).toBe(`${ORIGIN}/docs?after=`)
    expect(fill(request('/docs/x{{create.body.id}}'), create('..')).http.url).toBe(`${ORIGIN}/docs/x..`)
  })

  it('is text, a number or a boolean', () => {
    for (const id of [7, 0.5, true, 'x', 12n]) expect(fill(request('/{{create.body.id}}'), create(id)).http.url).toBe(`${ORIGIN}/${String(id)}`)
    for (const [id, is] of [[null, 'null'], [[1], 'an array'], [{}, 'of type object'], [NaN, 'of type number']] as const) expect(problem(request('/{{create.body.id}}'), create(id))).toBe(`create.body.id cannot be written as text: it is ${is}`)
    expect(problem(request('/{{create.body.id}}'), create('\ud800'))).toBe('create.body.id is no well-formed text')
    expect(problem(request('/{{create.body.id}}'), create('é'.repeat(10_000)))).toMatch(/^The URL has more than 16384 bytes with create\.body\.id/)
  })
})

describe('a result in a header', () => {
  it('stands as it is, or not at all', () => {
    fc.assert(fc.property(wild, (id) => {
      const made = filled(request('/', { 'if-match': '"{{create.body.id}}"' }), undefined, create(id))
      if ('problem' in made) expect(made.problem).toMatch(/^create\.body\.id has a character that no header may hold \(if-match\)/)
      else expect(new Headers(made.http.headers).get('if-match')).toBe(`"${id}"`)
      expect('problem' in made).toBe(/[^\t\x20-\x7e\x80-\xff]/.test(id))
    }), { numRuns: 1000 })
    for (const id of ['a\r\nx: y', 'a\nb', 'a\0b']) expect(problem(request('/', { x: '{{create.body.id}}' }), create(id))).toContain('create.body.id')
    expect(problem(request('/', { x: '{{create.body.id}}' }), create('x'.repeat(70_000)))).toMatch(/^The headers have more than 65536 bytes with create\.body\.id/)
  })
})

describe('what is not there', () => {
  it.each([
    [{}, 'create.body.id is missing: the job it depends on as create left no result'], [{ create: undefined }, 'create.body.id is missing: the job it depends on as create left no result'],
    [{ create: { status: 204 } }, 'create.body.id is missing: create has no body'],
    [{ create: { status: 200 } }, 'create.body.id is missing: create has no body. The answer was empty, or it had come before this was pushed and was not kept: that takes keepResult: true'], [{ create: { body: 'text' } }, 'create.body.id is missing: create.body has no id'], [{ create: { body: {} } }, 'create.body.id is missing: create.body has no id'],
  ])('in %o is named', (results, message) => {
    expect(problem(request('/{{create.body.id}}'), results)).toBe(message)
    expect(problem(request('/', { x: '{{create.body.id}}' }), results)).toBe(message)
    const { fill: _fill, ...json } = request('/')
    expect(problem({ ...json, body: 'json', refs: [{ at: ['id'], from: 'create.body.id' }] }, results, { id: null })).toBe(message)
  })
  it('of its own is not there, whatever every object has', () => {
    for (const from of ['create.constructor.name', 'create.__proto__.x', 'toString', 'create.body.toString']) expect(problem(request(`/{{${from}}}`), create(1))).toContain('is missing')
  })
})

it('a body that was cut off is not taken, nor a part of it; what else is in the answer is', () => {
  const results = { create: { status: 200, headers: { etag: 'e' }, body: '[1,2', truncated: true } }
  const at = (from: string): HttpRequest => ({ ...request('/'), body: 'json', refs: [{ at: [], from }] })
  for (const from of ['create', 'create.body', 'create.body.0']) expect(problem(at(from), results, null)).toMatch(new RegExp(`^${from} cannot be taken: the body that create was answered is not whole`))
  expect(problem(request('/{{create.body}}'), results)).toMatch(/is not whole/)
  expect(fill(at('create.headers.etag'), results, null).data).toBe('e')
  // What a handler returned is its own.
  expect(fill(at('create.body'), { create: { body: 1, truncated: true } }, null).data).toBe(1)
})

describe('a ref in JSON', () => {
  const json = (...refs: NonNullable<HttpRequest['refs']>): HttpRequest => ({ url: `${ORIGIN}/`, method: 'POST', headers: {}, body: 'json', idempotency: false, okStatuses: [], refs })
  it('becomes any part of a result, in a copy', () => {
    const results = { create: { body: { id: 7, list: [{ n: 1 }], none: null } }, other: 'whole' }
    const data = { document: { id: null, kept: 1 }, list: [null, 2], all: null, none: null }
    const made = fill(json({ at: ['document', 'id'], from: 'create.body.id' }, { at: ['list', 0], from: 'create.body.list.0.n' }, { at: ['all'], from: 'other' }, { at: ['none'], from: 'create.body.none' }), results, data)
    expect(made.data).toEqual({ document: { id: 7, kept: 1 }, list: [1, 2], all: 'whole', none: null })
    expect(made.http).not.toHaveProperty('refs')
    expect(fill(json({ at: [], from: 'create.body' }), results, null).data).toEqual({ id: 7, list: [{ n: 1 }], none: null })
  })
  it('gives way to what was edited in its place', () => {
    const http = json({ at: ['document', 'id'], from: 'create.body.id' })
    for (const data of [{ document: { id: 9 } }, { document: 9 }, {}, 'text', { document: [] }]) expect(fill(http, create(7), data).data).toEqual(data)
  })
  it('that JSON cannot say is refused', () => { for (const id of [12n, () => 1, new Map([[1, 2]]), new Set([1]), new Error('x'), new Blob(['x']), { deep: [new Map()] }, new Uint8Array(1), /x/]) expect(problem(json({ at: ['id'], from: 'create.body.id' }), create(id), { id: null })).toBe('create.body.id cannot be written as JSON') })

  it('is known by its mark, and nothing in any data is', () => {
    const made = ref('create', 'body.id')
    const [mark] = Object.keys(made)
    expect(takeRefs({ a: [made, 'x'], b: { c: ref('create') } }, mark!, { create: 'id' })).toEqual({ data: { a: [null, 'x'], b: { c: null } }, refs: [{ at: ['a', 0], from: 'create.body.id' }, { at: ['b', 'c'], from: 'create' }] })
    fc.assert(fc.property(fc.jsonValue({ maxDepth: 4 }), (data) => { expect(takeRefs(structuredClone(data), mark!, { create: 'id' })).toEqual({ data, refs: [] }) }))
    for (const forged of [{ 'ref': 'create.body.id' }, { name: 'create', path: 'body.id' }, '{{create.body.id}}', { [`${mark}x`]: 'create.body.id' }, { at: ['a'], from: 'create.body.id' }])
      expect(takeRefs({ forged }, mark!, { create: 'id' })).toEqual({ data: { forged }, refs: [] })
  })
})

describe('a template', () => {
  it('is what was written, not what was written into it as a URL writes data', () => {
    fc.assert(fc.property(wild, wild, (path, query) => {
      fc.pre(path.isWellFormed() && query.isWellFormed())
      const url = templateOf(`/docs/x${encodeURIComponent(path)}/{{create.body.id}}?q=${encodeURIComponent(query)}&id={{create.body.id}}`, `${ORIGIN}/app/`)
      expect(originOf(url)).toBe(ORIGIN)
      expect(placesIn(url)).toEqual(['create.body.id', 'create.body.id'])
    }), { numRuns: 1000 })
    expect(templateOf('docs/{{a.b}}?x={{c}}#h', `${ORIGIN}/app/index.html`)).toBe(`${ORIGIN}/app/docs/{{a.b}}?x={{c}}#h`)
    expect(placesIn(templateOf(`/${encodeURIComponent('{{a.b}}')}`, ORIGIN))).toEqual([])
  })
})

describe('at push', () => {
  const send = async (queue: Queue, url: string | URL | Request, init: FetchInit = {}, options: FetchOptions = {}): Promise<string> => {
    const parent = (await queue.list({ name: 'parent' })).jobs[0]?.id ?? await queue.push('slow', 'parent', 0)
    return queue.fetch(url, init, { dependsOn: { create: parent }, fill: true, ...options })
  }
  it('places are stored beside the data, with the request', async () => {
    const queue = await tab()
    const id = await send(queue, `${ORIGIN}/docs/{{create.body.id}}`, { json: { document: ref('create', 'body.id'), text: '{{create.body.id}}' }, headers: { 'if-match': '{{create.headers.etag}}' } })
    expect(await queue.get(id)).toMatchObject({
      state: 'blocked', data: { document: null, text: '{{create.body.id}}' },
      http: { url: `${ORIGIN}/docs/{{create.body.id}}`, fill: true, refs: [{ at: ['document'], from: 'create.body.id' }], headers: { 'if-match': '{{create.headers.etag}}' } },
    })
    expect((await queue.get(await send(queue, `${ORIGIN}/docs/{{create.body.id}}`, {}, { fill: false })))?.http).not.toHaveProperty('fill')
    expect((await queue.get(await send(queue, new URL(`${ORIGIN}/docs/{{create.body.id}}`))))?.http).toMatchObject({ url: `${ORIGIN}/docs/%7B%7Bcreate.body.id%7D%7D` })
    // A Request and a URL leave braces in a query as they are.
    for (const input of [new URL(`${ORIGIN}/docs?q={{create.body.id}}#{{x}}`), new Request(`${ORIGIN}/docs?q={{create.body.id}}`)]) {
      const { http } = (await queue.get(await send(queue, input)))!
      expect([http?.fill, new URL(http!.url).searchParams.get('q')]).toEqual([undefined, '{{create.body.id}}'])
    }
  })

  it.each([
    ['https://{{create.body.id}}.example/', {}, 'url'], ['https://{{create.body.id}}/', {}, 'url'], ['https://{{create.body.id}}@api.example/', {}, 'url'], ['https://api.example:{{create.body.id}}/', {}, undefined], ['{{create.body.id}}://api.example/', {}, 'url'],
    [`${ORIGIN}/{{other.body.id}}`, {}, 'url'], [`${ORIGIN}/{{create..id}}`, {}, 'url'], [`${ORIGIN}/{{ create.body.id }}`, {}, 'url'], [`${ORIGIN}/{{create.body.id`, {}, 'url'], [`${ORIGIN}/%2{{create.body.id}}`, {}, 'url'],
    [`${ORIGIN}/`, { headers: { 'x-id': '{{other.id}}' } }, 'init.headers["x-id"]'], [`${ORIGIN}/`, { json: { list: [ref('other', 'id')] } }, 'init.json.list[0]'],
  ] as ReadonlyArray<readonly [string, FetchInit, string | undefined]>)('%s with %o is refused', async (url, init, field) => {
    const queue = await tab()
    await expect(send(queue, url, init)).rejects.toMatchObject({ code: 'VALIDATION', details: field === undefined ? {} : { field } })
    expect((await queue.stats('http')).queues).toEqual([])
  })

  it('a ref without any parent is refused', async () => {
    await expect((await tab()).fetch(`${ORIGIN}/`, { json: { id: ref('create', 'body.id') } })).rejects.toMatchObject({ code: 'VALIDATION', details: { field: 'init.json.id' } })
  })
})
