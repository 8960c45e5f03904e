/** The demo's mail server: slow, unreliable, and exact about what it really did. */
import { Hono, type Context } from 'hono'
import { cors } from 'hono/cors'

export interface Settings {
  /** 0..1: how many requests answer 500. Half of those have sent the mail all the same: only the answer is lost. */
  failRate: number
  /** Shortest and longest time an answer takes, in ms. */
  slowMs: [number, number]
  /** Take addresses that no mail can reach, instead of answering 422. */
  acceptBadAddresses: boolean
  /** Send once per Idempotency-Key. Off: every request sends, as if there were no keys. */
  honourKeys: boolean
}

export interface Mail {
  key: string
  kind: string
  to: string
  /** Times it was really sent. */
  count: number
  /** Times it was asked for again after it had been sent. */
  repeats: number
  /** When it was first sent, epoch ms. */
  at: number
  /** 1 for the mail whose request reached the server first. */
  arrival: number
}

export interface Account {
  /** Newest first. */
  mails: Mail[]
  total: number
  repeats: number
  /** Mails that were sent more than once. */
  twice: number
  /** Requests that came while the one before with the same key was running and still connected. */
  overlaps: number
  /** Changes with every effect; `?since=` it answers 204 while nothing has. */
  version: string
}

type Answer = { status: 200 | 422 | 500; body: Record<string, unknown>; headers?: Record<string, string> }
type Entry = Mail & { sent?: Answer; running?: Promise<Answer>; client?: AbortSignal }

const DEFAULTS: Settings = { failRate: 0.2, slowMs: [150, 600], acceptBadAddresses: false, honourKeys: true }
const PROBLEM = { 'content-type': 'application/problem+json' }

export function createMailApi(random: () => number = Math.random): Hono {
  let settings = structuredClone(DEFAULTS)
  let book = new Map<string, Entry>()
  let overlaps = 0
  let changes = 0
  const boot = Date.now().toString(36)

  function open(key: string, kind: string, to: string): Entry {
    const found = book.get(key)
    if (found) return found
    const entry: Entry = { key, kind, to, count: 0, repeats: 0, at: 0, arrival: book.size + 1 }
    book.set(key, entry)
    return entry
  }

  function send(entry: Entry): Answer {
    entry.count += 1
    entry.at ||= Date.now()
    changes += 1
    return { status: 200, body: { sent: entry.key, to: entry.to } }
  }

  async function attempt(entry: Entry): Promise<Answer> {
    const [least, most] = settings.slowMs
    await new Promise((done) => setTimeout(done, least + random() * (most - least)))
    if (!settings.acceptBadAddresses && !/^[^@\s]+@[^@\s]+\.[^@\s]+$/.test(entry.to)) {
      return { status: 422, headers: PROBLEM, body: { status: 422, detail: `No mail can reach “${entry.to}”.` } }
    }
    const fails = random() < settings.failRate
    if (!fails || random() < 0.5) entry.sent = send(entry)
    if (!fails && entry.sent) return entry.sent
    return { status: 500, headers: PROBLEM, body: { status: 500, detail: 'The mail server stumbled.' } }
  }

  /** A key that is known is answered from the book, and one that is being worked on waits for that answer. */
  async function once(entry: Entry, client: AbortSignal): Promise<Answer> {
    if (entry.running && entry.client?.aborted === false) overlaps += 1
    if (settings.honourKeys && entry.sent) {
      entry.repeats += 1
      changes += 1
      return entry.sent
    }
    if (settings.honourKeys && entry.running) return entry.running
    const running = attempt(entry).finally(() => {
      if (entry.running === running) delete entry.running
    })
    Object.assign(entry, { running, client })
    return running
  }

  function account(limit: number): Account {
    const sent = [...book.values()].filter((mail) => mail.count > 0).sort((a, b) => b.at - a.at || b.arrival - a.arrival)
    return {
      mails: sent.slice(0, limit).map(({ key, kind, to, count, repeats, at, arrival }) => ({ key, kind, to, count, repeats, at, arrival })),
      total: sent.length,
      repeats: sent.reduce((sum, mail) => sum + mail.repeats, 0),
      twice: sent.filter((mail) => mail.count > 1).length,
      overlaps,
      version: version(),
    }
  }
  const version = () => `${boot}.${changes}`

  const json = (c: Context, answer: Answer) => c.json(answer.body, answer.status, answer.headers)
  const invalid = (c: Context, detail: string) => c.json({ status: 400, detail }, 400, PROBLEM)

  return new Hono()
    // The desktop build calls from another origin.
    .use('/api/*', cors({ origin: '*', exposeHeaders: ['Retry-After'] }))
    .post('/api/mails', async (c) => {
      const mail: unknown = await c.req.json().catch(() => undefined)
      if (!isMail(mail)) return invalid(c, 'A mail is {kind, to}, both text.')
      const key = c.req.header('Idempotency-Key')?.replace(/^"(.*)"$/, '$1') ?? `no key ${crypto.randomUUID()}`
      return json(c, await once(open(key, mail.kind, mail.to), c.req.raw.signal))
    })
    .get('/api/effects', (c) => {
      if (c.req.query('since') === version()) return c.body(null, 204)
      return c.json(account(Number(c.req.query('limit') ?? 500)))
    })
    .delete('/api/effects', (c) => {
      book = new Map()
      overlaps = 0
      changes += 1
      return c.body(null, 204)
    })
    .get('/api/settings', (c) => c.json(settings))
    .put('/api/settings', async (c) => {
      const next = { ...settings, ...await c.req.json<Partial<Settings>>().catch(() => ({})) }
      if (!isSettings(next)) return invalid(c, 'failRate is 0..1, slowMs is [min, max], the rest true or false.')
      settings = next
      return c.json(settings)
    })
}

const isMail = (value: unknown): value is { kind: string; to: string } =>
  typeof value === 'object' && value !== null && 'kind' in value && typeof value.kind === 'string' && 'to' in value && typeof value.to === 'string'

function isSettings({ failRate, slowMs, acceptBadAddresses, honourKeys }: Settings): boolean {
  const times = Array.isArray(slowMs) && slowMs.length === 2 && slowMs.every((ms) => Number.isFinite(ms) && ms >= 0 && ms <= 60_000)
  return failRate >= 0 && failRate <= 1 && times && slowMs[0] <= slowMs[1] && typeof acceptBadAddresses === 'boolean' && typeof honourKeys === 'boolean'
}
