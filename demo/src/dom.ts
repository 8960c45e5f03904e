/** The little of the DOM that the demo needs. Text goes in as textContent, never as markup. */

export function byId<E extends HTMLElement = HTMLElement>(id: string): E {
  const found = document.getElementById(id)
  if (!found) throw new Error(`#${id} is missing from index.html`)
  return found as E
}

export function el<K extends keyof HTMLElementTagNameMap>(tag: K, className = '', text = ''): HTMLElementTagNameMap[K] {
  const element = document.createElement(tag)
  if (className) element.className = className
  if (text) element.textContent = text
  return element
}

/** Writes only what changed, so that screen readers and selections are left alone. */
export function setText(element: HTMLElement, text: string): void {
  if (element.textContent !== text) element.textContent = text
}

/** Puts `items` into `list` in order and keeps the element of each key. `make` may hand over an element that stood elsewhere. */
export function keyed<T>(list: HTMLElement, items: readonly T[], key: (item: T) => string, make: (item: T) => HTMLElement, fill: (element: HTMLElement, item: T) => void): void {
  const keys = new Set(items.map(key))
  const kept = new Map<string, HTMLElement>()
  for (const child of Array.from(list.children)) {
    const id = (child as HTMLElement).dataset.key ?? ''
    if (keys.has(id)) kept.set(id, child as HTMLElement)
    else child.remove()
  }
  let next = list.firstElementChild
  for (const item of items) {
    const id = key(item)
    const element = kept.get(id) ?? make(item)
    element.dataset.key = id
    fill(element, item)
    if (element === next) next = next.nextElementSibling
    else list.insertBefore(element, next)
  }
}

/** Moving an element takes its focus away; this gives it back. */
export function keepingFocus(change: () => void): void {
  const focused = document.activeElement
  change()
  if (focused instanceof HTMLElement && focused !== document.activeElement && focused.isConnected) focused.focus({ preventScroll: true })
}
