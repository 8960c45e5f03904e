/** Names a claimed job within its realm. Every claim has another token, even after the database was made anew and its numbers begin again. */
export const keyOf = (token: string, seq: number): string => `${token}:${seq}`
