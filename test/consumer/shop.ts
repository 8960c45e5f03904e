/** The server that the documents ask. */
import { Hono } from 'hono'

interface Todo { readonly id: string; readonly text: string }

export function shop() {
  /** What it has taken in, and what it was asked, refused or not. */
  const todos: Todo[] = []
  const patches: object[] = []
  const note = {}
  let asked = 0
  const api = new Hono()
    .post('/api/orders', (c) => c.json({ order: 7 }, 201))
    .get('/api/todos', (c) => c.json(todos))
    .post('/api/todos', async (c) => {
      const todo = await c.req.json<Todo>()
      if (todo.text.trim() === '') return c.json({ title: 'A todo says what is to be done' }, 422)
      if (todos.every(({ id }) => id !== todo.id)) todos.push(todo)
      return c.json(todo, 201)
    })
    // Those of one document come in order only if one waits for the other: the first is slow and then fails once.
    .patch('/api/documents/7', async (c) => {
      const patch = await c.req.json<object>()
      if (++asked === 1) {
        await new Promise((resolve) => setTimeout(resolve, 300))
        return c.body(null, 500)
      }
      patches.push(patch)
      return c.json({ ...Object.assign({}, ...patches) as object, version: patches.length })
    })
    .post('/api/notes', async (c) => c.json({ ...Object.assign(note, { id: 12 }, await c.req.json<object>()) as object, version: 1 }, 201))
    .patch('/api/notes/12', async (c) => c.json(Object.assign(note, await c.req.json<object>())))
    .post('/api/photos', async (c) => {
      const photo = (await c.req.formData()).get('photo')
      return photo instanceof File && photo.size === 300_000 ? c.body(null, 204) : c.body(null, 422)
    })
  return { api, todos }
}
