/** Signs of life of a process, known to whoever comes later: it listens at an address, and the system ends that with it, however it ends. */
import { createHash } from 'node:crypto'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { rmSync } from 'node:fs'

const LONGEST_PATH = 100

/** One for each queue of each app and user. */
export function addressOf(folder: string, queue: string): string {
  const name = createHash('sha256').update(`${folder}\n${queue}`).digest('hex').slice(0, 16)
  if (process.platform === 'win32') return `\\\\.\\pipe\\holdfast-${name}`
  const path = join(folder, `holdfast-${name}`)
  return path.length <= LONGEST_PATH ? path : join(tmpdir(), `holdfast-${name}`)
}

/** Said after so long that somebody lives there. */
const SAY_MS = 10_000

/** Resolves when nobody lives there: at once, or when whoever does has ended. One that another user has left behind holds up nobody. */
export function whenFree(address: string): Promise<void> {
  return new Promise((resolve) => {
    const late = setTimeout(() => { console.error(`holdfast: Node handlers wait until the process that holds ${address} has ended`) }, SAY_MS)
    const free = (): void => {
      clearTimeout(late)
      try { if (process.platform !== 'win32') rmSync(address, { force: true }) } catch (error) { console.error('holdfast: an address cannot be cleared:', error) }
      resolve()
    }
    connect(address).on('error', () => { /* told by what follows */ }).on('close', free).resume()
  })
}
