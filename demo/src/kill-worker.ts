/**
 * The queue hides its worker, and no app should need it. To show what happens when one dies, this remembers the workers that the
 * page starts and terminates the latest, which is what a browser short of memory does: without a word to anyone.
 */
let latest: Worker | undefined

/** Before the queue is opened. */
export function rememberWorkers(): void {
  const Original = window.Worker
  window.Worker = class extends Original {
    constructor(url: string | URL, options?: WorkerOptions) {
      super(url, options)
      latest = this
    }
  }
}

export function killWorker(): void {
  latest?.terminate()
}
