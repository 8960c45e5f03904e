/** The engine page of the desktop app: never shown, it sends the mails that the windows queue. */
import { openQueue } from 'holdfast'
import { simulateNetwork } from './network.ts'

simulateNetwork()
await openQueue('harbour-mail')
