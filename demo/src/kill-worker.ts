/**
 * The queue hides its worker, and no app should need it. To show what happens when one dies, this remembers the workers that the
 * page starts and terminates the latest, which is what a browser short of memory does: without a word to anyone.
 */
let latest: Worker | undefined

/** Before the queue is opened. */
export function rememberWorkers(): void {
  window.Worker = new Proxy(window.Worker, {
    construct(original, args) {
      latest = Reflect.construct(original, args) as Worker
      return latest
    },
  })
}

export function killWorker(): void {
  latest?.terminate()
}
