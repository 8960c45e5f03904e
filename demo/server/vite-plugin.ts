import { getRequestListener } from '@hono/node-server'
import type { Connect, Plugin } from 'vite'
import { createMailApi } from './mail-api.ts'

/** Serves the mail API beside the page, in `vite` and in `vite preview`. */
export function mailApi(): Plugin {
  const listener = getRequestListener(createMailApi().fetch)
  const mount = ({ middlewares }: { readonly middlewares: Connect.Server }): void => {
    middlewares.use((request, response, next) => {
      if (request.url?.startsWith('/api/')) void listener(request, response)
      else next()
    })
  }
  return { name: 'harbour-mail-api', configureServer: mount, configurePreviewServer: mount }
}
