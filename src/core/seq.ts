/** What an id says (see id.ts). */

const pattern = /^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/

/** The sequence number inside an id, or undefined when it is no id of ours. */
export const seqOf = (id: string): number | undefined => pattern.test(id) ? parseInt(id.slice(26), 16) : undefined
