import type { MiddlewareLine, Next } from '../../types/hooks.js'
import { scError } from '../errors.js'
import { promiseOf } from '../promises.js'
import { read } from '../untrusted.js'
import { MiddlewareBlock } from './block.js'

/** The names of all middleware lines. */
export const middlewareLines: readonly MiddlewareLine[] = ['handshakeWS', 'handshakeSC', 'authenticate', 'subscribe', 'publishIn', 'publishOut', 'emit']

/**
 * Turns a SocketCluster middleware `fn(req, next)` into a hook. The hook passes when `next` is called without an error, or when a
 * function without a `next` parameter returns or resolves. It blocks when the middleware calls `next(err)`, throws or rejects.
 * @param warn gets the error of a second call of `next`, and what is thrown after the first call
 */
export function toHook<Request> (line: MiddlewareLine, middleware: (request: Request, next: Next) => unknown, warn: (err: unknown) => void): (request: Request) => void | Promise<void> {
  const takesNext = middleware.length >= 2
  const hook = (request: Request): void | Promise<void> => {
    let settled = false
    let block: MiddlewareBlock | null = null
    let settle: (() => void) | null = null

    const next: Next = (err, detail) => {
      if (settled) {
        warn(scError('SC_ERR_NEXT_TWICE', [line]))
        return
      }
      settled = true
      if (err !== undefined && err !== null && err !== false && err !== '') block = new MiddlewareBlock(err, detail)
      settle?.()
    }

    const running = promiseOf(middleware(request, next))
    if (settled) {
      running?.then(undefined, warn)
      if (block !== null) throw block
      return
    }
    if (!takesNext && running === undefined) return
    return new Promise<void>((resolve, reject) => {
      settle = () => {
        if (block === null) resolve()
        else reject(block)
      }
      running?.then(() => {
        if (!settled && !takesNext) resolve()
      }, (err: unknown) => {
        if (settled) warn(err)
        settled = true
        reject(err)
      })
    })
  }
  // The hook keeps the name of the application's function, which a block reports.
  return Object.defineProperty(hook, 'name', { value: read(middleware, 'name') })
}
