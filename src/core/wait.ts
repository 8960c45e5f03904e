/** When a wait is over (epoch ms), none being longer than `longestMs`: one that seems so was begun before the clock was set back, and is over. */
export const waitOver = (at: number, now: number, longestMs: number): number => at > now + longestMs ? now : at
