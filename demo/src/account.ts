/** The server's own account of what it did, independent of what the queue believes. */
import type { Account, Mail as Effect, Settings } from '../server/mail-api.ts'
import { api } from './api.ts'
import { byId, el, keyed, setText } from './dom.ts'
import { markFollowed } from './follow.ts'
import { clock, count, plural, shortId, wait } from './format.ts'
import { shortName } from './mail.ts'
import { network } from './network.ts'

// Asked for, not streamed: a browser gives a page six connections to a server, and a stream in each tab would starve the mails.
const EVERY_MS = 500

let heardAt: number | undefined
let version = ''
let reachable = true

export function startAccount(show: (account: Account) => void): void {
  const shown = (account: Account): void => {
    draw(account)
    show(account)
  }
  void listen(shown)
  setInterval(drawHeard, 500)
  for (const type of ['online', 'offline']) window.addEventListener(type, drawHeard)
  byId('clear-account').addEventListener('click', () => void ask('DELETE', '/api/effects').then(() => hear(shown)))
  byId('honour-keys').addEventListener('change', (event) => void set({ honourKeys: (event.target as HTMLInputElement).checked }))
  byId('accept-bad').addEventListener('change', (event) => void set({ acceptBadAddresses: (event.target as HTMLInputElement).checked }))
  for (const radio of radios()) radio.addEventListener('change', () => void set({ failRate: Number(radio.value) }))
}

async function listen(shown: (account: Account) => void): Promise<never> {
  for (;;) {
    // Behind the switch there is no server: what was heard last stays, with its age.
    if (network.online && !document.hidden) await hear(shown)
    await new Promise((done) => setTimeout(done, EVERY_MS))
  }
}

async function hear(shown: (account: Account) => void): Promise<void> {
  const answer = await ask('GET', `/api/effects?since=${version}`)
  if (!answer) return
  if (heardAt === undefined || !reachable) void showSettings()
  reachable = true
  heardAt = Date.now()
  if (answer.status === 200) {
    const account = await answer.json() as Account
    version = account.version
    shown(account)
  }
  drawHeard()
}

async function ask(method: string, path: string, body?: unknown): Promise<Response | undefined> {
  try {
    const answer = await fetch(api(path), { method, ...(body === undefined ? {} : { body: JSON.stringify(body) }) })
    if (answer.ok) return answer
  } catch { /* The same as an answer that is not the server's: it is not there. */ }
  reachable = false
  drawHeard()
  return undefined
}

const radios = (): NodeListOf<HTMLInputElement> => document.querySelectorAll<HTMLInputElement>('input[name="fails"]')

async function set(settings: Partial<Settings>): Promise<void> {
  await ask('PUT', '/api/settings', settings)
  await showSettings()
}

async function showSettings(): Promise<void> {
  const settings = await (await ask('GET', '/api/settings'))?.json() as Settings | undefined
  if (!settings) return
  for (const radio of radios()) radio.checked = Number(radio.value) === settings.failRate
  byId<HTMLInputElement>('honour-keys').checked = settings.honourKeys
  byId<HTMLInputElement>('accept-bad').checked = settings.acceptBadAddresses
}

function drawHeard(): void {
  const age = heardAt === undefined ? undefined : Date.now() - heardAt
  const live = network.online && reachable && age !== undefined && age < 3000
  setText(byId('heard'), live ? 'live' : age === undefined ? 'not heard yet' : `heard ${wait(age)} ago`)
  document.querySelector('.server')?.classList.toggle('stale', !live)
  setText(byId('account-note'), !network.online || reachable ? '' : 'The mail server does not answer here. Jobs are stored and wait for it.')
}

function draw({ mails, total, repeats, twice }: Account): void {
  setText(byId('effects-total'), count(total))
  setText(byId('effects-repeats'), count(repeats))
  setText(byId('effects-twice'), count(twice))
  byId('twice').classList.toggle('wrong', twice > 0)
  keyed(byId('effects'), mails.slice(0, 200), ({ key }) => key, makeRow, fillRow)
  markFollowed()
}

function makeRow({ key, at }: Effect): HTMLElement {
  const row = el('li')
  row.dataset.job = key
  const time = el('time', '', clock(at))
  time.dateTime = new Date(at).toISOString()
  const code = el('code', '', shortId(key))
  code.title = key
  row.append(time, el('span', 'mail'), code, el('span', 'mark'))
  return row
}

function fillRow(row: HTMLElement, effect: Effect): void {
  const { kind, to, count: times, repeats } = effect
  const [mail, mark] = row.querySelectorAll<HTMLElement>('.mail, .mark') as unknown as [HTMLElement, HTMLElement]
  setText(mail, shortName(effect))
  mail.title = `${kind} to ${to}`
  row.classList.toggle('wrong', times > 1)
  setText(mark, times > 1 ? `✕ ${times}×` : repeats > 0 ? `+${repeats}` : '')
  mark.title = times > 1 ? `sent ${plural(times, 'time')}` : repeats > 0 ? `asked for again ${plural(repeats, 'time')}, sent once` : ''
}
