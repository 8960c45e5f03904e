/** What every contestant is asked to do. A method that is missing is an operation it does not have. */
export interface Contestant<Claimed = unknown> {
  open(database: string): Promise<void>
  /** Resolves when the contestant says that the job is stored. */
  push(n: number): Promise<unknown>
  pushMany?(numbers: readonly number[]): Promise<unknown>
  pull?(count: number): Promise<readonly Claimed[]>
  ack?(jobs: readonly Claimed[]): Promise<unknown>
  /** The `n` of a pulled job, read from its data. */
  numberOf?(job: Claimed): number
  /** It runs one job at a time, whatever it is asked. */
  readonly serial?: true
  /** What comes before a drain and is not measured. */
  prepare?(concurrency: number): Promise<void>
  /** Runs a handler that does nothing until it has seen enough; resolves, with what it saw, when all of that is settled. */
  drain?(concurrency: number, enough: Enough): Promise<readonly number[]>
  waiting(): Promise<number>
  /** The quickest way to be rid of the last jobs; never measured. Not the first: what a range delete leaves in the index slows down the next pull. */
  drop?(count: number): Promise<void>
  /** Closes and, where the contestant lets go of its database, deletes it: nothing is left. */
  wipe(): Promise<void>
  close(): Promise<void>
}

export interface Enough { readonly count: number; readonly ms: number }

/** Collects what a handler saw and says when it is enough. */
export function tally({ count, ms }: Enough) {
  const seen: number[] = []
  const deadline = performance.now() + ms
  return { seen, saw: (n: number): boolean => seen.push(n) >= count || performance.now() >= deadline }
}

const html = 'Your parcel has left our warehouse and will be with you on the day you chose. '.repeat(3)

/** 386 bytes of JSON, give or take the digits of `n`. */
export const jobData = (n: number) => ({
  n, to: `customer-${n}@example.com`, template: 'parcel-sent', locale: 'en-GB', subject: 'Your parcel is on its way',
  attempt: { by: 'web', at: 1_767_225_600_000 }, html: html.slice(0, 203),
})

export function deleteDatabase(name: string): Promise<void> {
  return new Promise((resolve, reject) => {
    const request = indexedDB.deleteDatabase(name)
    request.onsuccess = () => resolve()
    request.onerror = () => reject(request.error)
  })
}
