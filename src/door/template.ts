/** What a request says of its parents' results: where in its JSON, its URL and its headers they go. */
import { invalid } from '../core/errors.ts'
import { parentIds } from '../core/family.ts'
import { parentOf, placesIn } from '../core/fill.ts'
import { pathTo } from '../core/uncloneable.ts'
import type { HttpRef, HttpRequest } from '../core/job.ts'
import { originOf } from '../core/lane.ts'
import type { PushOptions } from '../core/push.ts'

type DependsOn = PushOptions['dependsOn']

function checkPlace(field: string, from: string, dependsOn: DependsOn): void {
  const name = parentOf(from)
  if (!Object.hasOwn(parentIds(dependsOn ?? []) ?? {}, name)) throw invalid(field, `takes ${from}, but options.dependsOn names no ${name}`)
}

/** A URL made absolute with its placeholders as they were written. What is written otherwise, as a URL writes braces in data, is none. */
export function templateOf(text: string, base: string | undefined): string {
  const mark = `h${crypto.randomUUID()}-`
  const places: string[] = []
  const { href } = new URL(text.replace(/\{\{([^{}]*\}\})?/g, (place) => `${mark}${places.push(place) - 1}z`), base)
  return href.replaceAll(new RegExp(`${mark}(\\d+)z`, 'g'), (_mark, n: string) => places[Number(n)] ?? '')
}

/** Whether URL or headers hold placeholders; refuses those that can never be filled, and those that could lead to another origin. */
export function checkPlaces({ url, headers }: Pick<HttpRequest, 'url' | 'headers'>, dependsOn: DependsOn): boolean {
  if (originOf(url).includes('{{')) throw invalid('url', 'may take results in its path and query only: its origin must be known')
  if (/%[0-9a-f]?\{\{/i.test(url)) throw invalid('url', 'has an incomplete %-escape before a {{…}}')
  const named = Object.entries(headers).map(([name, value]) => [`init.headers[${JSON.stringify(name)}]`, value] as const)
  return [['url', url] as const, ...named].flatMap(([field, text]) => {
    const places = placesIn(text)
    if (!places) throw invalid(field, 'holds a {{ that begins no {{name.path}}: name and path are of A-Z a-z 0-9 _ -, with dots between')
    for (const from of places) checkPlace(field, from, dependsOn)
    return places
  }).length > 0
}

/** Takes the refs out of JSON, and leaves null in their places. `mark` is known to the page alone, so that nothing in its data can look like one. */
export function takeRefs(data: unknown, mark: string, dependsOn: DependsOn): { readonly data: unknown; readonly refs: readonly HttpRef[] } {
  const refs: HttpRef[] = []
  const take = (value: unknown, at: HttpRef['at']): unknown => {
    if (typeof value !== 'object' || value === null) return value
    if (Object.hasOwn(value, mark)) {
      const from = String((value as Record<string, unknown>)[mark])
      checkPlace(at.reduce<string>(pathTo, 'init.json'), from, dependsOn)
      refs.push({ at, from })
      return null
    }
    const parts = value as Record<string, unknown>
    for (const key of Object.keys(parts)) parts[key] = take(parts[key], [...at, Array.isArray(value) ? Number(key) : key])
    return value
  }
  return { data: take(data, []), refs }
}
