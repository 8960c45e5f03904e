/** SPEC §4: `concurrency` is how many jobs of the queue run at once in ALL tabs together. */
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { fairShare, type Share } from '../../src/core/share.ts'

it.each<[string, number, { want: number; hungry?: boolean }, readonly Share[], number]>([
  ['alone it gets what it wants', 4, { want: 4 }, [], 4],
  ['but no more than there is', 4, { want: 10 }, [], 4],
  ['nor than it wants', 4, { want: 2 }, [], 2],
  ['what others run is taken', 4, { want: 4 }, [{ runs: 3 }], 1],
  ['even all of it', 4, { want: 4 }, [{ runs: 4 }], 0],
  ['it leaves a hungry one its part', 4, { want: 4 }, [{ runs: 0, hungry: true }], 2],
  ['but not one that is idle', 4, { want: 4 }, [{ runs: 0 }], 4],
  ['a part is a part among those who run or hunger', 4, { want: 4 }, [{ runs: 0 }, { runs: 0, hungry: true }], 2],
  ['with fewer places than claimants the hungry one comes first', 1, { want: 1 }, [{ runs: 0, hungry: true }], 0],
  ['and takes its turn', 1, { want: 1, hungry: true }, [{ runs: 0, hungry: true }], 1],
  ['no cap, no limit', Infinity, { want: 50 }, [{ runs: 50 }], 50],
])('%s', (_case, total, mine, others, has) => { expect(fairShare(total, mine, others)).toBe(has) })

/** Some processors on one queue with enough jobs: each claims up to its share, runs, ends some, claims again; the others see its last share. */
class Tabs {
  readonly has: number[]
  readonly running: number[]
  constructor(readonly total: number, readonly wants: readonly number[]) {
    this.has = wants.map(() => 0)
    this.running = wants.map(() => 0)
  }
  claim(i: number): void {
    const others = this.wants.flatMap((want, j) => j === i ? [] : [{ runs: this.running[j]!, hungry: this.has[j]! < Math.min(want, Math.floor(this.total / this.wants.length)) }])
    const before = this.running[i]!
    this.has[i] = Math.max(before, fairShare(this.total, { want: this.wants[i]! }, others))
    expect(this.has[i]).toBeGreaterThanOrEqual(before)
    this.running[i] = Math.max(before, Math.min(this.has[i], this.wants[i]!))
  }
  end(i: number, jobs: number): void { this.running[i] = Math.max(0, this.running[i]! - jobs) }
  get sum(): number { return this.running.reduce((a, b) => a + b, 0) }
}

const tabs = fc.tuple(fc.integer({ min: 1, max: 12 }), fc.array(fc.integer({ min: 1, max: 12 }), { minLength: 2, maxLength: 5 })).map(([total, wants]) => new Tabs(total, wants))
const steps = fc.array(fc.tuple(fc.nat(), fc.boolean(), fc.integer({ min: 1, max: 12 })), { maxLength: 60 })

describe('over any sequence of claims and endings', () => {
  it('all together never run more than the total, and what runs is never taken away', () => {
    fc.assert(fc.property(tabs, steps, (all, list) => {
      for (const [pick, claims, jobs] of list) {
        const i = pick % all.wants.length
        if (claims) all.claim(i)
        else all.end(i, jobs)
        expect(all.sum).toBeLessThanOrEqual(all.total)
        all.running.forEach((running, j) => { expect(running).toBeLessThanOrEqual(all.has[j]!) })
      }
    }), { numRuns: 500 })
  })

  it('once the others have ended their jobs, each has its fair part, if it wants that much', () => {
    fc.assert(fc.property(tabs, steps, (all, list) => {
      fc.pre(all.total >= all.wants.length)
      for (const [pick, claims, jobs] of list) { if (claims) all.claim(pick % all.wants.length); else all.end(pick % all.wants.length, jobs) }
      for (let round = 0; round < 3; round++) all.wants.forEach((_want, i) => { all.end(i, Infinity); all.claim(i) })
      const fair = Math.floor(all.total / all.wants.length)
      all.wants.forEach((want, i) => { expect(all.has[i]).toBeGreaterThanOrEqual(Math.min(want, fair)) })
    }))
  })

  it('nothing is left idle while someone wants more', () => {
    fc.assert(fc.property(tabs, steps, (all, list) => {
      for (const [pick, claims, jobs] of list) { if (claims) all.claim(pick % all.wants.length); else all.end(pick % all.wants.length, jobs) }
      for (let round = 0; round < 3; round++) all.wants.forEach((_want, i) => { all.end(i, Infinity); all.claim(i) })
      expect(all.sum).toBe(Math.min(all.total, all.wants.reduce((a, b) => a + b, 0)))
    }))
  })
})
