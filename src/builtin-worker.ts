import { exposeHost } from './door/host.ts'

exposeHost()
