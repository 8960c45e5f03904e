/** The queue as a river: waiting, through the gate, active, sent; retries come round in a side channel on a scale of time. */
import type { Job } from 'holdfast'
import { apiOrigin } from './api.ts'
import { closedUntil, type Board, type Channel } from './board.ts'
import { byId, el, keepingFocus, keyed, setText } from './dom.ts'
import { markFollowed } from './follow.ts'
import { count, duration, wait } from './format.ts'
import { network } from './network.ts'
import { fillToken, retryFigure, roving, setFigure, stopAt, tokenFor, travelling, type Look } from './token.ts'

const BERTHS = 4
const NAMED = 14
const NAMED_IN_A_CROWD = 4
const TICKS_S = [0, 1, 2, 4, 8, 16, 32, 64]
const LANES = 5

const lists = { waiting: byId('waiting'), delayed: byId('delayed'), active: byId('active'), sent: byId('sent') }
const lanes = new Map<string, number>()
const berths = new Map<string, number>()
let board: Board | undefined

export function startRiver(): void {
  for (const list of Object.values(lists)) {
    roving(list)
    list.after(el('p', 'more'))
  }
  const ticks = byId('ticks')
  for (const s of TICKS_S) {
    const tick = el('li', '', s === 0 ? 'now' : s === 1 ? '1 s' : s === 64 ? '1 min' : String(s))
    tick.style.setProperty('--x', String(place(s * 1000)))
    ticks.append(tick)
  }
  const still = matchMedia('(prefers-reduced-motion: reduce)').matches
  setInterval(tick, still ? 1000 : 200)
  for (const type of ['online', 'offline']) window.addEventListener(type, drawGate)
  drawGate()
}

export function drawRiver(next: Board): void {
  board = next
  keepingFocus(() => travelling(() => {
    const { waiting, delayed, active, sent } = next
    seat(active.jobs)
    spread(delayed.jobs)
    fill('waiting', waiting, (_, i) => i < (waiting.total > NAMED ? NAMED_IN_A_CROWD : NAMED) ? 'named' : 'bare')
    fill('delayed', delayed, () => delayed.total > LANES ? 'bare' : 'named')
    fill('active', { ...active, jobs: active.jobs.filter((job) => (berths.get(job.id) ?? 0) < BERTHS) }, () => 'named')
    fill('sent', sent, () => 'bare')
    setText(byId('sent-count'), count(sent.total))
    tick()
  }))
  markFollowed()
}

function fill(name: keyof typeof lists, { total, jobs }: Channel, look: (job: Job, i: number) => Look): void {
  const list = lists[name]
  const place = new Map(jobs.map((job, i) => [job.id, i]))
  keyed(list, jobs, (job) => job.id, tokenFor, (token, job) => {
    fillToken(token, job, look(job, place.get(job.id) ?? 0))
    token.style.gridRow = name === 'active' ? String((berths.get(job.id) ?? 0) + 1) : ''
    if (name === 'delayed') token.style.setProperty('--lane', String(lanes.get(job.id) ?? 0))
  })
  stopAt(list)
  setText(byId(`${name}-count`), count(total))
  const rest = total - jobs.length
  setText(list.nextElementSibling as HTMLElement, rest > 0 ? `+ ${count(rest)}` : '')
  list.parentElement?.classList.toggle('is-empty', total === 0)
}

/** Who has a berth keeps it. */
function seat(jobs: readonly Job[]): void {
  const here = new Set(jobs.map((job) => job.id))
  for (const id of berths.keys()) if (!here.has(id)) berths.delete(id)
  const taken = new Set(berths.values())
  for (const { id } of jobs) {
    if (berths.has(id)) continue
    let berth = 0
    while (taken.has(berth)) berth += 1
    taken.add(berth)
    berths.set(id, berth)
  }
}

/** A retry keeps its lane; a new one takes the lane with the most room around it. */
function spread(jobs: readonly Job[]): void {
  const here = new Set(jobs.map((job) => job.id))
  for (const id of lanes.keys()) if (!here.has(id)) lanes.delete(id)
  const now = Date.now()
  for (const job of jobs) {
    if (lanes.has(job.id)) continue
    const room = (lane: number): number => Math.min(1, ...jobs.filter(({ id }) => lanes.get(id) === lane).map((other) => Math.abs(at(other, now) - at(job, now))))
    let best = 0
    for (let lane = 1; lane < LANES; lane += 1) if (room(lane) > room(best)) best = lane
    lanes.set(job.id, best)
  }
}

/** 0 (now) … 1 (a minute and more): doubling waits stand at even distances. */
const place = (ms: number): number => Math.min(1, Math.log2(1 + Math.max(0, ms) / 1000) / Math.log2(65))
const at = (job: Job, now: number): number => place((job.runAt ?? now) - now)

function tick(): void {
  if (!board || document.hidden) return
  const now = Date.now()
  for (const job of board.delayed.jobs) {
    const token = tokenIn(lists.delayed, job)
    if (!token) continue
    token.style.setProperty('--x', at(job, now).toFixed(4))
    setFigure(token, retryFigure(job, now))
  }
  for (const job of board.active.jobs) {
    const token = tokenIn(lists.active, job)
    if (token) setFigure(token, duration(now - (job.startedAt ?? now)))
  }
  drawGate()
}

const tokenIn = (list: HTMLElement, { id }: Job): HTMLElement | null => list.querySelector<HTMLElement>(`[data-key="${CSS.escape(id)}"]`)

/** Closed by weather, by a silent server, or not at all. */
function drawGate(): void {
  const until = board && closedUntil(board, apiOrigin)
  byId('gate').dataset.open = String(network.online && until === undefined)
  setText(byId('gate-note'), !network.online ? 'offline' : until === undefined ? 'open' : `no answer, tries in ${wait(until - Date.now())}`)
}
