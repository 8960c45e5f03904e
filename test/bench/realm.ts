/** The same few calls in the page and in a worker. */
import type { Contestant } from './contestant.ts'
import { contestants, type Name } from './contestants/index.ts'
import { fill, measure, settle, type Measure, type Sizes } from './measures.ts'

const open = new Map<string, Contestant>()

async function opened(name: Name, database: string): Promise<Contestant> {
  const key = `${name} ${database}`
  let it = open.get(key)
  if (!it) {
    it = (await contestants[name].load()).create()
    await it.open(database)
    open.set(key, it)
  }
  return it
}

export const realm = {
  async fill(name: Name, database: string, level: number, limitMs: number) {
    return fill(await opened(name, database), level, limitMs)
  },
  /** At level 0 each measure starts in an empty database. */
  async measure(name: Name, database: string, level: number, what: Measure, sizes: Sizes) {
    const it = await opened(name, database)
    if (level > 0) return measure(it, what, sizes, await settle(it, level))
    await it.wipe()
    await it.open(database)
    return measure(it, what, sizes, 0)
  },
  async close(name: Name, database: string) {
    const key = `${name} ${database}`
    await open.get(key)?.close()
    open.delete(key)
  },
}
export type Realm = typeof realm
