// @ts-check
// `npm run mutations`: breaks what safety rests on, one line at a time, in a copy, and shows that tests fail for each.
import { spawnSync } from 'node:child_process'
import { cpSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

/** @type {ReadonlyArray<{ what: string, file: string, line: string, broken: string }>} */
const MUTATIONS = [
  { what: 'an ending need not prove its token', file: 'src/store/verbs/end.ts', line: "held.lease.token !== ending.token || ", broken: '' },
  { what: 'an owner is not given up when its lock is free', file: 'src/engine/upkeep.ts', line: 'watched.set(owner, locks.whenFree(', broken: 'watched.set(owner, ((_name, _call) => () => {})(' },
  { what: 'a commit leaves no receipt', file: 'src/store/work.ts', line: 'version: this.#version + 1, receipt })', broken: 'version: this.#version + 1 })' },
  { what: 'the queue that was written last is not put where it belongs when another takes its place', file: 'src/store/work.ts', line: "this.put('queues', last.queue, last)", broken: 'void last' },
  { what: 'an applied commit that was reported as failed is repeated', file: 'src/store/committer.ts', line: 'sent && await wasApplied(stamp) ? sent : ', broken: '' },
  { what: 'a job that comes back is put at the end of its lane', file: 'src/store/lane-view.ts', line: 'const at = row.jobs.findIndex((other) => other.position > job.position)', broken: 'const at = -1' },
  { what: 'pushes do not ask for strict durability', file: 'src/store/committer.ts', line: "? 'strict' : 'relaxed'", broken: "? 'relaxed' : 'relaxed'" },
  { what: 'what was remembered is not checked against the database', file: 'src/store/committer.ts', line: 'remembered ? work.unchanged(remembered) : Promise.resolve(true)', broken: 'Promise.resolve(true)' },
  { what: 'the end of a job is not told to those that depend on it', file: 'src/store/committer.ts', line: 'await endFamilies(work)', broken: 'void endFamilies' },
  { what: 'a job may wait for a parent that waits behind it', file: 'src/store/verbs/groups.ts', line: 'if (holder && position < holder.position)', broken: 'if (false)' },
  { what: 'a page does not say again to a new worker what has ended meanwhile', file: 'src/door/page-processors.ts', line: 'if (unsettled.size > 0) say(', broken: 'if (unsettled.size < 0) say(' },
  { what: 'a job that stalled is claimed with its neighbours', file: 'src/store/verbs/claim.ts', line: 'if (job.stalls > 0) break', broken: '' },
]

const root = fileURLToPath(new URL('../', import.meta.url))
const copy = mkdtempSync(join(tmpdir(), 'holdfast-mutations-'))
for (const part of ['src', 'test', 'scripts', 'demo', 'package.json', 'vite.config.ts', 'tsconfig.json', 'README.md']) cpSync(join(root, part), join(copy, part), { recursive: true })
symlinkSync(join(root, 'node_modules'), join(copy, 'node_modules'))

let missed = 0
for (const { what, file, line, broken } of [{ what: 'nothing', file: 'src/index.ts', line: '', broken: '' }, ...MUTATIONS]) {
  const path = join(copy, file)
  const sound = readFileSync(path, 'utf8')
  if (!sound.includes(line)) throw new Error(`${file} has no line with ${line}`)
  writeFileSync(path, sound.replace(line, broken))
  const report = join(copy, 'report.json')
  spawnSync('npx', ['vitest', 'run', '--project', 'unit', ...(what === 'nothing' ? [] : ['--bail=1']), '--reporter=json', `--outputFile.json=${report}`], { cwd: copy, env: { ...process.env, SIM_SEEDS: '60' } })
  writeFileSync(path, sound)
  const { testResults } = JSON.parse(readFileSync(report, 'utf8'))
  /** @type {string[]} */
  const failed = testResults.flatMap((/** @type {{ assertionResults: Array<{ status: string, title: string }> }} */ { assertionResults }) => assertionResults.filter(({ status }) => status === 'failed').map(({ title }) => title))
  const expected = what === 'nothing' ? failed.length === 0 : failed.length > 0
  if (!expected) missed++
  console.log(`${expected ? 'ok    ' : 'MISSED'}  ${what}: ${failed.length > 0 ? `found by “${failed[0]}”` : 'no test fails'}`)
}
rmSync(copy, { recursive: true, force: true })
process.exitCode = missed > 0 ? 1 : 0
