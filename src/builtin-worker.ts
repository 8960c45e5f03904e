import { exposeHost } from './door/host.ts'

exposeHost(globalThis as unknown as Parameters<typeof exposeHost>[0])
