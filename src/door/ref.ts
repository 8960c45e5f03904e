/** A part of a parent's result, to be put into a request's JSON when it is sent. */
export interface Ref { readonly [mark: string]: string }

/** By what the worker knows them from data. Drawn by each page, so that no data can look like one, whoever wrote it. */
export const refs: { mark?: string } = {}

/**
 * In the JSON of `fetch`: what the job that `dependsOn` names `name` has at `path` of its result, as in `ref('create', 'body.id')`; without a path its whole result. If that is not there when
 * the request is sent, it is dead, reason `invalid`.
 */
export const ref = (name: string, path?: string): Ref => ({ [refs.mark ??= `ref ${crypto.randomUUID()}`]: path ? `${name}.${path}` : name })
