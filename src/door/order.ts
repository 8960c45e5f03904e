/** Calls count in the order in which they are made: behind one that must first look whether there is room they wait. */

/** What a call has to do, or several pushes. */
export interface Step { readonly id?: number; run(): Promise<void> }

export interface Order {
  /** Begins these, each as soon as nothing before it holds back others. */
  begin(steps: readonly Step[]): void
  /** Said by a step before it first waits: later ones begin when it is done. Said later it holds nobody back. */
  hold(): void
  /** Whether the step that began last has said so. */
  readonly asked: boolean
  /** Nobody waits for it any more: if it has not begun, it does not. */
  drop(id: number): void
}

export function createOrder(): Order {
  let steps: Step[] = []
  let asked = false
  let blocked = false

  function proceed(): void {
    while (!blocked) {
      const step = steps.shift()
      if (!step) return
      asked = false
      const done = step.run()
      blocked = asked
      if (blocked) void done.finally(() => { blocked = false; proceed() })
    }
  }

  return {
    begin(more) { steps = steps.concat(more); proceed() },
    hold() { asked = true },
    get asked() { return asked },
    drop(id) { steps = steps.filter((step) => step.id !== id) },
  }
}
