/** SPEC §9: what the data of each kind of request may be, at its push and when it is edited. */
import { describe, expect, it } from 'vitest'
import { checkBody, isUpload, queueFor } from '../../src/core/body.ts'
import type { HttpRequest } from '../../src/core/job.ts'
import { createRunner, type Attempt, type RunEnding, type RunnerHost } from '../../src/runner/runner.ts'
import { ManualClock } from './support/engine.ts'
import { jobOf } from './support/job.ts'

type Kind = NonNullable<HttpRequest['body']>
const blob = new Blob(['12345'])
const file = new File(['123'], 'a.txt')
const cyclic: { self?: unknown } = {}
cyclic.self = cyclic

const GOOD: ReadonlyArray<readonly [Kind | undefined, unknown, bytes: number, binary: number]> = [
  [undefined, undefined, 4, 0], ['text', '', 2, 0], ['text', 'ü', 4, 0], ['json', { a: [1, null] }, 19, 0], ['json', undefined, 4, 0],
  ['form', [], 2, 0], ['form', [['a', '1'], ['a', file], ['b', blob]], 24, 8],
  ['binary', blob, 2, 5], ['binary', file, 2, 3], ['binary', new ArrayBuffer(7), 2, 7], ['binary', new Uint8Array(7), 4, 7], ['binary', new DataView(new ArrayBuffer(7)), 4, 7],
]
const BAD: ReadonlyArray<readonly [Kind | undefined, unknown]> = [
  [undefined, 'x'], [undefined, null], ['text', 5], ['text', null], ['text', blob], ['json', { a: [blob] }], ['json', new Uint8Array(1)], ['json', 1n], ['json', cyclic],
  ['form', null], ['form', {}], ['form', 'a=1'], ['form', ['a']], ['form', [['a']]], ['form', [['a', 1]]], ['form', [[1, 'a']]], ['form', [['a', 'b', 'c']]], ['form', [['a', new ArrayBuffer(1)]]], ['form', new Map([['a', 'b']])],
  ['binary', 'x'], ['binary', {}], ['binary', null], ['binary', [blob]],
]

describe('a body', () => {
  it.each(GOOD)('%s may be %o', (kind, data, bytes, binary) => { expect(checkBody('data', kind, data)).toEqual({ bytes, binary }) })
  it.each(BAD)('%s must not be %o', (kind, data) => { expect(() => checkBody('data', kind, data)).toThrow(expect.objectContaining({ code: 'VALIDATION', details: expect.objectContaining({ field: 'data' }) })) })
  it('has the limits of any data', () => {
    expect(() => checkBody('init.body', 'text', 'x'.repeat(1_048_576))).toThrow(/init\.body must be at most 1048576 bytes/)
    expect(() => checkBody('init.body', 'form', [['a', 'x'.repeat(1_048_576)]])).toThrow(/at most 1048576 bytes/)
  })
})

it('binary data goes by a queue of its own when there is much of it', () => {
  expect([0, 65_536, 65_537].map(queueFor)).toEqual(['http', 'http', 'http.upload'])
  expect((['json', 'text', 'form', 'binary', undefined] as const).map((body) => isUpload({ body } as HttpRequest))).toEqual([false, false, true, true, false])
})

describe('the timeout of an attempt', () => {
  /** An attempt that runs until it is aborted. */
  function started(timeoutMs: number): { readonly clock: ManualClock; readonly attempt: () => Attempt; readonly reports: unknown[] } {
    const clock = new ManualClock()
    let attempt: Attempt | undefined
    const reports: unknown[] = []
    const host = { clock, task: (call: () => void) => { call() }, ended(_endings: readonly RunEnding[]) {}, report(_key: string, report: unknown) { reports.push(report) } } as unknown as RunnerHost
    createRunner(host, (one) => { attempt = one; return new Promise(() => {}) }).run(1, [{ box: 1, token: 't', job: jobOf({ state: 'active', timeoutMs }) }])
    return { clock, attempt: () => attempt!, reports }
  }

  it('is for the whole of it', async () => {
    const { clock, attempt } = started(1000)
    await clock.advance(999)
    expect(attempt().aborted).toBeUndefined()
    await clock.advance(1)
    expect(attempt().aborted).toMatchObject({ code: 'TIMEOUT', message: 'The attempt took more than 1000 ms' })
  })

  it('begins anew whenever something moves, and counts from then', async () => {
    const { clock, attempt, reports } = started(1000)
    for (let n = 1; n <= 10; n++) { await clock.advance(900); attempt().moved(n / 16) }
    await clock.advance(999)
    expect(attempt().aborted).toBeUndefined()
    expect(reports).toHaveLength(10)
    expect(reports[9]).toEqual({ progress: 62.5 })
    await clock.advance(1)
    expect(attempt().aborted).toMatchObject({ code: 'TIMEOUT', message: 'Nothing was sent for 1000 ms, nor answered in full' })
  })
})
