import { openQueue } from 'holdfast/electron/renderer'

window.queue = await openQueue('test')
