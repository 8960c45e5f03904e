/** Ids are UUIDv7 (RFC 9562): 48 bits of ms, 34 random bits, and the database's 40-bit sequence, so that an id leads to its job. */

export const MAX_SEQ = 2 ** 40 - 1

const hex = (value: number, digits: number): string => value.toString(16).padStart(digits, '0')

const PAIRS = Array.from({ length: 256 }, (_, n) => hex(n, 2))

/** Ids that differ in their sequence number only, cheapest in a row. `random` is an integer in [0, 2^34). */
export function idMaker(ms: number, random: number): (seq: number) => string {
  const time = hex(ms, 12)
  const randB = random % 2 ** 22
  const same = `${time.slice(0, 8)}-${time.slice(8)}-7${hex(Math.floor(random / 2 ** 22), 3)}-${hex(0x8000 | (randB >>> 8), 4)}-${hex(randB & 0xff, 2)}`
  let [block, head] = [-1, '']
  return (seq) => {
    const high = Math.floor(seq / 256)
    if (high !== block) [block, head] = [high, same + hex(high, 8)]
    return head + PAIRS[seq % 256]!
  }
}

/** One commit's new ids, as few numbers: `count` consecutive sequence numbers from `first`. It crosses realms instead of the strings. */
export interface IdRun { readonly ms: number; readonly random: number; readonly first: number; readonly count: number }

export function idsOf({ ms, random, first, count }: IdRun): string[] {
  const idOf = idMaker(ms, random)
  return Array.from({ length: count }, (_, i) => idOf(first + i))
}
