// @ts-check
// Where a Firefox is. Its tests are skipped where there is none.
import { install, onPath } from './chromium.mjs'

/** @returns {string | undefined} its path: $FIREFOX, else the first on the PATH */
export function findFirefox() {
  return process.env.FIREFOX || onPath('firefox-esr', 'firefox')
}

/** As `findFirefox`, after installing Debian's where this may be done. */
export function ensureFirefox() {
  if (findFirefox() === undefined) install('firefox-esr')
  return findFirefox()
}
