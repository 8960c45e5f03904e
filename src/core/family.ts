/** Jobs that depend on other jobs: their parents. */
import type { Job, State } from './job.ts'

/** Ids by name: without names an id is its own. */
export const parentIds = (dependsOn: readonly string[] | Readonly<Record<string, string>>): Readonly<Record<string, string>> | undefined => {
  const named = Array.isArray(dependsOn) ? Object.fromEntries((dependsOn as readonly string[]).map((id) => [id, id])) : dependsOn as Readonly<Record<string, string>>
  return Object.keys(named).length > 0 ? named : undefined
}

/** What the end of a parent means for a child that waits for it: it has what it needs of it, or ends too. */
export function fateOf({ onParentDead = 'cascade' }: Pick<Job, 'onParentDead'>, parent: State): 'has it' | 'death' | 'cancel' {
  if (parent === 'completed' || onParentDead === 'run') return 'has it'
  return parent === 'dead' && onParentDead === 'cascade' ? 'death' : 'cancel'
}

/** It no longer waits for this parent. */
export function without({ waitsFor = [], ...job }: Job, parent: number): Job {
  const left = waitsFor.filter((seq) => seq !== parent)
  return left.length > 0 ? { ...job, waitsFor: left } : job
}
