/** What main knows of the network, told to the page as a browser tells it: by `navigator.onLine` and its events. */
export interface MainsWord {
  say(online: boolean): void
  /** It may be back. */
  sign(): void
}

export function hearMain(): MainsWord {
  let main = true
  const own = Object.getOwnPropertyDescriptor(navigator, 'onLine')
  const device = (own ?? Object.getOwnPropertyDescriptor(Navigator.prototype, 'onLine'))?.get?.bind(navigator) as (() => boolean) | undefined
  Object.defineProperty(navigator, 'onLine', { configurable: true, get: () => main && device?.() !== false })
  const tell = (): void => { window.dispatchEvent(new Event(navigator.onLine ? 'online' : 'offline')) }
  return {
    say(online) {
      if (online === main) return
      main = online
      tell()
    },
    sign: tell,
  }
}
