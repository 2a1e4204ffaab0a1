import type { IncomingMessage } from 'node:http'
import type { Middleware, MiddlewareLine, MiddlewareRequest } from '../../types/hooks.js'
import type { ScServerSocket } from '../../types/server.js'
import { scError, typeName } from '../errors.js'
import { middlewareLines, toHook } from '../lifecycle/middleware.js'
import type { Scope } from '../lifecycle/scope.js'

type SocketMiddleware<Line extends MiddlewareLine> = Middleware<Line, ScServerSocket, IncomingMessage>

/** A middleware with the hook created from it. */
interface Added<Line extends MiddlewareLine> {
  readonly fn: SocketMiddleware<Line>
  readonly hook: (request: MiddlewareRequest<Line, ScServerSocket, IncomingMessage>) => void | Promise<void>
}

/** SocketCluster's middleware. Each function becomes a hook of the context that registered the plugin, at any time. */
export class LegacyMiddleware {
  readonly #root: Scope
  readonly #warn: (err: unknown) => void
  readonly #added: { [Line in MiddlewareLine]: Array<Added<Line>> } = { handshakeWS: [], handshakeSC: [], authenticate: [], subscribe: [], publishIn: [], publishOut: [], emit: [] }

  constructor (root: Scope, warn: (err: unknown) => void) {
    this.#root = root
    this.#warn = warn
  }

  /** The hooks for middleware of the HTTP upgrade. */
  get handshakeWS (): Array<Added<'handshakeWS'>['hook']> {
    return this.#added.handshakeWS.map(({ hook }) => hook)
  }

  /**
   * Adds a middleware.
   * @throws InvalidArgumentsError for an unknown line, or when `fn` is not a function
   */
  add<Line extends MiddlewareLine> (line: Line, fn: SocketMiddleware<Line>): void {
    this.#check(line)
    if (typeof fn !== 'function') throw scError('SC_ERR_MIDDLEWARE_FUNCTION', [line, typeName(fn)])
    const hook = toHook(line, fn, this.#warn)
    this.#added[line].push({ fn, hook })
    if (line !== 'handshakeWS') this.#root.add(line, hook)
  }

  /**
   * Removes a middleware, however often it was added.
   * @throws InvalidArgumentsError for an unknown line
   */
  remove<Line extends MiddlewareLine> (line: Line, fn: SocketMiddleware<Line>): void {
    this.#check(line)
    const added: Array<Added<Line>> = this.#added[line]
    for (const entry of added.filter((entry) => entry.fn === fn)) {
      added.splice(added.indexOf(entry), 1)
      if (line !== 'handshakeWS') this.#root.remove(line, entry.hook)
    }
  }

  #check (line: string): void {
    if (!middlewareLines.includes(line as MiddlewareLine)) throw scError('SC_ERR_MIDDLEWARE_TYPE', [line, middlewareLines.join(', ')])
  }
}
