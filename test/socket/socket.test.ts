import { readFileSync } from 'node:fs'
import t from 'tap'
import { sessionOf } from '../../lib/socket/socket.js'
import { ScServerSocket } from '../../lib/index.js'
import { RawClient } from '../helpers/raw.js'
import { serve } from '../helpers/serve.js'

/** The names that an interface of `types/server.ts` declares, and those of the interfaces that it extends. */
function declared (name: string): string[] {
  const types = readFileSync(new URL('../../types/server.ts', import.meta.url), 'utf8')
  const [, parent, body] = new RegExp(`interface ${name}(?: extends (\\w+))? \\{\\n([^]*?)\\n\\}`).exec(types)!
  const own = [...body!.matchAll(/^ {2}(?:readonly )?(\w+)(?:<[^>]*>)? ?[(:]/gm)].map(([, member]) => member!)
  return parent === undefined ? own : [...own, ...declared(parent)]
}

t.test('a socket shows the public API, and nothing that stands behind it', async (t) => {
  const { port, nextSocket } = await serve(t)
  const [socket] = await Promise.all([nextSocket(), RawClient.connect(t, port)])
  t.same(Object.keys(socket).sort(), ['data', 'id'])
  t.same(Object.getOwnPropertySymbols(socket), [])
  const shown = new Set<string>(Object.getOwnPropertyNames(socket))
  for (let at: object = Object.getPrototypeOf(socket); at !== Object.prototype; at = Object.getPrototypeOf(at)) {
    for (const name of Object.getOwnPropertyNames(at)) shown.add(name)
  }
  const own = new Set(declared('ScServerSocket'))
  t.ok(own.size > 80, `${own.size} names`)
  t.same([...shown].filter((name) => !own.has(name)).sort(), ['constructor', 'toJSON'])
  t.same([...own].filter((name) => !shown.has(name)), [])
})

t.test('what a socket says of itself cannot be changed from outside, what is the application\'s can', async (t) => {
  const { port, nextSocket } = await serve(t)
  const [socket] = await Promise.all([nextSocket(), RawClient.connect(t, port)])
  for (const name of ['state', 'authState', 'authToken', 'signedAuthToken', 'active', 'server', 'exchange']) {
    t.throws(() => { (socket as any)[name] = 'mine' }, TypeError, name)
  }
  socket.data = { mine: true }
  ;(socket as any).own = 1
  t.match(socket, { data: { mine: true }, own: 1, state: 'open' })
})

t.test('listeners are called for the socket, and adding one gives it back', async (t) => {
  const { port, nextSocket } = await serve(t)
  const [socket, client] = await Promise.all([nextSocket(), RawClient.connect(t, port)])
  const seen: unknown[] = []
  t.equal(socket.on('wire', function (this: unknown) { seen.push(this) }).once('close', function (this: unknown) { seen.push(this) }), socket)
  t.equal(socket.off('nothing'), socket)
  client.send({ event: 'wire' })
  await client.call('#subscribe', { channel: 'a' })
  socket.disconnect()
  t.same(seen.map((self) => self === socket), [true, true])
})

t.test('a session is reached from a socket that the server made, and from nothing else', async (t) => {
  const { port, nextSocket } = await serve(t)
  const [socket] = await Promise.all([nextSocket(), RawClient.connect(t, port)])
  const session = sessionOf(socket)
  t.equal(session.socket, socket)
  t.equal(session.id, socket.id)
  t.ok(socket instanceof ScServerSocket)
  t.throws(() => sessionOf(Object.create(socket)), TypeError)
  t.same(JSON.parse(JSON.stringify(session)).socket.id, socket.id, 'and is printed as its socket')
})

t.test('a socket is gone when it was told to, whatever it was told with', async (t) => {
  const { port, nextSocket, sc } = await serve(t)
  const revoked = (): unknown => {
    const { proxy, revoke } = Proxy.revocable({}, {})
    revoke()
    return proxy
  }
  const circular = (): unknown => {
    const value = Object.create(null)
    return Object.assign(value, { value })
  }
  const unreadable = { revoked, circular, 'a proxy': () => new Proxy({}, { getPrototypeOf () { throw new Error('no') } }), 'a getter': () => ({ get signedAuthToken () { throw new Error('no') } }), 'a bigint': () => 1n, 'a symbol': () => Symbol('no'), toJSON: () => ({ toJSON () { throw new Error('no') } }) }
  for (const [name, make] of Object.entries(unreadable)) {
    const [socket, client] = await Promise.all([nextSocket(), RawClient.connect(t, port)])
    const loops = [socket.listener('disconnect'), sc.listener('closure')].map((stream) => stream.once())
    socket.disconnect(4000, make())
    t.equal((await client.closed).code, 4000, name)
    t.equal(sc.clientsCount, 0, name)
    t.equal((await Promise.all(loops)).length, 2, name)
  }
  t.equal(sc.stats().faults, 0)
})
