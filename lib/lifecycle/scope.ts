import type { FastifyInstance } from 'fastify'
import type { Hook, HookName } from '../../types/hooks.js'
import type { HookLists } from '../../types/routes.js'
import type { ScServerSocket } from '../../types/server.js'
import type { AnyHook } from './run.js'

const noHooks: HookLists = { handshakeSC: [], authenticate: [], subscribe: [], publishIn: [], publishOut: [], emit: [], preHandler: [], onResponse: [], onError: [] }

/** The names of all hooks. */
export const hookNames = Object.keys(noHooks) as HookName[]

type OwnLists = { readonly [Name in HookName]: Array<Hook<Name, ScServerSocket, FastifyInstance>> }

/** Copies hook lists, so that additions do not change the lists of the parent. */
function copyOf (hooks: HookLists): OwnLists {
  return {
    handshakeSC: [...hooks.handshakeSC],
    authenticate: [...hooks.authenticate],
    subscribe: [...hooks.subscribe],
    publishIn: [...hooks.publishIn],
    publishOut: [...hooks.publishOut],
    emit: [...hooks.emit],
    preHandler: [...hooks.preHandler],
    onResponse: [...hooks.onResponse],
    onError: [...hooks.onError]
  }
}

/**
 * The hooks of one encapsulation context. A new scope starts with the hooks of its parent. A hook that the parent adds later is
 * appended to the lists of all descendants, in the same order as Fastify's own hooks.
 */
export class Scope {
  readonly hooks: HookLists
  /** The same lists, mutable. */
  readonly #lists: OwnLists
  readonly #children: Scope[] = []

  constructor (readonly instance: FastifyInstance, readonly parent: Scope | null = null) {
    this.hooks = this.#lists = copyOf(parent?.hooks ?? noHooks)
    if (parent !== null) parent.#children.push(this)
  }

  add (name: HookName, hook: AnyHook): void {
    const list: AnyHook[] = this.#lists[name]
    list.push(hook)
    for (const child of this.#children) child.add(name, hook)
  }

  remove (name: HookName, hook: AnyHook): void {
    const list: AnyHook[] = this.#lists[name]
    const index = list.indexOf(hook)
    if (index !== -1) list.splice(index, 1)
    for (const child of this.#children) child.remove(name, hook)
  }
}

/** The scopes of one plugin registration, by Fastify instance. */
export class Scopes {
  readonly root: Scope
  readonly #byInstance = new WeakMap<object, Scope>()

  constructor (instance: FastifyInstance) {
    this.root = new Scope(instance)
    this.#byInstance.set(instance, this.root)
  }

  /** Called in Fastify's `onRegister`, before the code of the child runs. */
  addChild (child: FastifyInstance, parent: FastifyInstance): void {
    this.#byInstance.set(child, new Scope(child, this.of(parent)))
  }

  /** Returns the scope of an instance: its own, or that of the nearest instance it inherits from. */
  of (instance: FastifyInstance): Scope {
    for (let at: object | null = instance; at !== null; at = Object.getPrototypeOf(at)) {
      const scope = this.#byInstance.get(at)
      if (scope !== undefined) return scope
    }
    return this.root
  }
}
