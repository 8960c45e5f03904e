/** Where the mail server is: beside the page, or on its own port when the page comes from the desktop app. */
const base = location.protocol.startsWith('http') ? location.origin : 'http://127.0.0.1:4040'

export const api = (path: string): string => `${base}${path}`

export const apiOrigin = new URL(base).origin
