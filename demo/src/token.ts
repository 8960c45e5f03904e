/** A job as a small token: one element for as long as it is in sight, wherever in the river it is. */
import type { Job } from 'holdfast'
import { el, setText } from './dom.ts'
import { attemptOf, mailOf, shortName } from './mail.ts'
import { wait } from './format.ts'

export type Look = 'named' | 'bare'

const pool = new Map<string, HTMLLIElement>()

export function tokenFor(job: Job): HTMLLIElement {
  const known = pool.get(job.id)
  if (known) return known
  const token = el('li', 'token')
  const button = el('button')
  button.type = 'button'
  button.tabIndex = -1
  button.dataset.job = job.id
  button.append(el('span', 'glyph'), el('span', 'name'), el('span', 'figure'))
  token.append(button)
  pool.set(job.id, token)
  return token
}

export function fillToken(token: HTMLElement, job: Job, look: Look, figure = ''): void {
  const [button] = token.children as unknown as [HTMLButtonElement]
  const [glyph, name, number] = button.children as unknown as [HTMLElement, HTMLElement, HTMLElement]
  token.classList.toggle('bare', look === 'bare')
  token.classList.toggle('first', job.priority > 0)
  glyph.dataset.state = job.state
  setText(name, shortName(mailOf(job)))
  setText(number, figure)
  const label = describe(job)
  if (button.title !== label) button.title = label
}

function describe(job: Job): string {
  const { kind, to } = mailOf(job)
  const tries = job.failures > 0 ? `, attempt ${attemptOf(job)} of ${job.maxAttempts}` : ''
  return `${kind} to ${to}, ${job.state === 'completed' ? 'sent' : job.state}${job.priority ? `, priority ${job.priority}` : ''}${tries}`
}

export function setFigure(token: HTMLElement, text: string): void {
  const figure = token.querySelector<HTMLElement>('.figure')
  if (figure) setText(figure, text)
}

export const retryFigure = (job: Job, now: number): string => `${wait((job.runAt ?? now) - now)} · ${attemptOf(job)}/${job.maxAttempts}`

/** Draws, then lets each token that changed its place travel there, and forgets those that left. */
export function travelling(draw: () => void): void {
  const still = matchMedia('(prefers-reduced-motion: reduce)').matches
  const before = new Map<string, { readonly list: Element | null; readonly box: DOMRect }>()
  if (!still) for (const [id, token] of pool) before.set(id, { list: token.parentElement, box: token.getBoundingClientRect() })
  draw()
  for (const [id, token] of pool) {
    if (!token.isConnected) {
      pool.delete(id)
      continue
    }
    const from = before.get(id)
    if (!from?.list || from.list === token.parentElement) continue
    const to = token.getBoundingClientRect()
    const above = { zIndex: 2 }
    token.animate([{ ...above, translate: `${from.box.x - to.x}px ${from.box.y - to.y}px` }, { ...above, translate: '0 0' }], { duration: 150, easing: 'ease-out' })
  }
}

/** One tab stop for a list of tokens; the arrow keys go on from there. */
export function roving(list: HTMLElement): void {
  const back = new Set(['ArrowUp', list.classList.contains('upstream') ? 'ArrowRight' : 'ArrowLeft'])
  const on = new Set(['ArrowDown', list.classList.contains('upstream') ? 'ArrowLeft' : 'ArrowRight'])
  list.addEventListener('keydown', (event) => {
    const step = back.has(event.key) ? -1 : on.has(event.key) ? 1 : 0
    if (!step) return
    const buttons = Array.from(list.querySelectorAll('button'))
    const target = buttons[buttons.indexOf(document.activeElement as HTMLButtonElement) + step]
    if (!target) return
    event.preventDefault()
    target.focus()
  })
  list.addEventListener('focusin', (event) => stopAt(list, event.target as HTMLButtonElement))
}

export function stopAt(list: HTMLElement, button = list.querySelector<HTMLButtonElement>('button[tabindex="0"]') ?? list.querySelector('button')): void {
  for (const other of list.querySelectorAll('button')) other.tabIndex = other === button ? 0 : -1
}
