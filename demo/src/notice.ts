/** One line about what the queue itself could not do. */
import { byId, setText } from './dom.ts'

const SHOWN_MS = 8000
let hiding: ReturnType<typeof setTimeout> | undefined

export function notice(error: unknown): void {
  const line = byId('notice')
  setText(line, error instanceof Error ? error.message : String(error))
  line.hidden = false
  clearTimeout(hiding)
  hiding = setTimeout(() => { line.hidden = true }, SHOWN_MS)
}
