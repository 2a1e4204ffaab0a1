// What comes before the handshake, a second one, and one beside others.
import jwt from 'jsonwebtoken'
import t from 'tap'
import { Attacked, attack, publish, type Clients, type Test } from '../helpers/attack.js'
import { RawClient, frame } from '../helpers/raw.js'
import { authKey, serve } from '../helpers/serve.js'

const attacked = await Attacked.start(t)

const handshake = { event: '#handshake', data: {}, cid: 1 }

/** Sends what is hostile in front of a handshake: whatever comes, the connection is closed with 4009 and nothing has an effect. */
async function before (t: Test, clients: Clients, messages: unknown[]): Promise<void> {
  const { publishes, connects } = await attacked.stats('main')
  for (const message of messages) {
    const client = await clients.open()
    client.send(message)
    client.send(handshake)
    client.send([handshake, publish('early')])
    t.equal((await client.closed).code, 4009, JSON.stringify(message).slice(0, 60))
    t.same(client.inbox.items.filter((packet) => packet.event !== '#disconnect'), [])
    // All of it in one segment.
    const raw = await clients.net()
    raw.socket.write(Buffer.concat([message, handshake, publish('early')].map((message) => frame(typeof message === 'string' ? message : JSON.stringify(message)))))
    t.equal((await raw.closeFrame()).code, 4009)
    raw.socket.destroy()
  }
  const after = await attacked.stats('main')
  t.same([after.publishes, after.connects], [publishes, connects], 'no effect')
}

attack(t, attacked, [
  {
    what: 'no JSON, scalars and empty arrays before the handshake',
    run: (t, clients) => before(t, clients, ['text', '', '#1', '#2', '42', 'null', 'true', '"text"', '[]', '{', '{}', '[[]]', '\u0000', Buffer.from([0, 255])].filter((message) => typeof message === 'string'))
  },
  {
    what: 'events and arrays before the handshake',
    run: (t, clients) => before(t, clients, [{ event: 'echo', cid: 1 }, publish('early'), { event: '#subscribe', data: 'a', cid: 2 }, { event: '#authenticate', data: 'x', cid: 1 }, { event: '#disconnect', data: { code: 4100 } },
      [handshake], [handshake, publish('early')], [publish('early')], { rid: 1 }, { event: ['#handshake'], data: {}, cid: 1 }, { event: '#Handshake', cid: 1 }])
  },
  {
    what: 'a second handshake',
    async run (t, clients) {
      const client = await clients.connect()
      const before = await attacked.stats('main')
      for (let i = 0; i < 20; i++) t.match(await client.call('#handshake', i % 2 === 0 ? {} : { authToken: jwt.sign({}, authKey) }), { error: { name: 'InvalidActionError' } })
      const after = await attacked.stats('main')
      t.same([after.clients, after.pendingClients, after.connects], [before.clients, before.pendingClients, before.connects])
      // While the first one waits for its hook.
      const racing = await clients.open('slow')
      for (let cid = 1; cid <= 20; cid++) racing.send({ event: '#handshake', data: {}, cid })
      const answers = await Promise.all(Array.from({ length: 20 }, (_, i) => racing.answer(i + 1)))
      t.same(answers.map((answer) => 'error' in answer), [false, ...Array(19).fill(true)])
    }
  }
])

t.test('a second handshake, unknown names, every call id', async (t) => {
  for (const protocolVersion of [1, 2] as const) {
    const { port, sc } = await serve(t, { protocolVersion })
    const events: string[] = []
    const client = await RawClient.connect(t, port, { version: protocolVersion })
    for (const event of ['connection', 'handshake', 'closure', 'authentication', 'badSocketAuthToken'] as const) sc.on(event, () => events.push(event))
    const before = sc.stats()
    for (const data of [{}, null, { authToken: jwt.sign({ name: 'eve' }, authKey) }, { authToken: 'bad' }]) {
      t.match(await client.call('#handshake', data), { error: { name: 'InvalidActionError' } })
    }
    client.send({ event: '#handshake', data: {} })
    await client.barrier()
    const after = sc.stats()
    t.same([after.clients, after.pendingClients, after.connects], [before.clients, before.pendingClients, before.connects])
    t.equal(Object.values(sc.clients)[0]!.authState, 'unauthenticated')
    t.same(events, [])
    for (const event of ['#foo', '#', '#kickOut', '#setAuthToken', '#toString', 'disconnect', '_close', 'error', 'unhandled']) {
      for (const cid of [0, '', 'x', -5]) {
        client.send({ event, cid })
        t.match(await client.answer(cid), { error: { name: 'InvalidActionError' } }, `${event} with ${JSON.stringify(cid)}`)
      }
    }
    const racing = await RawClient.open(t, port, { version: protocolVersion })
    racing.send([{ event: '#handshake', data: {}, cid: 1 }].concat([]))
    t.equal((await racing.closed).code, 4009, 'a handshake comes alone')
  }
})
