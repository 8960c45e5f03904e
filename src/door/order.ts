/** Calls count in the order in which they are made: behind one that must first look around they wait. */

/** What a call has to do, or several pushes. */
export interface Step { readonly id?: number; run(): Promise<void> }

export interface Order {
  /** Begins these, each as soon as nothing before it holds back others. */
  begin(steps: readonly Step[]): void
  /** Said by a step as it begins: later ones wait until it is done. */
  hold(): void
  /** Whether the step that begins has said so. */
  readonly held: boolean
  /** Nobody waits for it any more: if it has not begun, it does not. */
  drop(id: number): void
}

export function createOrder(): Order {
  let steps: Step[] = []
  let held = false
  let waiting = false

  function proceed(): void {
    while (!waiting) {
      const step = steps.shift()
      if (!step) return
      held = false
      const done = step.run()
      waiting = held
      if (waiting) void done.finally(() => { waiting = false; proceed() })
    }
  }

  return {
    begin(more) { steps = steps.concat(more); proceed() },
    hold() { held = true },
    get held() { return held },
    drop(id) { steps = steps.filter((step) => step.id !== id) },
  }
}
