import type { MiddlewareLine } from '../../types/hooks.js'
import { scError, typeName } from '../errors.js'
import { type AnyMiddleware, middlewareLines, toHook } from '../lifecycle/middleware.js'
import type { AnyHook } from '../lifecycle/run.js'
import type { Scope } from '../lifecycle/scope.js'

/** SocketCluster's middleware: it feeds the hook lists of the context that registered the plugin, at any time. */
export class LegacyMiddleware {
  readonly #root: Scope
  readonly #warn: (err: unknown) => void
  readonly #hooks = new Map<MiddlewareLine, Array<{ fn: AnyMiddleware, hook: AnyHook }>>()

  constructor (root: Scope, warn: (err: unknown) => void) {
    this.#root = root
    this.#warn = warn
  }

  /** The middleware of the HTTP upgrade, as hooks. */
  get handshakeWS (): AnyHook[] {
    return this.#hooks.get('handshakeWS')?.map(({ hook }) => hook) ?? []
  }

  /** @throws InvalidArgumentsError for an unknown line or what is no function */
  add (line: MiddlewareLine, fn: AnyMiddleware): void {
    this.#check(line)
    if (typeof fn !== 'function') throw scError('SC_ERR_MIDDLEWARE_FUNCTION', [line, typeName(fn)])
    const hook = toHook(line, fn, this.#warn)
    const added = this.#hooks.get(line)
    if (added === undefined) this.#hooks.set(line, [{ fn, hook }])
    else added.push({ fn, hook })
    if (line !== 'handshakeWS') this.#root.add(line, hook)
  }

  /** Removes a middleware wherever it was added. */
  remove (line: MiddlewareLine, fn: AnyMiddleware): void {
    this.#check(line)
    const added = this.#hooks.get(line) ?? []
    this.#hooks.set(line, added.filter((entry) => entry.fn !== fn))
    if (line === 'handshakeWS') return
    for (const entry of added) {
      if (entry.fn === fn) this.#root.remove(line, entry.hook)
    }
  }

  #check (line: string): void {
    if (!middlewareLines.includes(line as MiddlewareLine)) throw scError('SC_ERR_MIDDLEWARE_TYPE', [line, middlewareLines.join(', ')])
  }
}
