import type { FastifyInstance, RouteOptions } from 'fastify'

/**
 * Marks a request that this library makes. A request from the network has no symbol properties, so it never matches a hidden
 * route.
 */
export const kCall = Symbol.for('fastify-socketcluster.call')

const constraint = 'fastifySocketcluster'
const marked = 'call'

let routes = 0

/**
 * Returns a path for a hidden route. The number makes it unique; the name, with unsafe characters replaced, is for error messages
 * only.
 */
export function hiddenPath (name: string): string {
  return `/__sc/${++routes}/${name.replace(/\W+/g, '_').slice(0, 40)}`
}

/** Returns the url of a route of `path`, with the prefix of its context. */
export function hiddenUrl (instance: FastifyInstance, path: string): string {
  const { prefix } = instance
  return prefix.endsWith('/') ? prefix + path.slice(1) : prefix + path
}

/** Adds a route that HTTP requests cannot reach (they get the application's 404) and that API documents leave out. */
export function declareHiddenRoute (instance: FastifyInstance, path: string, options: Omit<RouteOptions, 'method' | 'url'>): void {
  if (!instance.hasConstraintStrategy(constraint)) {
    instance.addConstraintStrategy({
      name: constraint,
      mustMatchWhenDerived: true,
      storage () {
        const stores = new Map<string, unknown>()
        return {
          get: (key: string) => stores.get(key) ?? null,
          set: (key: string, store: unknown) => { stores.set(key, store) }
        }
      },
      validate () {},
      deriveConstraint: (req: object) => kCall in req ? marked : undefined
    } as Parameters<FastifyInstance['addConstraintStrategy']>[0])
  }
  instance.route({
    ...options,
    method: 'POST',
    url: path,
    constraints: { [constraint]: marked },
    schema: { ...options.schema, hide: true } as RouteOptions['schema']
  } as RouteOptions)
}
