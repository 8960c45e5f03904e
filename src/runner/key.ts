/** Names a claimed job within its realm: the same job claimed again has another box. */
export const keyOf = (box: number, seq: number): string => `${box}:${seq}`
