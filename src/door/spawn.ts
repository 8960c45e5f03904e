/** The built-in worker from its file. Bundlers know this expression as it stands: change no character of it. */
export const urlWorker = (): Worker => new Worker(new URL('./worker.js', import.meta.url), { type: 'module' })
