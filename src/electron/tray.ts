/** The queue as a tray icon: how many jobs there are, and what can be done with all windows closed. */
import { app, Menu, Tray, type MenuItemConstructorOptions } from 'electron'
import type { Queue, Stats } from '../queue.ts'

export interface TrayOptions {
  /** A file with the icon. */
  readonly icon: string
  /** Items of the app's own, above Quit. */
  readonly items?: readonly MenuItemConstructorOptions[]
}

type Watched = Pick<Queue, 'stats' | 'queues' | 'pause' | 'resume'>

export interface QueueTray {
  show(stats: Stats): void
}

export function queueTray(queue: Watched, { icon, items = [] }: TrayOptions, open: () => void): QueueTray {
  const tray = new Tray(icon)
  tray.on('click', open)
  tray.setToolTip(app.getName())

  async function pauseAll(paused: boolean): Promise<void> {
    for (const one of await queue.queues()) await (paused ? queue.resume(one) : queue.pause(one))
  }

  return {
    show({ counts, queues }) {
      const paused = queues.length > 0 && queues.every((one) => one.paused)
      const text = countsText(counts)
      tray.setToolTip(`${app.getName()}: ${text}`)
      tray.setContextMenu(Menu.buildFromTemplate([
        { label: text, enabled: false },
        { type: 'separator' },
        { label: 'Open', click: open },
        { label: paused ? 'Resume jobs' : 'Pause jobs', click: () => { pauseAll(paused).catch(console.error) } },
        ...items,
        { type: 'separator' },
        { label: 'Quit', click: () => { app.quit() } },
      ]))
    },
  }
}

export function countsText({ waiting, delayed, blocked, active, dead }: Stats['counts']): string {
  const parts = [[waiting + delayed + blocked, 'waiting'], [active, 'active'], [dead, 'dead']] as const
  const said = parts.filter(([count]) => count > 0).map(([count, state]) => `${count} ${state}`)
  return said.length > 0 ? said.join(', ') : 'no jobs'
}
