/** Five steps through the story, for a first visit. A step is done by doing it; the strip goes away for good when it is hidden. */
import { byId, setText } from './dom.ts'

const KEY = 'harbour-mail.hints'
const LAST = 5

let step = Number(localStorage.getItem(KEY) ?? 1)

export function startHints(): void {
  byId('hide-hints').addEventListener('click', () => go(LAST + 2))
  // Loading the page again is what the third step asks for.
  if (step === 3) step = 4
  go(step > LAST ? LAST + 2 : step)
}

/** The visitor did what this step asks; of no account while another is due. */
export function didStep(done: number): void {
  if (step === done) go(done + 1)
}

function go(next: number): void {
  step = next
  localStorage.setItem(KEY, String(step))
  const strip = byId('hints')
  strip.hidden = step > LAST + 1
  Array.from(strip.querySelectorAll('li'), (item, i) => {
    item.classList.toggle('done', i + 1 < step)
    if (i + 1 === step) item.setAttribute('aria-current', 'step')
    else item.removeAttribute('aria-current')
  })
  setText(byId('hide-hints'), step > LAST ? 'Done' : 'Hide hints')
  for (const target of document.querySelectorAll<HTMLElement>('[data-hint]')) {
    const mine = !strip.hidden && target.dataset.hint?.split(' ').includes(String(step))
    if (mine) target.dataset.step = String(step)
    else delete target.dataset.step
  }
}
