/** What an id says (see id.ts). */

/** Where in an id its number begins, and how it is written there. */
export const SEQ_AT = 26
export const seqDigits = (seq: number): string => seq.toString(16).padStart(10, '0')

const pattern = /^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/

/** The sequence number inside an id, or undefined when it is no id of ours. */
export const seqOf = (id: string): number | undefined => pattern.test(id) ? parseInt(id.slice(SEQ_AT), 16) : undefined
