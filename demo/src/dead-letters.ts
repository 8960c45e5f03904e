/** What cannot succeed by itself: what happened, to what, and what can be done. */
import type { Job, Queue } from 'holdfast'
import type { Board } from './board.ts'
import { byId, el, keepingFocus, keyed, setText } from './dom.ts'
import { ago, count, plural, shortId } from './format.ts'
import { errorOf, mailOf } from './mail.ts'
import { notice } from './notice.ts'

const shownAs = new Map<string, Job>()

export function startDeadLetters(queue: Queue): void {
  byId('dead').addEventListener('click', (event) => {
    const id = event.target instanceof Element ? event.target.closest<HTMLElement>('[data-retry]')?.dataset.retry : undefined
    if (id) queue.retry(id).catch(notice)
  })
  byId('retry-all').addEventListener('click', () => {
    queue.retryAll({ state: 'dead' }).catch(notice)
  })
  setInterval(() => { for (const [id, job] of shownAs) age(id, job) }, 5000)
}

export function drawDeadLetters({ dead }: Board): void {
  const list = byId('dead')
  shownAs.clear()
  keepingFocus(() => keyed(list, dead.jobs, (job) => job.id, makeRow, fillRow))
  setText(byId('dead-count'), count(dead.total))
  const all = byId('retry-all')
  all.hidden = dead.total === 0
  setText(all, `Retry ${plural(dead.total, 'job')}`)
  setText(byId('dead-more'), dead.total > dead.jobs.length ? `+ ${count(dead.total - dead.jobs.length)}` : '')
  const refused = dead.jobs.some((job) => happened(job).includes('422'))
  setText(byId('advice'), refused ? 'Let the server take any address, then retry.' : '')
  list.parentElement?.classList.toggle('is-empty', dead.total === 0)
}

function makeRow(job: Job): HTMLElement {
  const row = el('li', 'letter')
  row.dataset.job = job.id
  const retry = el('button', '', 'Retry')
  retry.type = 'button'
  retry.dataset.retry = job.id
  const glyph = el('span', 'glyph')
  glyph.dataset.state = 'dead'
  row.append(glyph, el('p', 'what'), el('p', 'why'), retry)
  row.children[1]?.append(el('b'), el('span', 'to'), el('code'), el('time'))
  return row
}

function fillRow(row: HTMLElement, job: Job): void {
  shownAs.set(job.id, job)
  const { kind, to } = mailOf(job)
  const [name, address, id] = row.querySelectorAll<HTMLElement>('b, .to, code') as unknown as [HTMLElement, HTMLElement, HTMLElement]
  setText(name, kind)
  setText(address, to)
  setText(id, shortId(job.id))
  id.title = job.id
  setText(row.querySelector('.why') as HTMLElement, what(job))
  row.querySelector('button')?.setAttribute('aria-label', `Retry ${kind} to ${to}`)
  age(job.id, job, row)
}

function age(id: string, job: Job, row = byId('dead').querySelector<HTMLElement>(`[data-job="${CSS.escape(id)}"]`)): void {
  const time = row?.querySelector('time')
  if (!time || !job.endedAt) return
  time.dateTime = new Date(job.endedAt).toISOString()
  time.title = new Date(job.endedAt).toLocaleString()
  setText(time, ago(Date.now() - job.endedAt))
}

const happened = (job: Job): string => errorOf(job) ?? job.reason ?? 'It failed.'

function what(job: Job): string {
  const text = happened(job)
  const tries = job.attempts?.length ?? 0
  return `${text}${/[.!?]$/.test(text) ? '' : '.'}${tries > 1 ? ` ${plural(tries, 'attempt')}.` : ''}`
}
