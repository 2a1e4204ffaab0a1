import type { HTTPMethod } from 'find-my-way'
import findMyWay from 'find-my-way'
import type { ChannelRoute } from '../../types/routes.js'
import { fromPath, isForeign, isPlain, patternParams, toPath } from './pattern-syntax.js'

/** A declared pattern that matches a channel name, with the values of its parameters. */
export interface ChannelMatch {
  readonly route: ChannelRoute
  readonly params: Readonly<Record<string, string>>
  /** The first parameter that is empty. Such a name does not match the pattern. */
  readonly emptyParam?: string
}

/** The parameters of a name without any; frozen and without prototype. */
export const noParams: Readonly<Record<string, string>> = Object.freeze(Object.create(null) as Record<string, string>)

const method: HTTPMethod = 'GET'
const unused = (): void => {}

/**
 * Finds the pattern of a channel name. Static text takes precedence over parameters, and parameters over `*`, as with Fastify's
 * routes.
 */
export class ChannelRouter {
  /** Patterns without parameters, by name. */
  readonly #names = new Map<string, ChannelMatch>()
  readonly #router = findMyWay({ maxParamLength: Number.MAX_SAFE_INTEGER })
  #patterns = 0

  /** Whether a declared pattern matches exactly the same names as this one. */
  has (pattern: string): boolean {
    const path = toPath(pattern)
    return patternParams(pattern).length === 0 ? this.#names.has(pattern.replaceAll('::', ':')) : this.#router.findRoute(method, path) !== null
  }

  add (pattern: string, route: ChannelRoute): void {
    if (patternParams(pattern).length === 0) {
      this.#names.set(pattern.replaceAll('::', ':'), { route, params: noParams })
    } else {
      this.#router.on(method, toPath(pattern), unused, route)
      this.#patterns++
    }
  }

  find (name: string): ChannelMatch | null {
    const match = this.#names.get(name)
    if (match !== undefined) return match
    if (this.#patterns === 0) return null
    // Most names have no characters that are special to the router.
    const plain = isPlain(name)
    if (!plain && isForeign(name)) return null
    const found = this.#router.find(method, plain ? '/' + name : toPath(name))
    if (found === null) return null
    const params = found.params as Record<string, string>
    for (const key in params) if (params[key] === '') return { route: found.store as ChannelRoute, params, emptyParam: key }
    if (!plain) for (const key of Object.keys(params)) params[key] = fromPath(params[key] as string)
    return { route: found.store as ChannelRoute, params }
  }
}
