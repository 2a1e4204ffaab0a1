import type { FastifyInstance } from 'fastify'
import type { Hook, HookName } from '../../types/hooks.js'
import type { HookLists } from '../../types/routes.js'
import type { ScServerSocket } from '../../types/server.js'

export const hookNames: readonly HookName[] = ['handshakeSC', 'authenticate', 'subscribe', 'publishIn', 'publishOut', 'emit', 'preHandler', 'onResponse', 'onError']

type AnyHook = Hook<HookName, ScServerSocket, FastifyInstance>

/**
 * The hooks of one encapsulation context. A new scope starts with its parent's hooks; one that the parent adds later
 * goes to the end of every descendant's list too, which is the order Fastify gives its own hooks.
 */
export class Scope {
  readonly hooks: HookLists
  readonly #children: Scope[] = []

  constructor (readonly instance: FastifyInstance, readonly parent: Scope | null = null) {
    this.hooks = Object.fromEntries(hookNames.map((name) => [name, parent === null ? [] : [...parent.hooks[name]]])) as unknown as HookLists
    if (parent !== null) parent.#children.push(this)
  }

  add (name: HookName, hook: AnyHook): void {
    const list = this.hooks[name] as AnyHook[]
    list.push(hook)
    for (const child of this.#children) child.add(name, hook)
  }

  remove (name: HookName, hook: AnyHook): void {
    const list = this.hooks[name] as AnyHook[]
    const index = list.indexOf(hook)
    if (index !== -1) list.splice(index, 1)
    for (const child of this.#children) child.remove(name, hook)
  }
}

/** The scopes of one plugin registration, by the instance they belong to. */
export class Scopes {
  readonly root: Scope
  readonly #byInstance = new WeakMap<object, Scope>()

  constructor (instance: FastifyInstance) {
    this.root = new Scope(instance)
    this.#byInstance.set(instance, this.root)
  }

  /** Called from Fastify's `onRegister`, before the child's own code runs. */
  addChild (child: FastifyInstance, parent: FastifyInstance): void {
    this.#byInstance.set(child, new Scope(child, this.of(parent)))
  }

  /** The scope of an instance, which inherits from the instance that owns its scope. */
  of (instance: FastifyInstance): Scope {
    for (let at: object | null = instance; at !== null; at = Object.getPrototypeOf(at)) {
      const scope = this.#byInstance.get(at)
      if (scope !== undefined) return scope
    }
    return this.root
  }
}
