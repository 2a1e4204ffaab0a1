// Names of events and ids of calls, of every kind: those of objects, emitters and prototypes are names like others.
import t from 'tap'
import { Attacked, attack, tolerance } from '../helpers/attack.js'
import { inherited } from '../helpers/names.js'
import { RawClient } from '../helpers/raw.js'
import { serve } from '../helpers/serve.js'

const attacked = await Attacked.start(t)

const local = ['subscribe', 'unsubscribe', 'connect', 'disconnect', 'connectAbort', 'close', 'message', 'error', 'authStateChange', 'authTokenSigned', 'authenticate', 'deauthenticate', 'badAuthToken', 'raw']

attack(t, attacked, [
  {
    what: 'event names of a wrong type or length',
    async run (t, clients) {
      const client = await clients.connect()
      const { invalid } = await attacked.stats('main')
      const names: unknown[] = [0, 1, true, false, {}, [], ['echo'], { toString: 'echo' }, '', 'x'.repeat(129), 'x'.repeat(60_000)]
      for (const event of names) {
        client.send({ event })
        client.send({ event, cid: 'x' })
        t.match(await client.answer('x'), { error: { name: 'InvalidMessageError' } }, JSON.stringify(event).slice(0, 40))
      }
      t.equal((await attacked.stats('main')).invalid, invalid + 2 * names.length, 'counted')
      client.send({ event: 'x'.repeat(1_000_000) })
      t.equal((await client.closed).code, 1009)
    }
  },
  {
    what: 'names of objects, emitters and the socket itself as events',
    async run (t, clients) {
      const client = await clients.connect('open')
      for (const event of [...inherited, ...local, ...local.map((name) => `_${name}`)]) {
        client.send({ event, data: 1 })
        t.match(await client.call(event, { code: 1 }), { error: { name: 'InvalidActionError' } }, event)
      }
      t.equal((await client.call('echo', 1)).data, 1)
    }
  },
  {
    what: 'reserved names that no client may send',
    async run (t, clients) {
      const client = await clients.connect()
      for (const event of ['#', '##', '#x', '#setAuthToken', '#kickOut', '#__proto__', '#constructor', '#Subscribe', '#publish ']) {
        client.send({ event, data: { channel: 'a' } })
        t.match(await client.call(event, { channel: 'a', token: 'x' }), { error: { name: 'InvalidActionError' } }, event)
      }
    }
  },
  {
    what: 'call ids of any kind',
    async run (t, clients) {
      const client = await clients.connect()
      for (const cid of ['text', 'x'.repeat(32), '', '__proto__', 'constructor', -1, 0, Number.MAX_SAFE_INTEGER]) {
        client.send({ event: 'echo', data: 'a', cid })
        t.same(await client.answer(cid), { rid: cid, data: 'a' })
      }
      for (const cid of [{}, [], [1], true, false, 0.5, 1e308, 2 ** 53, 'x'.repeat(33), { toString: 1 }]) client.send({ event: 'echo', cid })
      client.send('{"event":"echo","cid":-0.0}')
      client.send('{"event":"echo","cid":1e999}')
      await client.barrier()
      t.same(client.inbox.items.filter((packet) => packet.rid !== 0), [], 'others are ignored')
    }
  },
  {
    what: '200,000 answers that nobody waits for',
    versions: [2],
    async run (t, clients) {
      const client = await clients.connect('open')
      const ids = [...inherited, 1, 2, 0, -1, 'x']
      const { cpu } = await attacked.report()
      const total = 200_000
      for (let sent = 0; sent < total; sent += 50) client.send(Array.from({ length: 50 }, (_, i) => ({ rid: ids[(sent + i) % ids.length], data: 1 })))
      await client.barrier()
      const each = ((await attacked.report()).cpu - cpu) / total
      t.comment(`${each.toFixed(2)} µs each`)
      t.ok(each < 5 * tolerance)
    }
  }
])

t.test('inherited names are ordinary names', async (t) => {
  const { port, sc, nextSocket } = await serve(t, { inboundRate: 0, socketChannelLimit: 0 })
  const opening = nextSocket()
  const client = await RawClient.connect(t, port)
  const socket = await opening
  t.equal(Object.getPrototypeOf(sc.clients), null)
  t.equal(Object.getPrototypeOf(sc.pendingClients), null)
  t.equal(Object.getPrototypeOf(socket.channelSubscriptions), null)
  for (const name of inherited) {
    client.send({ rid: name, data: 1 })
    client.send({ rid: name, error: { message: name } })
    t.match(await client.call(name, 1), { error: { name: 'InvalidActionError', message: /No handler/ } }, `${name} as an event that nobody handles`)
    t.notOk(socket.isSubscribed(name))
    t.notOk(name in socket.channelSubscriptions)
    t.match(await client.call('#unsubscribe', name), { error: { name: 'InvalidActionError' } })
    t.notOk('error' in await client.call('#subscribe', name))
    t.ok(socket.isSubscribed(name), `${name} as a channel`)
    client.send({ event: '#publish', data: { channel: name, data: name }, cid: name })
    t.same(await client.answer(name), { rid: name }, `${name} as a call id`)
    t.equal(await client.publication(name), name)
    socket.on(name, (data: unknown, res: (err: unknown, data: unknown) => void) => res(null, data))
    t.match(await client.call(name, { own: name }), { data: { own: name } }, `${name} as an event`)
  }
  t.equal(socket.channelSubscriptionsCount, inherited.length)
  t.same(Object.keys(socket.channelSubscriptions).sort(), [...inherited].sort())
  t.same(Object.keys(Object.prototype), [])
})
