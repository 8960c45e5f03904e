/** SPEC §2: a state says what a job waits for, and every state × event cell is defined, the refused ones too. */
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { STATES, type Job, type State } from '../../src/core/job.ts'
import { invalidState, transition, type JobEvent, type JobEventType, type Outcome } from '../../src/core/transition.ts'
import { frozen, jobOf } from './support/job.ts'

const NOW = 1_800_000_000_000
const HOUR = 3_600_000
const ERROR = { name: 'Error', message: 'boom', stack: 'Error: boom\n    at send (app.js:1:2)' }
const FAIL = { type: 'fail', error: ERROR, owner: 'tab', random: 0 } as const
const STALL = { type: 'stall', owner: 'tab', maxStalls: 5 } as const

/** The job after an event that moves it, or lets it go. */
function after(job: Job, event: JobEvent, now = NOW): Job {
  const outcome = transition(frozen(job), frozen(event), now)
  if (outcome.kind !== 'moved' && outcome.kind !== 'gone') throw new Error(`${event.type} is ${outcome.kind} when ${job.state}`)
  return outcome.job
}

// ---- the table, by hand from SPEC §2, §5 and §6 ----

/** The state a job moves to (or stays in, changed), or `gone`, `ignored`, `refused`. The events are those of EVENTS, at the time a delayed job is due. */
const TABLE = `
            waiting    delayed    blocked    active     completed  cancelled  dead
  claim     active     refused    refused    refused    refused    refused    refused
  due       ignored    waiting    ignored    ignored    ignored    ignored    ignored
  promote   ignored    waiting    refused    refused    refused    refused    refused
  block     blocked    blocked    ignored    refused    refused    refused    refused
  unblock   ignored    ignored    waiting    ignored    ignored    ignored    ignored
  orphan    ignored    ignored    dead       ignored    ignored    ignored    ignored
  complete  refused    refused    refused    completed  refused    refused    refused
  fail      refused    refused    refused    delayed    refused    refused    refused
  snooze    refused    refused    refused    delayed    refused    refused    refused
  release   refused    refused    refused    waiting    refused    refused    refused
  stall     refused    refused    refused    waiting    refused    refused    refused
  cancel    cancelled  cancelled  cancelled  active     refused    ignored    refused
  expire    dead       dead       dead       ignored    ignored    ignored    ignored
  lose      dead       dead       dead       ignored    ignored    ignored    ignored
  retry     refused    refused    refused    refused    waiting    waiting    waiting
  update    waiting    delayed    blocked    refused    refused    refused    refused
  remove    gone       gone       gone       active     gone       gone       gone
`

const EVENTS: { readonly [T in JobEventType]: Extract<JobEvent, { type: T }> } = {
  claim: { type: 'claim' }, due: { type: 'due' }, promote: { type: 'promote' }, block: { type: 'block' }, unblock: { type: 'unblock' }, orphan: { type: 'orphan', by: 'death' }, complete: { type: 'complete', result: 42 }, fail: FAIL,
  snooze: { type: 'snooze', ms: HOUR }, release: { type: 'release' }, stall: STALL, cancel: { type: 'cancel', reason: 'changed my mind' }, expire: { type: 'expire' }, lose: { type: 'lose' },
  retry: { type: 'retry' }, update: { type: 'update', patch: { priority: 3, runAt: NOW + HOUR } }, remove: { type: 'remove' },
}

const JOBS: { readonly [S in State]: Job } = {
  waiting: jobOf({ state: 'waiting' }),
  delayed: jobOf({ state: 'delayed', runAt: NOW }),
  blocked: jobOf({ state: 'blocked' }),
  active: jobOf({ state: 'active', startedAt: NOW - 50 }),
  completed: jobOf({ state: 'completed', startedAt: NOW - 50, endedAt: NOW - 40, result: 1 }),
  cancelled: jobOf({ state: 'cancelled', endedAt: NOW - 40, reason: 'changed my mind' }),
  dead: jobOf({ state: 'dead', endedAt: NOW - 40, reason: 'failed', failures: 3, fingerprint: '00c0ffee' }),
}

const [header = [], ...rows] = TABLE.trim().split('\n').map((line) => line.trim().split(/\s+/))
const cells = rows.flatMap(([event = '', ...row]) => row.map((cell, i) => [header[i] as State, event as JobEventType, cell] as const))
/** With the patch of `update` a waiting job becomes a delayed one; the table speaks of updates that do not reschedule. */
const eventOf = (state: State, type: JobEventType): JobEvent => type === 'update' && state !== 'delayed' ? { type, patch: { priority: 3 } } : EVENTS[type]
const said = (outcome: Outcome): string => outcome.kind === 'moved' ? outcome.job.state : outcome.kind

describe('the table', () => {
  it('names every state and every event', () => {
    expect(header).toEqual(STATES)
    expect(rows.map(([event]) => event)).toEqual(Object.keys(EVENTS))
    expect(cells).toHaveLength(7 * 17)
  })

  it.each(cells)('%s × %s → %s', (state, type, cell) => {
    expect(said(transition(frozen(JOBS[state]), frozen(eventOf(state, type)), NOW))).toBe(cell)
  })

  it('names state and event in the error of a refused cell', () => {
    expect(invalidState(JOBS.dead, 'promote')).toMatchObject({ code: 'INVALID_STATE', name: 'InvalidStateError', message: expect.stringMatching(/is dead.*cannot promote/), details: { id: JOBS.dead.id, state: 'dead', event: 'promote' } })
  })
})

it('a wait begins anew when the clock was set back, but a time that was named stays', () => {
  const failed = after(jobOf({ state: 'active', startedAt: NOW, backoff: { type: 'fixed', delayMs: 5000, jitter: 0 } }), FAIL)
  expect(failed).toMatchObject({ runAt: NOW + 5000, since: NOW })
  expect(after(failed, { type: 'due' }, NOW - HOUR)).toMatchObject({ state: 'delayed', runAt: NOW - HOUR + 5000, since: NOW - HOUR })
  const named = after(JOBS.delayed, { type: 'update', patch: { runAt: NOW + HOUR } })
  expect(transition(named, { type: 'due' }, NOW - HOUR)).toEqual({ kind: 'ignored' })
})

// ---- starting and waiting ----

describe('a claim', () => {
  it('notes when the job started', () => { expect(after(JOBS.waiting, EVENTS.claim)).toEqual({ ...JOBS.waiting, state: 'active', startedAt: NOW }) })
})

describe('a delayed job', () => {
  it('is not promoted before its time', () => { expect(transition(jobOf({ state: 'delayed', runAt: NOW + 1 }), EVENTS.due, NOW)).toEqual({ kind: 'ignored' }) })
  it('forgets its time when it is due', () => { expect(after(JOBS.delayed, EVENTS.due)).toEqual(jobOf({ state: 'waiting' })) })
  it('comes back before its time when a person wants it now', () => { expect(after(jobOf({ state: 'delayed', runAt: NOW + HOUR }), EVENTS.promote)).toEqual(jobOf({ state: 'waiting' })) })
  it('waits for the clock after what blocked it is over, when it was meant for later', () => {
    expect(after(jobOf({ state: 'blocked', runAt: NOW + HOUR }), EVENTS.unblock)).toEqual(jobOf({ state: 'delayed', runAt: NOW + HOUR }))
  })
})

// ---- endings ----

describe('complete', () => {
  it('keeps the result and when it ran', () => { expect(after(JOBS.active, EVENTS.complete)).toEqual(jobOf({ state: 'completed', startedAt: NOW - 50, endedAt: NOW, result: 42 })) })
  it('has no result field without a result', () => { expect(after(JOBS.active, { type: 'complete' })).not.toHaveProperty('result') })
  it('lets a job with removeOnComplete go', () => { expect(transition({ ...JOBS.active, removeOnComplete: true }, EVENTS.complete, NOW).kind).toBe('gone') })
})

describe('fail', () => {
  it('counts the failure, notes the attempt and waits for the backoff', () => {
    expect(after(JOBS.active, FAIL)).toEqual(jobOf({
      state: 'delayed', failures: 1, runAt: NOW + 1000, since: NOW, attempts: [{ startedAt: NOW - 50, endedAt: NOW, error: ERROR, owner: 'tab' }],
    }))
  })
  it('waits twice as long after the second', () => { expect(after({ ...JOBS.active, failures: 1 }, FAIL).runAt).toBe(NOW + 2000) })
  it('takes its own backoff and its own chance', () => {
    expect(after({ ...JOBS.active, backoff: { type: 'fixed', delayMs: 500, jitter: 1 } }, { ...FAIL, random: 0.5 }).runAt).toBe(NOW + 250)
  })
  it('waits as long as the handler said instead', () => { expect(after(JOBS.active, { ...FAIL, afterMs: HOUR }).runAt).toBe(NOW + HOUR) })
  it('runs again at once when there is nothing to wait for', () => { expect(after(JOBS.active, { ...FAIL, afterMs: 0 })).toMatchObject({ state: 'waiting', failures: 1 }) })
  it('is dead at the last failure', () => {
    const dead = after({ ...JOBS.active, failures: 2 }, FAIL)
    expect(dead).toMatchObject({ state: 'dead', failures: 3, reason: 'failed', endedAt: NOW, fingerprint: expect.stringMatching(/^[0-9a-f]{8}$/) })
    expect(dead.attempts).toHaveLength(1)
  })
  it('is dead at once when unrecoverable, whatever attempts are left', () => {
    expect(after(JOBS.active, { ...FAIL, final: 'unrecoverable', afterMs: 5 })).toMatchObject({ state: 'dead', failures: 1, reason: 'unrecoverable' })
  })
  it('without an answer is dead of that at the last one only, and remembers until then that it may have arrived', () => {
    expect(after(JOBS.active, { ...FAIL, unanswered: true })).toMatchObject({ state: 'delayed', failures: 1, unanswered: true })
    expect(after({ ...JOBS.active, failures: 2 }, { ...FAIL, unanswered: true })).toMatchObject({ state: 'dead', failures: 3, reason: 'no-answer' })
  })
  it('lets a job with removeOnFail go at its death, and not before', () => {
    const job = { ...JOBS.active, removeOnFail: true, maxAttempts: 2 }
    expect(transition(job, FAIL, NOW).kind).toBe('moved')
    expect(transition({ ...job, failures: 1 }, FAIL, NOW)).toMatchObject({ kind: 'gone', job: { state: 'dead' } })
  })
  it('keeps the last 20 attempts', () => {
    let job: Job = { ...JOBS.active, maxAttempts: 100 }
    for (let n = 1; n <= 25; n++) job = { ...after(job, { ...FAIL, owner: `tab ${n}` }), state: 'active' }
    expect(job.failures).toBe(25)
    expect(job.attempts?.map(({ owner }) => owner)).toEqual(Array.from({ length: 20 }, (_, i) => `tab ${i + 6}`))
  })
})

describe('snooze and release', () => {
  it('a snoozed job comes back later and has failed nothing', () => { expect(after(JOBS.active, EVENTS.snooze)).toEqual(jobOf({ state: 'delayed', runAt: NOW + HOUR, since: NOW })) })
  it('a released job counts nothing', () => { expect(after(JOBS.active, EVENTS.release)).toEqual(jobOf({ state: 'waiting' })) })
  it('a released request remembers a 401 until it has another answer', () => {
    const refused = jobOf({ state: 'active', refused: 3 })
    expect(after(JOBS.active, { type: 'release', refused: 3 })).toEqual(jobOf({ state: 'waiting', refused: 3 }))
    expect(after(refused, EVENTS.release)).toEqual(jobOf({ state: 'waiting', refused: 3 }))
    expect(after(refused, { type: 'release', refused: false })).toEqual(jobOf({ state: 'waiting' }))
    expect(after(refused, EVENTS.fail)).not.toHaveProperty('refused')
  })
  it('what is edited has not been asked before, so that its 409 is none of its own', () => {
    for (const job of [after({ ...JOBS.dead, unanswered: true }, { type: 'retry', edit: { data: 2 } }), after({ ...JOBS.waiting, unanswered: true }, { type: 'update', patch: { data: 2 } })]) expect([job.revision, job.unanswered]).toEqual([1, undefined])
    for (const job of [after({ ...JOBS.dead, unanswered: true }, { type: 'retry' }), after({ ...JOBS.waiting, unanswered: true }, { type: 'update', patch: { priority: 2 } })]) expect(job.unanswered).toBe(true)
  })
  it('a released request that may have arrived is remembered as such', () => { expect(after(JOBS.active, { type: 'release', unanswered: true })).toEqual(jobOf({ state: 'waiting', unanswered: true })) })
})

describe('stall', () => {
  it('is no failure: the job returns to its place', () => {
    expect(after(JOBS.active, STALL)).toMatchObject({ state: 'waiting', stalls: 1, failures: 0, position: JOBS.active.position, attempts: [{ owner: 'tab', error: { name: 'StalledError' } }] })
  })
  it('the fifth still comes back, the sixth is dead', () => {
    expect(after({ ...JOBS.active, stalls: 4 }, STALL)).toMatchObject({ state: 'waiting', stalls: 5 })
    expect(after({ ...JOBS.active, stalls: 5 }, STALL)).toMatchObject({ state: 'dead', stalls: 6, reason: 'stalled', failures: 0 })
  })
})

// ---- what a person does ----

describe('cancel', () => {
  it.each(['waiting', 'delayed', 'blocked'] as const)('ends a %s job with its reason', (state) => {
    expect(after(JOBS[state], EVENTS.cancel)).toEqual(jobOf({ state: 'cancelled', reason: 'changed my mind', endedAt: NOW }))
  })
  it('is only recorded while the job runs', () => { expect(after(JOBS.active, EVENTS.cancel)).toEqual({ ...JOBS.active, cancelRequested: { reason: 'changed my mind', remove: false } }) })

  const asked = after(JOBS.active, EVENTS.cancel)
  it.each(['complete', 'fail', 'snooze', 'release', 'stall'] as const)('a job asked to stop ends as cancelled though its handler ends by %s', (type) => {
    expect(after(asked, EVENTS[type])).toEqual(jobOf({ state: 'cancelled', reason: 'changed my mind', endedAt: NOW }))
  })
  it('a job asked to stop ends as cancelled at its last failure and its last stall too', () => {
    expect(after({ ...asked, failures: 2 }, FAIL).state).toBe('cancelled')
    expect(after({ ...asked, stalls: 5 }, STALL).state).toBe('cancelled')
    expect(after(asked, { ...FAIL, final: 'unrecoverable' }).state).toBe('cancelled')
  })
  it('asked twice changes nothing', () => { expect(transition(asked, { type: 'cancel', reason: 'again' }, NOW)).toEqual({ kind: 'ignored' }) })
})

describe('remove', () => {
  it('lets a running job go when its handler has ended, however it ends', () => {
    const asked = after(JOBS.active, EVENTS.remove)
    for (const type of ['complete', 'fail', 'snooze', 'release', 'stall'] as const) expect(transition(asked, EVENTS[type], NOW)).toMatchObject({ kind: 'gone', job: { state: 'cancelled' } })
    for (const type of ['cancel', 'remove'] as const) expect(transition(asked, EVENTS[type], NOW)).toEqual({ kind: 'ignored' })
  })
  it('comes on top of a cancel, whose reason stays', () => {
    expect(after(after(JOBS.active, EVENTS.cancel), EVENTS.remove).cancelRequested).toEqual({ reason: 'changed my mind', remove: true })
  })
})

describe('retry', () => {
  const dead: Job = {
    ...JOBS.dead, stalls: 6, attempts: [{ startedAt: 1, endedAt: 2, error: ERROR, owner: 'tab' }], progress: 50, progressMessage: 'half', expiresAt: NOW - 1,
    logs: [{ at: 1, message: 'kept' }],
  }
  it('gives fresh attempts in its old place, and keeps what it went through', () => {
    expect(after(dead, EVENTS.retry)).toEqual(jobOf({ state: 'waiting', failures: 0, stalls: 0, attempts: [{ startedAt: 1, endedAt: 2, error: ERROR, owner: 'tab' }], logs: [{ at: 1, message: 'kept' }] }))
  })
  it('forgets the result of a completed job', () => { expect(after(JOBS.completed, EVENTS.retry)).toEqual(jobOf({ state: 'waiting' })) })
  it('takes edited data, which gives the idempotency key a new revision', () => {
    const once = after(dead, { type: 'retry', edit: { data: { to: 'bob' } } })
    expect(once).toMatchObject({ data: { to: 'bob' }, revision: 1 })
    expect(after({ ...once, state: 'dead' }, { type: 'retry', edit: { data: undefined } })).toMatchObject({ revision: 2, data: undefined })
  })
  it('takes new options', () => {
    expect(after(dead, { type: 'retry', options: { priority: 9, maxAttempts: 8, tags: ['again'] } })).toMatchObject({ state: 'waiting', priority: 9, maxAttempts: 8, tags: ['again'] })
    expect(after(dead, { type: 'retry', options: { delayMs: HOUR } })).toMatchObject({ state: 'delayed', runAt: NOW + HOUR })
  })
  it('takes a new time to live, as push does', () => {
    expect(after(dead, { type: 'retry', options: { ttlMs: HOUR } }).expiresAt).toBe(NOW + HOUR)
  })
})

describe('update', () => {
  it('moves a waiting job to the clock, and back', () => {
    const later = after(JOBS.waiting, { type: 'update', patch: { runAt: NOW + HOUR } })
    expect(later).toEqual(jobOf({ state: 'delayed', runAt: NOW + HOUR }))
    expect(after(later, { type: 'update', patch: { runAt: NOW } })).toEqual(jobOf({ state: 'waiting' }))
  })
  it('leaves the time of a delayed job alone when it speaks of something else', () => {
    expect(after(jobOf({ state: 'delayed', runAt: NOW + HOUR }), { type: 'update', patch: { priority: 3 } })).toEqual(jobOf({ state: 'delayed', runAt: NOW + HOUR, priority: 3 }))
  })
  it('keeps a blocked job blocked', () => { expect(after(JOBS.blocked, { type: 'update', patch: { runAt: NOW + HOUR } })).toEqual(jobOf({ state: 'blocked', runAt: NOW + HOUR })) })
  it('counts edits of data only', () => {
    expect(after(JOBS.waiting, { type: 'update', patch: { data: 1 } })).toMatchObject({ data: 1, revision: 1 })
    expect(after(JOBS.waiting, { type: 'update', patch: { priority: 1 } })).not.toHaveProperty('revision')
  })
})

describe('orphan', () => {
  it('is death without a failure, or a cancel', () => {
    expect(after(JOBS.blocked, EVENTS.orphan)).toMatchObject({ state: 'dead', reason: 'parent', failures: 0, endedAt: NOW })
    expect(after(JOBS.blocked, { type: 'orphan', by: 'cancel' })).toEqual(jobOf({ state: 'cancelled', reason: 'parent', endedAt: NOW }))
  })
})

describe('expire', () => {
  it('is death without a failure', () => { expect(after(JOBS.blocked, EVENTS.expire)).toMatchObject({ state: 'dead', reason: 'expired', failures: 0, endedAt: NOW }) })
  it('lets a job with removeOnFail go', () => { expect(transition({ ...JOBS.waiting, removeOnFail: true }, EVENTS.expire, NOW).kind).toBe('gone') })
})

// ---- whatever happens ----

const anyEvent: fc.Arbitrary<JobEvent> = fc.oneof(
  fc.constantFrom<JobEvent>(...Object.values(EVENTS)),
  fc.record({ type: fc.constant('fail' as const), error: fc.constant(ERROR), owner: fc.string(), random: fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true }) }),
  fc.record({ type: fc.constant('fail' as const), error: fc.constant(ERROR), owner: fc.string(), random: fc.constant(0), final: fc.constant('unrecoverable' as const) }),
  fc.record({ type: fc.constant('snooze' as const), ms: fc.integer({ min: 0, max: HOUR }) }),
  fc.record({ type: fc.constant('update' as const), patch: fc.record({ priority: fc.integer({ min: -5, max: 5 }), runAt: fc.integer({ min: NOW - HOUR, max: NOW + HOUR }) }, { requiredKeys: [] }) }),
)

/** Fields that belong to some states only. */
const ONLY: Readonly<Record<string, readonly State[]>> = {
  runAt: ['delayed', 'blocked'], startedAt: ['active', 'completed'], endedAt: ['completed', 'cancelled', 'dead'], cancelRequested: ['active'],
  result: ['completed'], reason: ['cancelled', 'dead'], fingerprint: ['dead'],
}

describe('through any life', () => {
  it('is total and pure, keeps what a job is, counts within its bounds, and leaves nothing of a former state', () => {
    fc.assert(fc.property(fc.integer({ min: 1, max: 4 }), fc.array(anyEvent, { maxLength: 40 }), (maxAttempts, events) => {
      let job = jobOf({ maxAttempts })
      let now = NOW
      for (const event of events) {
        now += 1000
        const outcome = transition(frozen(job), frozen(event), now)
        expect(transition(job, event, now)).toEqual(outcome)
        if (outcome.kind === 'ignored' || outcome.kind === 'refused') continue
        const { id, seq, queue, name, position, data, createdAt } = outcome.job
        expect({ id, seq, queue, name, position, data, createdAt }).toEqual({ id: job.id, seq: job.seq, queue: job.queue, name: job.name, position: job.position, data: job.data, createdAt: job.createdAt })
        if (outcome.kind === 'gone') return
        job = outcome.job
        expect(STATES).toContain(job.state)
        expect(job.failures).toBeLessThanOrEqual(maxAttempts)
        if (job.failures === maxAttempts) expect(job.state).toBe('dead')
        expect(job.stalls).toBeLessThanOrEqual(job.state === 'dead' ? 6 : 5)
        expect(job.attempts?.length ?? 0).toBeLessThanOrEqual(20)
        for (const [field, states] of Object.entries(ONLY)) if (field in job) expect(states, `${field} when ${job.state}`).toContain(job.state)
      }
    }), { numRuns: 300 })
  })
})
