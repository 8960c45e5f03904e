/** Gathers what is said in one microtask into one message. */
export function batcher<T>(send: (messages: T[]) => void): (message: T) => void {
  let waiting: T[] = []
  return (message) => {
    if (waiting.push(message) > 1) return
    queueMicrotask(() => {
      const messages = waiting
      waiting = []
      send(messages)
    })
  }
}
