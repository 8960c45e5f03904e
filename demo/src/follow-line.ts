/** One line about the job that is followed. */
import type { Job } from 'holdfast'
import type { Board } from './board.ts'
import { byId, el, setText } from './dom.ts'
import { followed, onFollow } from './follow.ts'
import { duration, shortId, wait } from './format.ts'
import { attemptOf, errorOf, mailOf } from './mail.ts'

const jobs = new Map<string, Job>()
let lastSeen: Job | undefined

export function startFollowLine(): void {
  byId('follow').append(el('span', 'glyph'), el('b'), el('span', 'story'), el('code'))
  onFollow(draw)
  setInterval(draw, 250)
  draw()
}

export function drawFollow({ waiting, delayed, active, sent, dead }: Board): void {
  jobs.clear()
  for (const { jobs: shown } of [waiting, delayed, active, sent, dead]) for (const job of shown) jobs.set(job.id, job)
  draw()
}

function draw(): void {
  const id = followed()
  if (id !== lastSeen?.id || (id && jobs.has(id))) lastSeen = id ? jobs.get(id) : undefined
  const [glyph, name, story, code] = byId('follow').children as unknown as [HTMLElement, HTMLElement, HTMLElement, HTMLElement]
  const job = lastSeen
  glyph.hidden = !job
  if (!job) {
    setText(name, '')
    setText(story, 'Point at a job to follow it, click to keep it in sight.')
    setText(code, '')
    return
  }
  glyph.dataset.state = job.state
  const { kind, to } = mailOf(job)
  setText(name, `${kind} to ${to}`)
  setText(story, tell(job, Date.now()))
  story.title = errorOf(job) ?? ''
  setText(code, shortId(job.id))
  code.title = job.id
}

function tell(job: Job, now: number): string {
  const attempt = `attempt ${attemptOf(job)}/${job.maxAttempts}`
  const error = errorOf(job)
  switch (job.state) {
    case 'active': return `${attempt}, under way for ${duration(now - (job.startedAt ?? now))}`
    case 'delayed': return `${attempt} in ${wait((job.runAt ?? now) - now)}${error ? `, after ${error}` : ''}`
    case 'completed': return `sent at ${attempt}, ${duration((job.endedAt ?? now) - job.createdAt)} after it was stored`
    case 'dead': return error ?? job.reason ?? 'dead'
    case 'waiting': case 'blocked': case 'cancelled': return job.failures ? `${job.state}, ${attempt}` : `${job.state} for ${duration(now - job.createdAt)}${job.priority ? `, priority ${job.priority}` : ''}`
  }
}
