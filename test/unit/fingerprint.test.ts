/** SPEC §5: a fingerprint (error name, normalised message, top frame) groups dead jobs. */
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { fingerprint } from '../../src/core/fingerprint.ts'
import { anyText } from './support/text.ts'

const chrome = (message: string, line = 10): string => `Error: ${message}\n    at send (https://app.example/mail.js:${line}:7)\n    at async run (https://app.example/run.js:3:1)`
const firefox = (line = 10): string => `send@https://app.example/mail.js:${line}:7\nrun@https://app.example/run.js:3:1\n`
const of = (message: string, stack = chrome(message), name = 'Error'): string => fingerprint({ name, message, stack })

describe('one fault has one fingerprint, whatever differs from job to job', () => {
  it.each([
    ['numbers', 'order 14001 failed', 'order 7 failed'],
    ['ids', 'no job 0190b5c2-1111-7abc-8def-0123456789ab', 'no job 0190b5c2-2222-7abc-8def-ba9876543210'],
    ['hexadecimal', 'bad pointer 0xdeadbeef', 'bad pointer 0x1'],
    ['quoted text', 'unknown user "ann"', 'unknown user "bob smith"'],
    ['queries', 'GET https://a.example/x?token=abc failed', 'GET https://a.example/x?token=xyz failed'],
  ])('%s', (_what, one, other) => { expect(of(one)).toBe(of(other)) })

  it('a line that moved by an edit above it', () => { expect(of('boom', chrome('boom', 10))).toBe(of('boom', chrome('boom', 99))) })
  it('also in the stacks of Firefox and Safari', () => { expect(of('boom', firefox(10))).toBe(of('boom', firefox(99))) })
  it('also when the message has an @, as addresses do', () => { expect(of('mail 14 to shop@example.com failed')).toBe(of('mail 15 to shop@example.com failed')) })
})

describe('different faults differ', () => {
  it('by name', () => { expect(of('boom', chrome('boom'), 'TypeError')).not.toBe(of('boom')) })
  it('by message', () => { expect(of('no such user')).not.toBe(of('no such order')) })
  it('by the frame that threw', () => { expect(of('boom', '    at send (mail.js:1:1)')).not.toBe(of('boom', '    at receive (mail.js:1:1)')) })
  it('not by the frames below it', () => { expect(of('boom', '    at send (mail.js:1:1)\n    at a (a.js:1:1)')).toBe(of('boom', '    at send (mail.js:1:1)\n    at b (b.js:1:1)')) })
})

it('is 8 hex digits for any error', () => {
  fc.assert(fc.property(anyText(), anyText(), fc.option(anyText(), { nil: undefined }), (name, message, stack) => {
    const error = { name, message, ...(stack === undefined ? {} : { stack }) }
    expect(fingerprint(error)).toMatch(/^[0-9a-f]{8}$/)
    expect(fingerprint({ ...error })).toBe(fingerprint(error))
  }))
})
