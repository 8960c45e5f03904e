/** What no page may do, whatever has become of it: leave the app's origin, open windows by itself, embed others, get permissions. */
import { app, session, type WebContents } from 'electron'

export interface Guard {
  readonly origin: string
  readonly permissions: readonly string[]
  /** A page asks for a window at this address of the app. */
  open(path: string): void
}

export function guard({ origin, permissions, open }: Guard): void {
  const isOurs = (url: string): boolean => url === origin || url.startsWith(`${origin}/`)

  function guardContents(contents: WebContents): void {
    contents.on('will-frame-navigate', (event) => { if (!isOurs(event.url)) event.preventDefault() })
    contents.on('will-redirect', (event) => { if (!isOurs(event.url)) event.preventDefault() })
    contents.on('will-attach-webview', (event) => { event.preventDefault() })
    // Its windows are made by main, with nothing that the page could say of them.
    contents.setWindowOpenHandler(({ url }) => {
      if (isOurs(url)) open(url.slice(origin.length))
      return { action: 'deny' }
    })
  }
  app.on('web-contents-created', (_event, contents) => { guardContents(contents) })

  const { defaultSession } = session
  const may = (permission: string, from: string): boolean => isOurs(from) && permissions.includes(permission)
  defaultSession.setPermissionRequestHandler((_contents, permission, answer, { requestingUrl }) => { answer(may(permission, requestingUrl)) })
  defaultSession.setPermissionCheckHandler((_contents, permission, from) => may(permission, from.replace(/\/$/, '')))
  defaultSession.setDevicePermissionHandler(() => false)
}
