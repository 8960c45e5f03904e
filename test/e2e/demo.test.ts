/** The demo's story, played as a person would: every promise on the page is checked against the server's own account. */
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import type { Page } from 'playwright-core'
import type { Queue } from 'holdfast'
import type { Account } from '../../demo/server/mail-api.ts'
import { startServer, visitor, type Server, type Visitor } from './stage.ts'

declare const window: { readonly holdfast: Queue; late: number[] }

let server: Server
let guest: Visitor

beforeAll(async () => { server = await startServer() })
afterAll(() => server?.close())
beforeEach(async () => {
  await server.set({ failRate: 0, slowMs: [10, 30], acceptBadAddresses: false, honourKeys: true })
  await server.forget()
  guest = await visitor(server.url)
})
afterEach(() => guest.leave())

const button = (page: Page, name: string) => page.getByRole('button', { name, exact: true })
const network = (page: Page) => page.getByRole('switch', { name: 'Network' })
const channel = (page: Page, name: string) => page.getByRole('region', { name: new RegExp(`^${name} `) })
const count = async (page: Page, name: string) => Number((await channel(page, name).locator('.count').first().textContent())?.replace(/\D/g, ''))
const counted = (page: Page, name: string, n: number) => expect.poll(() => count(page, name), { timeout: 15_000 }).toBe(n)
const arrived = async (total: number, timeout = 60_000): Promise<Account> => {
  await expect.poll(async () => (await server.account()).total, { timeout, interval: 50 }).toBe(total)
  return server.account()
}
const receipt = (page: Page, text: RegExp) => expect.poll(() => page.locator('#receipt').textContent(), { timeout: 15_000 }).toMatch(text)

/** Presses a button `times` times, each after the receipt of the one before: what it confirms is stored. */
async function press(page: Page, name: string, stored: RegExp, times = 1): Promise<void> {
  for (let i = 0; i < times; i += 1) {
    await page.evaluate(() => { const line = document.getElementById('receipt'); if (line) line.textContent = '' })
    await button(page, name).click()
    await receipt(page, stored)
  }
}

const TEN = /^10 jobs stored in \d+ ms$/
const ONE = /^\S+ stored in \d+ ms$/
const onceEach = ({ mails, twice, overlaps }: Account): void => {
  expect({ twice, overlaps }).toEqual({ twice: 0, overlaps: 0 })
  for (const mail of mails) expect(mail, `${mail.kind} to ${mail.to}`).toMatchObject({ count: 1 })
}

describe('Harbour Mail', () => {
  it('keeps ten mails that were sent offline through a closed tab, and sends each once', async () => {
    let page = await guest.open()
    await network(page).click()
    await press(page, 'Send ten', TEN)
    await counted(page, 'waiting', 10)
    await page.close()
    expect((await server.account()).total).toBe(0)

    page = await guest.open()
    expect(await network(page).getAttribute('aria-checked')).toBe('false')
    await counted(page, 'waiting', 10)
    await network(page).click()
    const account = await arrived(10)
    onceEach(account)
    expect(account.repeats).toBe(0)
    expect(new Set(account.mails.map(({ to }) => to)).size).toBe(10)
    await counted(page, 'sent', 10)
    await counted(page, 'waiting', 0)
    await expect.poll(() => page.locator('#effects-total').textContent(), { timeout: 5000 }).toBe('10')
  })

  it('lets the password reset overtake six welcomes', async () => {
    await server.set({ slowMs: [60, 60] })
    const page = await guest.open()
    await network(page).click()
    await press(page, 'Sign up', ONE, 6)
    await press(page, 'Reset password', ONE)
    await counted(page, 'waiting', 7)
    await network(page).click()
    const account = await arrived(7)
    onceEach(account)
    expect(account.mails.find(({ arrival }) => arrival === 1)?.kind).toBe('reset-password')
  })

  it('delivers everything once after the whole browser was killed in the middle', async () => {
    await server.set({ slowMs: [100, 250] })
    let page = await guest.open()
    await press(page, 'Send ten', TEN, 4)
    await expect.poll(async () => (await server.account()).total, { timeout: 20_000, interval: 20 }).toBeGreaterThan(5)
    const before = await completed(page)
    await guest.kill()
    const { total } = await server.account()
    expect(total).toBeLessThan(40)

    page = await guest.open()
    const account = await arrived(40)
    onceEach(account)
    await counted(page, 'sent', 40)
    const after = await completed(page)
    expect(before.filter((id) => !after.includes(id))).toEqual([])
    expect(account.mails.map(({ key }) => key).sort()).toEqual(after.sort())
  })

  it('retries what the server fails, and its key keeps a lost answer from sending twice', async () => {
    await server.set({ failRate: 0.3 })
    const page = await guest.open()
    await press(page, 'Send ten', TEN, 2)
    await expect.poll(() => count(page, 'sent'), { timeout: 120_000 }).toBe(20)
    onceEach(await arrived(20))
  })

  it('tries again when it said it would, one retry after the other', async () => {
    // A server that remembers what it sent would answer some retries at once.
    await server.set({ failRate: 1, honourKeys: false })
    const page = await guest.open()
    await page.evaluate(() => {
      const due = new Map<string | undefined, number>()
      window.late = []
      window.holdfast.on('retrying', ({ id, runAt = 0 }) => due.set(id, runAt))
      window.holdfast.on('active', ({ id, at }) => { if (due.has(id)) window.late.push(at - (due.get(id) ?? 0)) })
    })
    await press(page, 'Sign up', ONE)
    await counted(page, 'delayed', 1)
    await new Promise((done) => setTimeout(done, 400))
    await press(page, 'Sign up', ONE)
    await counted(page, 'delayed', 2)
    await server.set({ failRate: 0 })
    await counted(page, 'sent', 2)
    const late = await page.evaluate(() => window.late)
    expect(late.length).toBeGreaterThanOrEqual(2)
    expect(Math.max(...late), `late by ${late.join(', ')} ms`).toBeLessThan(2000)
  })

  it('goes on when its worker is killed', async () => {
    await server.set({ slowMs: [100, 200] })
    const page = await guest.open()
    await press(page, 'Send ten', TEN, 2)
    await expect.poll(async () => (await server.account()).total, { timeout: 20_000, interval: 20 }).toBeGreaterThan(2)
    await button(page, 'Kill worker').click()
    await expect.poll(() => page.locator('#trouble-note').textContent(), { timeout: 15_000 }).toMatch(/^A new worker took over in \d+ ms\.$/)
    onceEach(await arrived(20))
    await counted(page, 'sent', 20)
  })

  it('shows a dead letter with what happened, and retries it', async () => {
    const page = await guest.open()
    await button(page, 'Try one that no mail can reach').click()
    await press(page, 'Sign up', ONE, 3)
    const letters = channel(page, 'dead letters')
    await counted(page, 'dead letters', 3)
    expect(await letters.getByRole('listitem').first().innerText()).toMatch(/welcome-email[\s\S]*nobody@void[\s\S]*422[\s\S]*No mail can reach “nobody@void”/)
    expect((await server.account()).total).toBe(0)

    await page.getByRole('checkbox', { name: 'takes any address' }).click()
    await expect.poll(async () => (await fetch(`${server.url}api/settings`)).json()).toMatchObject({ acceptBadAddresses: true })
    await button(page, 'Retry welcome-email to nobody@void').first().click()
    await arrived(1)
    await counted(page, 'dead letters', 2)
    await button(page, 'Retry 2 jobs').click()
    onceEach(await arrived(3))
    await counted(page, 'dead letters', 0)
  })

  it('is one queue in two tabs', async () => {
    const page = await guest.open()
    const other = await guest.open()
    await network(page).click()
    await expect.poll(() => network(other).getAttribute('aria-checked'), { timeout: 5000 }).toBe('false')
    await press(page, 'Send ten', TEN)
    await counted(other, 'waiting', 10)
    await press(other, 'Send ten', TEN)
    await counted(page, 'waiting', 20)
    await network(other).click()
    onceEach(await arrived(20))
    await counted(page, 'sent', 20)
    await counted(other, 'sent', 20)
  })

  it('shows what a server without idempotency keys would do', async () => {
    await server.set({ failRate: 1 })
    const page = await guest.open()
    await page.getByRole('checkbox', { name: 'sends once per idempotency key' }).click()
    await expect.poll(async () => (await fetch(`${server.url}api/settings`)).json()).toMatchObject({ honourKeys: false })
    await press(page, 'Send ten', TEN)
    await expect.poll(async () => (await server.account()).twice, { timeout: 60_000 }).toBeGreaterThan(0)
    await expect.poll(() => page.locator('#twice').getAttribute('class'), { timeout: 5000 }).toBe('wrong')
    expect(await page.getByRole('list', { name: 'Mails by idempotency key' }).locator('.wrong').first().innerText()).toMatch(/✕ \d×/)
  })

  it('walks through the story once', async () => {
    let page = await guest.open()
    const step = (): Promise<string | null> => page.locator('#hints [aria-current=step]').textContent({ timeout: 5000 })
    expect(await step()).toMatch(/^Switch the network off/)
    await network(page).click()
    expect(await step()).toMatch(/^Send ten/)
    await press(page, 'Send ten', TEN)
    await expect.poll(step).toMatch(/^Reload/)
    await button(page, 'Reload').click()
    await page.waitForFunction(() => 'holdfast' in window)
    expect(await step()).toMatch(/^Switch it on/)
    await network(page).click()
    await button(page, 'Done').click({ timeout: 30_000 })
    await page.close()
    page = await guest.open()
    expect(await page.getByRole('region', { name: 'The story in five steps' }).isVisible()).toBe(false)
  })

  it('can be used by keyboard and by ear', async () => {
    const page = await guest.open()
    await network(page).focus()
    await page.keyboard.press('Space')
    expect(await network(page).getAttribute('aria-checked')).toBe('false')
    await page.getByRole('textbox', { name: 'Address' }).fill('june@harbour.example')
    await page.keyboard.press('Enter')
    await receipt(page, ONE)
    await press(page, 'Reset password', ONE)
    await counted(page, 'waiting', 2)

    const first = page.getByTitle('reset-password to june@harbour.example, waiting, priority 10', { exact: true })
    expect(await first.ariaSnapshot()).toMatch(/button "reset june"/)
    await first.focus()
    expect(await page.locator('#follow').innerText()).toMatch(/reset-password to june@harbour\.example\s+waiting for/)
    await page.keyboard.press('ArrowLeft')
    expect(await page.evaluate(() => document.activeElement?.getAttribute('title'))).toBe('welcome-email to june@harbour.example, waiting')
    expect(await channel(page, 'waiting').locator('button[tabindex="0"]').count()).toBe(1)

    expect(await page.getByRole('radiogroup', { name: 'Requests that fail' }).getByRole('radio').count()).toBe(3)
    for (const name of ['delayed', 'waiting', 'active', 'sent', 'dead letters']) expect(await channel(page, name).count(), name).toBe(1)
    const nameless = (await page.locator('body').ariaSnapshot()).split('\n').filter((line) => /^\s*- (button|textbox|checkbox|radio|switch|region)\s*(\[[^\]]*\]\s*)*:?$/.test(line))
    expect(nameless).toEqual([])
  })

  it('fits its window', async () => {
    const page = await guest.open()
    await network(page).click()
    for (let i = 0; i < 3; i += 1) await press(page, 'Send ten', TEN)
    const overflow = () => page.evaluate(() => {
      const { scrollWidth, clientWidth, scrollHeight, clientHeight } = document.documentElement
      return { x: scrollWidth - clientWidth, y: scrollHeight - clientHeight }
    })
    expect(await overflow()).toEqual({ x: 0, y: 0 })
    for (const [width, height] of [[1024, 768], [390, 844], [320, 640]] as const) {
      await page.setViewportSize({ width, height })
      expect((await overflow()).x, `${width} px wide`).toBe(0)
    }
  })
})

/** Ids of all completed jobs, as the page's queue knows them. */
const completed = (page: Page): Promise<string[]> => page.evaluate(async () => {
  const { jobs } = await window.holdfast.list({ state: 'completed', limit: 1000 })
  return jobs.map(({ id }) => id)
})
