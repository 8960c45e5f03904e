// @ts-check
// Drives the desktop app in the display and the network that it was started in. Prints what it saw as JSON.
//   node drive.mjs APP FOLDER      ($ELECTRON_OVERRIDE_DIST_PATH/electron runs APP; FOLDER takes its data and a screenshot)
import { once } from 'node:events'
import { join } from 'node:path'
import { _electron } from 'playwright-core'

const [app = '', folder = ''] = process.argv.slice(2)
const executablePath = join(process.env.ELECTRON_OVERRIDE_DIST_PATH ?? '', 'electron')
const args = [app, `--user-data-dir=${join(folder, 'data')}`]

async function start() {
  const electron = await _electron.launch({ executablePath, args })
  const page = await electron.firstWindow()
  await page.waitForFunction(() => 'holdfast' in window)
  return { electron, page }
}

const first = await start()
const id = await first.page.evaluate(() => window.holdfast.push('electron', 'later', { kept: true }, { delayMs: 3_600_000 }))
const renderer = await first.page.evaluate(() => ({ url: location.href, secure: isSecureContext, node: 'process' in window || 'require' in window }))
const version = await first.electron.evaluate(() => process.versions.electron)
const killed = first.electron.process()
killed.kill('SIGKILL')
if (killed.exitCode === null && killed.signalCode === null) await once(killed, 'exit')

const second = await start()
const job = await second.page.evaluate((wanted) => window.holdfast.get(wanted), id)
await second.page.screenshot({ path: join(folder, 'demo.png') })
await second.page.evaluate(() => { location.href = 'https://example.invalid/' })
await second.page.waitForTimeout(500)
const stayed = second.page.url()
await second.electron.close()

console.log(JSON.stringify({ version, renderer, signal: killed.signalCode, job: job && { id: job.id === id, state: job.state, data: job.data }, stayed }))
