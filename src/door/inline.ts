/** The built-in worker as a script; the build fills it in (scripts/builtin-worker.mjs). */
export const source: string = ''
