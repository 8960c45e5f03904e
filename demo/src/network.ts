/**
 * The large switch. It cuts no cable: it makes this page believe what a browser says without a network, `navigator.onLine` and the
 * `offline`/`online` events, which is all that a page, and the queue in it, can know. Kept in localStorage, so that it survives a
 * reload and is the same in every tab.
 */
const KEY = 'harbour-mail.network'
const deviceOnline = Object.getOwnPropertyDescriptor(Navigator.prototype, 'onLine')?.get?.bind(navigator) ?? (() => true)

let on = localStorage.getItem(KEY) !== 'off'

export const network = {
  get on(): boolean { return on },
  /** What the page and the queue are told. */
  get online(): boolean { return on && Boolean(deviceOnline()) },
  set(value: boolean): void {
    localStorage.setItem(KEY, value ? 'on' : 'off')
    turn(value)
  },
}

/** Before the queue is opened: it looks at `navigator.onLine` when it starts. */
export function simulateNetwork(): void {
  Object.defineProperty(navigator, 'onLine', { configurable: true, get: () => network.online })
  for (const type of ['online', 'offline']) {
    // The device's own news must not contradict the switch.
    window.addEventListener(type, (event) => { if (event.isTrusted && !on) event.stopImmediatePropagation() }, { capture: true })
  }
  window.addEventListener('storage', (event) => { if (event.key === KEY) turn(event.newValue !== 'off') })
}

function turn(value: boolean): void {
  if (value === on) return
  on = value
  window.dispatchEvent(new Event(network.online ? 'online' : 'offline'))
}
