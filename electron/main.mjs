// @ts-check
// Harbour Mail as a desktop app: the demo's page in windows, its mails and its Node jobs in the background.
import { app, dialog, Menu, Notification } from 'electron'
import { readdir } from 'node:fs/promises'
import { basename, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { main } from 'holdfast/electron/main'

const path = (/** @type {string} */ relative) => fileURLToPath(new URL(relative, import.meta.url))

const queue = main({
  name: 'harbour-mail',
  host: 'holdfast',
  pages: path('../dist-desktop'),
  dev: process.env.HOLDFAST_DEV,
  connect: ['http://127.0.0.1:4040'],
  window: { useContentSize: true },
  tray: { icon: path('./tray.png'), items: [{ label: 'Hash a folder…', click: () => void hashFolder() }] },
})
queue.handle('files', new URL('./hash.mjs', import.meta.url), { concurrency: 2 })
queue.on('dead', ({ name, error }) => {
  new Notification({ title: `${name} needs a decision`, body: error?.message ?? 'It cannot succeed by itself.' }).on('click', () => queue.open()).show()
})

void app.whenReady().then(() => {
  Menu.setApplicationMenu(menu())
  queue.open()
})

/** Each file is a job, in a process of Node; the page shows how far they are. */
async function hashFolder() {
  const { filePaths: [folder] } = await dialog.showOpenDialog({ properties: ['openDirectory'] })
  if (folder === undefined) return
  const files = await readdir(folder, { recursive: true, withFileTypes: true })
  const items = files.filter((file) => file.isFile()).map((file) => ({ name: 'hash', data: { path: join(file.parentPath, file.name), to: basename(file.name) } }))
  await queue.pushMany('files', items)
}

function menu() {
  const canStartAtLogin = process.platform !== 'linux'
  return Menu.buildFromTemplate([
    ...(process.platform === 'darwin' ? [{ role: /** @type {const} */ ('appMenu') }] : []),
    { label: 'Queue', submenu: [
      { label: 'Hash a folder…', click: () => void hashFolder() },
      { label: 'Open', accelerator: 'CmdOrCtrl+N', click: () => { queue.open('/') } },
      { type: 'separator' },
      // Electron knows of it on macOS and Windows only.
      { label: 'Start at login', type: 'checkbox', visible: canStartAtLogin, checked: canStartAtLogin && app.getLoginItemSettings().openAtLogin, click: ({ checked }) => { app.setLoginItemSettings({ openAtLogin: checked }) } },
      { type: 'separator' },
      { role: 'quit' },
    ] },
    { role: 'editMenu' },
    { role: 'viewMenu' },
    { role: 'windowMenu' },
  ])
}
