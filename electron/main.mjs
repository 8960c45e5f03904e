// The demo as a desktop app: the page of dist-demo/ at app://holdfast/. The origin is the identity of the data: it never changes.
import { app, BrowserWindow, net, protocol } from 'electron'
import { join, sep } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'

const home = 'app://holdfast/'
const pages = fileURLToPath(new URL('../dist-demo', import.meta.url))
const policy = "default-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; worker-src 'self' blob:; connect-src 'self' http://127.0.0.1:4040"

protocol.registerSchemesAsPrivileged([
  { scheme: 'app', privileges: { standard: true, secure: true, supportFetchAPI: true, corsEnabled: true, stream: true } },
])
app.enableSandbox()
// Two processes on one profile would fight over the database.
if (!app.requestSingleInstanceLock()) app.quit()
app.on('second-instance', () => BrowserWindow.getAllWindows()[0]?.focus())
app.on('window-all-closed', () => app.quit())
app.on('web-contents-created', (_, contents) => {
  contents.on('will-navigate', (event) => event.url.startsWith(home) || event.preventDefault())
  contents.setWindowOpenHandler(({ url }) => ({ action: url.startsWith(home) ? 'allow' : 'deny' }))
})
void app.whenReady().then(() => {
  protocol.handle('app', serve)
  const window = new BrowserWindow({ width: 1280, height: 800, useContentSize: true, webPreferences: { sandbox: true, contextIsolation: true } })
  return window.loadURL(home)
})

/** @param {Request} request */
async function serve({ url }) {
  const { host, pathname } = new URL(url)
  const file = join(pages, decodeURIComponent(pathname === '/' ? '/index.html' : pathname))
  const found = host === 'holdfast' && file.startsWith(pages + sep) && await net.fetch(pathToFileURL(file).href).catch(() => false)
  if (!found) return new Response('not found', { status: 404 })
  return new Response(found.body, { headers: { 'content-type': found.headers.get('content-type'), 'content-security-policy': policy } })
}
