import { describe, expect, it } from 'vitest'
import { pack, unpack } from '../../src/store/packing.ts'
import { jobOf as job } from './support/job.ts'

describe('a row that holds many jobs', () => {
  it('says once what they have in common', () => {
    const row = { queue: 'emails', jobs: [job({ seq: 1, position: 1 }), job({ seq: 2, position: 2, data: 7 })] }
    const packed = pack(row)
    expect(packed).toMatchObject({ queue: 'emails', common: { queue: 'emails', state: 'waiting', failures: 0 } })
    expect(Object.keys(packed.jobs[1]!).sort()).toEqual(['data', 'seq'])
    expect(unpack(packed)).toEqual(row)
  })

  it('keeps an id, and a position, that the number does not say', () => {
    const row = { jobs: [job({ seq: 1, position: -1 }), job({ seq: 2, position: 9, id: 'other' }), job({ seq: 3, position: 3 })] }
    expect(unpack(structuredClone(pack(row)))).toEqual(row)
  })

  it('can be read with a job that is in it twice', () => {
    const row = { jobs: [job({ seq: 5 }), job({ seq: 5 })] }
    expect(unpack(structuredClone(pack(row)))).toEqual(row)
  })

  it('keeps what only some have', () => {
    const rows = [
      { jobs: [job({ seq: 1, tags: ['a'] }), job({ seq: 2 })] }, { jobs: [job({ seq: 1 }), job({ seq: 2, progress: 3 })] },
      { jobs: [{ ...job({ seq: 1 }), data: undefined }, { ...job({ seq: 2 }), data: undefined }] }, { jobs: [job({ seq: 1 })] }, { jobs: [] },
    ]
    for (const row of rows) expect(unpack(structuredClone(pack(row)))).toEqual(row)
  })

  it('is left alone where it holds none', () => { for (const row of [undefined, null, { queue: 'q' }, 7]) expect(unpack(row)).toBe(row) })
})
