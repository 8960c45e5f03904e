/** An address in a folder that others write to as well. */
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs'
import { once } from 'node:events'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, it, onTestFinished, vi } from 'vitest'
import { whenFree } from '../../src/electron/alive.ts'

function folder(): string {
  const made = mkdtempSync(join(tmpdir(), 'holdfast-alive-'))
  onTestFinished(() => { rmSync(made, { recursive: true }); vi.restoreAllMocks(); vi.useRealTimers() })
  return made
}

it('what cannot be removed is said once, and holds up nobody', async () => {
  const said = vi.spyOn(console, 'error').mockImplementation(() => {})
  const address = join(folder(), 'taken')
  mkdirSync(join(address, 'by-another'), { recursive: true })
  await whenFree(address)
  expect(said).toHaveBeenCalledTimes(1)
})

it('whoever lives there is waited for, and that is said', async () => {
  const said = vi.spyOn(console, 'error').mockImplementation(() => {})
  const address = join(folder(), 'lives')
  const server = createServer().listen(address)
  await once(server, 'listening')
  const held = once(server, 'connection')
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] })
  const free = whenFree(address)
  const [socket] = await held as [{ destroy(): void }]
  vi.advanceTimersByTime(10_000)
  expect(said).toHaveBeenCalledWith(expect.stringContaining(address))
  server.close()
  socket.destroy()
  await free
})
