/** `holdfast/electron/preload`: the keyhole of the engine page. It takes a port from main and hands it to the page; in other windows it does nothing. */
import { contextBridge, ipcRenderer } from 'electron'
import { BRIDGE, CONNECT, ENGINE_ARGUMENT, PORT, type Bridge } from './protocol.ts'

if (process.argv.includes(ENGINE_ARGUMENT)) {
  ipcRenderer.on(PORT, ({ ports }) => { window.postMessage(PORT, location.origin, [...ports]) })
  contextBridge.exposeInMainWorld(BRIDGE, { connect(name) { ipcRenderer.send(CONNECT, String(name)) } } satisfies Bridge)
}
