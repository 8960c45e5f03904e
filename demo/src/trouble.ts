/** The switch and the buttons that make trouble on purpose. */
import type { Queue } from 'holdfast'
import { byId, setText } from './dom.ts'
import { didStep } from './hints.ts'
import { killWorker } from './kill-worker.ts'
import { network } from './network.ts'

export function startTrouble(queue: Queue): void {
  byId('network').addEventListener('click', () => network.set(!network.on))
  for (const type of ['online', 'offline']) window.addEventListener(type, () => drawNetwork())
  drawNetwork()

  byId('kill-worker').addEventListener('click', () => void kill(queue))
  byId('reload').addEventListener('click', () => location.reload())
  byId('second-tab').addEventListener('click', () => window.open(location.href, '_blank', 'noopener'))
}

/** @param silent the network is there, the mail server is not */
export function drawNetwork(silent = false): void {
  byId('network').setAttribute('aria-checked', String(network.on))
  const weather = byId('weather')
  weather.dataset.online = String(network.online)
  setText(weather, network.online ? 'online' : 'offline')
  setText(byId('weather-note'), network.online
    ? silent ? 'The mail server does not answer. Mails wait.' : 'Mails go out, four at a time.'
    : network.on ? 'This device has no network. Mails wait.' : 'Mails are stored and wait.')
  didStep(network.on ? 4 : 1)
}

async function kill(queue: Queue): Promise<void> {
  const note = byId('trouble-note')
  killWorker()
  setText(note, 'Worker killed…')
  didStep(3)
  const began = performance.now()
  try {
    await queue.stats()
    setText(note, `A new worker took over in ${Math.round(performance.now() - began)} ms.`)
  } catch (error) {
    setText(note, error instanceof Error ? error.message : String(error))
  }
}
