/** One job can be followed: pointed at for a moment, or held by a click. It is marked wherever it appears, the server's account included. */
let held: string | undefined
let pointed: string | undefined
const listeners: Array<() => void> = []

export const followed = (): string | undefined => pointed ?? held

export function onFollow(listener: () => void): void {
  listeners.push(listener)
}

/** Makes whatever carries `data-job` inside `root` followable. */
export function followable(root: HTMLElement): void {
  const jobAt = (target: EventTarget | null): string | undefined =>
    target instanceof Element ? target.closest<HTMLElement>('[data-job]')?.dataset.job : undefined
  root.addEventListener('pointerover', (event) => point(event.pointerType === 'mouse' ? jobAt(event.target) : undefined))
  root.addEventListener('pointerleave', () => point(undefined))
  root.addEventListener('focusin', (event) => point(jobAt(event.target)))
  root.addEventListener('focusout', () => point(undefined))
  root.addEventListener('click', (event) => {
    const id = event.target instanceof Element ? event.target.closest<HTMLElement>('button[data-job]')?.dataset.job : undefined
    if (!id) return
    held = id === held ? undefined : id
    changed()
  })
}

function point(id: string | undefined): void {
  if (id === pointed) return
  pointed = id
  changed()
}

/** Also after drawing, since new elements do not know yet. */
export function markFollowed(): void {
  const id = followed()
  for (const element of document.querySelectorAll<HTMLElement>('[data-job]')) element.classList.toggle('followed', element.dataset.job === id)
}

function changed(): void {
  markFollowed()
  for (const listener of listeners) listener()
}
