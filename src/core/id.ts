/** Ids are UUIDv7 (RFC 9562): 48 bits of ms, 34 random bits, and the database's 40-bit sequence, so that an id leads to its job. */

export const MAX_SEQ = 2 ** 40 - 1

const hex = (value: number, digits: number): string => value.toString(16).padStart(digits, '0')

/** `random` is an integer in [0, 2^34). */
export function makeId(ms: number, random: number, seq: number): string {
  const time = hex(ms, 12)
  const randA = hex(Math.floor(random / 2 ** 22), 3)
  const randB = random % 2 ** 22
  const variant = hex(0x8000 | (randB >>> 8), 4)
  return `${time.slice(0, 8)}-${time.slice(8)}-7${randA}-${variant}-${hex(randB & 0xff, 2)}${hex(seq, 10)}`
}

/** One commit's new ids, as few numbers: `count` consecutive sequence numbers from `first`. It crosses realms instead of the strings. */
export interface IdRun { readonly ms: number; readonly random: number; readonly first: number; readonly count: number }

export const idsOf = ({ ms, random, first, count }: IdRun): string[] =>
  Array.from({ length: count }, (_, i) => makeId(ms, random, first + i))
