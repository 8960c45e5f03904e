// @ts-check
// Runs before every npm script: installs what the lockfile says where node_modules says otherwise.
// Uses nothing but Node, since nothing else may be there yet.
import { spawnSync } from 'node:child_process'
import { readFileSync } from 'node:fs'

const root = new URL('../', import.meta.url)

/** @param {string} file @returns {Record<string, { version?: string, optional?: boolean }> | undefined} */
function packages(file) {
  try {
    return JSON.parse(readFileSync(new URL(file, root), 'utf8')).packages
  } catch {
    return undefined
  }
}

function installed() {
  const wanted = packages('package-lock.json') ?? {}
  const present = packages('node_modules/.package-lock.json')
  return present !== undefined && Object.entries(wanted).every(([path, { version, optional }]) =>
    path === '' || present[path]?.version === version || (optional && present[path] === undefined))
}

if (!installed()) {
  console.log('setup: npm ci')
  const { status } = spawnSync('npm', ['ci', '--no-audit', '--no-fund'], { cwd: root, stdio: 'inherit', shell: process.platform === 'win32' })
  process.exitCode = status ?? 1
}
