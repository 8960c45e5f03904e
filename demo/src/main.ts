import { openQueue } from 'holdfast'
import { startAccount } from './account.ts'
import { apiOrigin } from './api.ts'
import { startApp } from './app.ts'
import { closedUntil, watch, type Board } from './board.ts'
import { drawDeadLetters, startDeadLetters } from './dead-letters.ts'
import { byId } from './dom.ts'
import { followable } from './follow.ts'
import { drawFollow, startFollowLine } from './follow-line.ts'
import { didStep, startHints } from './hints.ts'
import { rememberWorkers } from './kill-worker.ts'
import { simulateNetwork } from './network.ts'
import { notice } from './notice.ts'
import { drawRiver, startRiver } from './river.ts'
import { drawNetwork, startTrouble } from './trouble.ts'

declare global {
  interface Window { holdfast: Awaited<ReturnType<typeof openQueue>> }
}

simulateNetwork()
rememberWorkers()

startHints()
startRiver()

const queue = await openQueue('harbour-mail').catch((error: unknown) => {
  notice(error)
  throw error
})
window.holdfast = queue
byId('main').inert = false

startApp(queue)
startTrouble(queue)
startDeadLetters(queue)
startFollowLine()
for (const area of document.querySelectorAll<HTMLElement>('.water, .effects')) followable(area)

let settled = false
let effects = 0
watch(queue, (board: Board) => {
  drawNetwork(closedUntil(board, apiOrigin) !== undefined)
  drawRiver(board)
  drawDeadLetters(board)
  drawFollow(board)
  settled = board.waiting.total + board.active.total + board.delayed.total === 0
  compared()
}, notice)

startAccount(({ total }) => {
  effects = total
  compared()
})
queue.on('pushed', () => didStep(2))

/** Both sides are in sight, and nothing is on its way. */
function compared(): void {
  if (settled && effects > 0) didStep(5)
}

queue.on('degraded', ({ message, reason }) => notice(message ?? reason ?? 'The queue has to do without its worker or its storage.'))
queue.on('outdated', () => notice('A newer version of this page is open in another tab. Reload to go on.'))
