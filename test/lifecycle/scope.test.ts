import type { FastifyInstance } from 'fastify'
import t from 'tap'
import { Scope, Scopes, hookNames } from '../../lib/lifecycle/scope.js'

const instance = (parent: object | null = null): FastifyInstance => Object.create(parent)
const hook = (): any => () => {}

t.test('a scope has a list for each kind of hook', async (t) => {
  t.same(hookNames, ['handshakeSC', 'authenticate', 'subscribe', 'publishIn', 'publishOut', 'emit', 'preHandler', 'onResponse', 'onError'])
  const scope = new Scope(instance())
  t.same(Object.keys(scope.hooks), hookNames)
  t.same(Object.values(scope.hooks), hookNames.map(() => []))
  t.equal(scope.parent, null)
})

t.test('a child starts with its parent\'s hooks, and gets later ones at the end', async (t) => {
  const [a, b, c, own] = [hook(), hook(), hook(), hook()]
  const parent = new Scope(instance())
  parent.add('emit', a)
  const child = new Scope(instance(), parent)
  const grandchild = new Scope(instance(), child)
  child.add('emit', own)
  parent.add('emit', b)
  parent.add('subscribe', c)
  t.strictSame(parent.hooks.emit, [a, b])
  t.strictSame(child.hooks.emit, [a, own, b])
  t.strictSame(grandchild.hooks.emit, [a, own, b])
  t.strictSame([parent, child, grandchild].map(({ hooks }) => hooks.subscribe), [[c], [c], [c]])
  t.equal(child.parent, parent)
})

t.test('a hook that is removed is gone from the descendants too, once, and no other', async (t) => {
  const [a, b] = [hook(), hook()]
  const parent = new Scope(instance())
  const child = new Scope(instance(), parent)
  for (const each of [a, b, a]) parent.add('emit', each)
  parent.remove('emit', a)
  for (const { hooks } of [parent, child]) t.same([hooks.emit.length, hooks.emit[0] === b, (hooks.emit[1] as unknown) === a], [2, true, true])
  parent.remove('emit', hook())
  parent.remove('subscribe', b)
  for (const { hooks } of [parent, child]) t.equal(hooks.emit.length, 2, 'one that is not there takes no other with it')
})

t.test('the scope of an instance is that of the context that it belongs to', async (t) => {
  const root = instance()
  const scopes = new Scopes(root)
  const child = instance(root)
  t.equal(scopes.of(root), scopes.root)
  t.equal(scopes.of(child), scopes.root, 'before it has one of its own')
  scopes.addChild(child, root)
  t.not(scopes.of(child), scopes.root)
  t.equal(scopes.of(child).parent, scopes.root)
  t.equal(scopes.of(child).instance, child)
  t.equal(scopes.of(instance(child)), scopes.of(child))
  const grandchild = instance(child)
  scopes.addChild(grandchild, child)
  t.equal(scopes.of(grandchild).parent, scopes.of(child))
  t.equal(scopes.of(instance()), scopes.root, 'a stranger has the root\'s')
})
