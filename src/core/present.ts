type Present<T> = { [K in keyof T as undefined extends T[K] ? never : K]: T[K] } & { [K in keyof T as undefined extends T[K] ? K : never]?: Exclude<T[K], undefined> }

/** The fields that are not `undefined`, which counts as absent: neither stored nor sent. */
export function present<T extends object>(fields: T): Present<T> {
  const out = {} as T
  for (const key of Object.keys(fields) as Array<keyof T>) if (fields[key] !== undefined) out[key] = fields[key]
  return out
}
