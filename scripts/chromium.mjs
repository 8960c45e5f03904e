// @ts-check
// Where a Chromium is, and how a test starts it.
import { spawnSync } from 'node:child_process'
import { accessSync, constants, existsSync } from 'node:fs'
import { delimiter, join } from 'node:path'

export const flags = [
  '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run',
  '--disable-background-networking', '--disable-component-update', '--disable-sync',
]

/** @returns {string | undefined} its path: $CHROMIUM, else the first on the PATH */
export function findChromium() {
  return process.env.CHROMIUM || onPath('chromium', 'chromium-browser', 'google-chrome')
}

/** @param {string[]} names @returns {string | undefined} */
export function onPath(...names) {
  const folders = (process.env.PATH ?? '').split(delimiter)
  return names.flatMap((name) => folders.map((folder) => join(folder, name))).find(executable)
}

/** @returns {{ executablePath: string, args: string[] }} for playwright's `chromium.launch()` */
export function launchOptions() {
  const executablePath = findChromium()
  if (executablePath === undefined || !executable(executablePath)) throw new Error(howToGetOne)
  return { executablePath, args: flags }
}

/** As `launchOptions`, after installing Debian's where this may be done. */
export function ensureChromium() {
  if (findChromium() === undefined) install('chromium')
  return launchOptions()
}

/** Where this may be done. @param {string} debian */
export function install(debian) {
  if (process.getuid?.() !== 0 || !existsSync('/etc/debian_version')) return
  console.log(`${debian}: apt-get install`)
  const env = { ...process.env, DEBIAN_FRONTEND: 'noninteractive' }
  for (const args of ['update -qq', `install -y -qq --no-install-recommends ${debian}`]) spawnSync('apt-get', args.split(' '), { stdio: 'inherit', env })
}

const howToGetOne = 'No Chromium was found. Install one (Debian: apt-get install chromium), or set CHROMIUM to its executable.'

/** @param {string} path */
function executable(path) {
  try {
    accessSync(path, constants.X_OK)
    return true
  } catch {
    return false
  }
}
