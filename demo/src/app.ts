/** Harbour Mail, the app: three buttons that queue requests. */
import type { FetchOptions, Queue } from 'holdfast'
import { api } from './api.ts'
import { byId, setText } from './dom.ts'
import { plural, shortId } from './format.ts'
import type { Mail } from './mail.ts'

const CREW = ['ada', 'ben', 'cleo', 'dov', 'eve', 'finn', 'gus', 'hana', 'ivo', 'june']

export function startApp(queue: Queue): void {
  const address = byId<HTMLInputElement>('address')

  const mail = ({ kind, to }: Mail, options: FetchOptions = {}): Promise<string> =>
    queue.fetch(api('/api/mails'), { method: 'POST', json: { kind, to } }, { name: kind, ...options })

  byId('app').addEventListener('submit', (event) => {
    event.preventDefault()
    void stored('welcome-email', {}, async () => [await mail({ kind: 'welcome-email', to: address.value })])
  })
  byId('reset-password').addEventListener('click', () => {
    if (!address.reportValidity()) return
    const options = { priority: 10, maxAttempts: 5 }
    void stored('reset-password', options, async () => [await mail({ kind: 'reset-password', to: address.value }, options)])
  })
  byId('send-ten').addEventListener('click', () => {
    void stored('newsletter', {}, () => Promise.all(CREW.map((name) => mail({ kind: 'newsletter', to: `${name}@harbour.example` }))))
  })
  byId('bad-address').addEventListener('click', () => {
    address.value = 'nobody@void'
    address.focus()
  })
  showCall('welcome-email', {})
}

function showCall(name: string, options: FetchOptions): void {
  const lines = Object.entries({ name: `'${name}'`, ...options }).map(([key, value]) => `  ${key}: ${String(value)},`)
  setText(byId('call'), ["await queue.fetch('/api/mails', {", "  method: 'POST',", '  json: {kind, to},', '}, {', ...lines, '})'].join('\n'))
}

/** Shows the call and, when it is committed, what it gave back. */
async function stored(name: string, options: FetchOptions, push: () => Promise<string[]>): Promise<void> {
  showCall(name, options)
  const receipt = byId('receipt')
  const began = performance.now()
  try {
    const ids = await push()
    const took = Math.max(1, Math.round(performance.now() - began))
    setText(receipt, `${ids.length === 1 ? `${shortId(ids[0] ?? '')} stored` : `${plural(ids.length, 'job')} stored`} in ${took} ms`)
    receipt.classList.remove('refused')
  } catch (error) {
    setText(receipt, error instanceof Error ? error.message : String(error))
    receipt.classList.add('refused')
  }
}
