/**
 * Room that is kept so that stored jobs can end when nothing else fits: a database of its own, since browsers give back the room of a
 * deleted database soon, that of a deleted row only when they happen to compact.
 */
import { within, type After } from './connection.ts'
import { opened } from './schema.ts'

/** Neither waits for ever, whatever the browser does. */
export interface Reserve {
  /** Takes the room, unless it is taken already. */
  lay(): Promise<void>
  /** Gives it back. */
  free(): Promise<void>
}

const RESERVE_WORDS = 524_288

/** Words of chance (xorshift32), since anything else could be compressed. */
function noise(random: () => number): Uint32Array {
  let state = random() * 2 ** 32 | 1
  return new Uint32Array(RESERVE_WORDS).map(() => {
    state ^= state << 13
    state ^= state >>> 17
    return state ^= state << 5
  })
}

export function reserveOf(factory: IDBFactory, name: string, { after, random }: { readonly after: After; readonly random: () => number }): Reserve {
  const database = `holdfast-reserve:${name}`
  return {
    lay() {
      const request = factory.open(database, 1)
      request.onupgradeneeded = () => { request.result.createObjectStore('room').put(noise(random), 0) }
      // One that is opened late would stand in the way of its deletion.
      return within(after, 'laying the reserve by', opened(request).then((db) => { db.close() }))
    },
    free: () => within(after, 'freeing the reserve', opened(factory.deleteDatabase(database)).then(() => {})),
  }
}
