import { once } from 'node:events'
import jwt from 'jsonwebtoken'
import t, { type Test } from 'tap'
import { natsBroker } from '../../lib/broker/nats/index.js'
import { redisBroker } from '../../lib/broker/redis/index.js'
import { connect14, connect20 } from '../helpers/app.js'
import { TcpProxy } from '../helpers/proxy.js'
import { RawClient } from '../helpers/raw.js'
import { authKey, type Served, serve } from '../helpers/serve.js'
import { startNats, startRedis } from '../helpers/servers.js'
import { until } from '../helpers/waiting.js'

// Revocations reach every node: those that are here, those that were cut off, and those that come later.

function startNode (t: Test, engine: string, port: number): Promise<Served> {
  // The engine's ends are all heard of at once here: nothing is to be taken for silent on a machine that is busy.
  const options = { timeout: 10_000, probeInterval: 10_000, maxRetryDelay: 100 }
  return serve(t, {
    inboundRate: 0,
    authenticateRate: 0,
    closeTimeout: 500,
    broker: engine === 'redis' ? redisBroker({ url: `redis://127.0.0.1:${port}`, ...options }) : natsBroker({ servers: `127.0.0.1:${port}`, ...options })
  })
}

const isRefused = async (t: Test, node: Served, token: string): Promise<boolean> => {
  const client = await RawClient.open(t, node.port)
  const { isAuthenticated } = await client.handshake(token)
  client.ws.terminate()
  return isAuthenticated === false
}

for (const engine of ['redis', 'nats'] as const) {
  t.test(engine, async (t) => {
    const server = await (engine === 'redis' ? startRedis(t) : startNats(t))
    if (server === null) return t.plan(0, `${engine}-server is not installed`)
    const proxy = await new TcpProxy(server.port).listen()
    t.teardown(() => proxy.close())
    const a = await startNode(t, engine, server.port)
    const b = await startNode(t, engine, proxy.port)
    await until('two nodes', () => a.app.scServer.cluster.nodes.length === 2 && b.app.scServer.cluster.nodes.length === 2)
    const token = (sub: string | number, jti = 'any'): string => jwt.sign({ sub, jti }, authKey)

    await t.test('on the other node: at once, for both generations, and both fields together', async (t) => {
      const clients = await Promise.all([connect14(t, b), connect20(t, b), connect14(t, b)])
      await clients[0]!.authenticate(token(5, 'one'))
      await clients[1]!.authenticate(token(5, 'two'))
      await clients[2]!.authenticate(token('bob', 'one'))
      t.equal(await a.app.scServer.revoke({ user: '5', jti: 'one' }), 1)
      await clients[0]!.nextEvent('deauthenticate')
      t.same(clients.map(({ id }) => b.app.scServer.clients[id]!.authState), ['unauthenticated', 'authenticated', 'authenticated'])
      for (const node of [a, b]) {
        t.ok(await isRefused(t, node, token(5, 'one')))
        t.notOk(await isRefused(t, node, token(5, 'two')))
        t.notOk(await isRefused(t, node, token('bob', 'one')))
      }
    })

    await t.test('a node that joins later knows what is in force', async (t) => {
      await a.app.scServer.revoke({ user: 'early' })
      const c = await startNode(t, engine, server.port)
      await until('the new node to know', () => isRefused(t, c, token('early')))
      t.ok(await isRefused(t, c, token(5, 'one')))
      t.notOk(await isRefused(t, c, token('somebody else')))
      await c.app.close()
    })

    await t.test('a node that was cut off learns what it missed, and tells what it did', async (t) => {
      const [onA, onB] = await Promise.all([connect20(t, a), connect14(t, b)])
      await onA.authenticate(token('told'))
      await onB.authenticate(token('missed'))
      const down = once(b.app.scServer, 'brokerState')
      proxy.block()
      await down
      await a.app.scServer.revoke({ user: 'missed' })
      await t.rejects(b.app.scServer.revoke({ user: 'told' }), { name: 'BrokerError' })
      t.equal(b.app.scServer.clients[onB.id]!.authState, 'authenticated')
      proxy.unblock()
      await Promise.all([onA.nextEvent('deauthenticate'), onB.nextEvent('deauthenticate')])
      for (const node of [a, b]) for (const user of ['missed', 'told']) t.ok(await isRefused(t, node, token(user)), user)
    })

    await t.test('the engine was gone for all of them', async (t) => {
      const down = [once(a.app.scServer, 'brokerState'), once(b.app.scServer, 'brokerState')]
      await server.kill()
      await Promise.all(down)
      await t.rejects(a.app.scServer.revoke({ user: 'by a' }), { name: 'BrokerError' })
      await t.rejects(b.app.scServer.revoke({ user: 'by b' }), { name: 'BrokerError' })
      await server.restart()
      await until('each to know of the other', async () => await isRefused(t, b, token('by a')) && isRefused(t, a, token('by b')))
    })
  })
}
