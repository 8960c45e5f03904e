/** What JSON says of a value. */

const MUTE = /(Function|Symbol|Map|Set|RegExp|Error|.Promise|Blob|File|Data|Buffer|View|\dArray)\]$/

/** A copy, `toJSON` heeded; throws where JSON would pass over something in silence. */
export const asJson = <V>(value: V): V => JSON.parse(JSON.stringify(value, (_key, part: unknown) => {
  if (MUTE.test(Object.prototype.toString.call(part))) throw new TypeError()
  return part
})) as V
