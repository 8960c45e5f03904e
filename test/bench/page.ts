import { wrap } from 'comlink'
import { contestants, type Name } from './contestants/index.ts'
import { own } from './own.ts'
import { realm, type Realm } from './realm.ts'

const workers = new Map<Name, Realm>()
function realmOf(name: Name): Realm {
  if (contestants[name].realm === 'page') return realm
  let there = workers.get(name)
  if (!there) {
    there = wrap<Realm>(new Worker(new URL('./realm-worker.ts', import.meta.url), { type: 'module' })) as unknown as Realm
    workers.set(name, there)
  }
  return there
}

const entry = { realmOf, own }
declare global { var bench: typeof entry }
globalThis.bench = entry
