// @ts-check
// The Node handlers of the desktop app: one file, read once, its progress told by the byte.
import { createHash } from 'node:crypto'
import { createReadStream } from 'node:fs'
import { stat } from 'node:fs/promises'

/** @type {import('holdfast/electron/main').NodeHandlers} */
export default {
  async hash(job, { signal, progress }) {
    const { path } = /** @type {{ path: string }} */ (job.data)
    const { size } = await stat(path)
    const hash = createHash('sha256')
    let read = 0
    for await (const chunk of createReadStream(path, { signal })) {
      hash.update(chunk)
      read += chunk.length
      progress(Math.min(100, read / size * 100), `${read} of ${size} bytes`)
    }
    return { sha256: hash.digest('hex'), size }
  },
}
