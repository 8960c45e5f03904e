import { openQueue } from 'holdfast'
import { withSync } from 'holdfast/service-worker/page'

const show = (text: string) => {
  document.querySelector('output')!.textContent = text
}

try {
  const queue = withSync(await openQueue<{ greetings: { hello: { name: string } } }>('consumer'))
  await queue.process('greetings', { hello: ({ data }) => `hello ${data.name}` })
  const id = await queue.push('greetings', 'hello', { name: 'harbour' })
  show(String(await queue.waitFor(id)))
} catch (error) {
  show(String(error))
}
