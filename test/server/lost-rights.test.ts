import { setImmediate as turn } from 'node:timers/promises'
import fc from 'fast-check'
import Fastify from 'fastify'
import t from 'tap'
import scPlugin, { type Broker, type BrokerSink, ScRefusal, type ScServerSocket, memoryBroker } from '../../lib/index.js'
import { sessionOf } from '../../lib/socket/socket.js'
import { type Cleanup, RawClient } from '../helpers/raw.js'

// Nothing is delivered that is no longer allowed: in whatever way the claims changed, whoever changed them, and whatever was under way.

const authKey = 'a key that is long enough for these tests'
const channel = 'members'

/** Hooks that wait for their turn. */
class Gate {
  slow = false
  readonly #waiting: Array<() => void> = []

  pass (): void | Promise<void> {
    if (this.slow) return new Promise((resolve) => this.#waiting.push(resolve))
  }

  open (): void {
    for (const resolve of this.#waiting.splice(0)) resolve()
  }
}

async function start (t: Cleanup, revalidate: 'kick' | 'suspend', broker = memoryBroker()) {
  const app = Fastify()
  await app.register(scPlugin, { authKey, inboundRate: 0, authenticateRate: 0, revalidate, hookTimeout: 0, broker })
  const subscribing = new Gate()
  const delivering = new Gate()
  const isMember = (socket: { authToken: object | null }): boolean => (socket.authToken as { role?: string } | null)?.role === 'member'
  app.scChannel(channel, {
    async subscribe ({ socket }) {
      // Decided at once, told later: as a hook does that asks a database.
      const allowed = isMember(socket)
      await subscribing.pass()
      if (!allowed) throw new ScRefusal('members only')
    },
    deliver ({ socket, data }) {
      const personal = isMember(socket) ? (socket.authToken as { of?: string }).of ?? data : 'nothing for you'
      const wait = delivering.pass()
      return wait === undefined ? personal : wait.then(() => personal)
    }
  })
  // Nobody looks at each delivery.
  app.scChannel('plain', { subscribe: ({ socket }) => { if (!isMember(socket)) throw new ScRefusal('members only') } })
  app.scEvent('barrier', {}, () => {})
  await app.listen({ port: 0, host: '127.0.0.1' })
  t.teardown(() => { subscribing.slow = delivering.slow = false; subscribing.open(); delivering.open(); return app.close() })
  return { app, subscribing, delivering, isMember, port: (app.server.address() as { port: number }).port }
}

async function enter (t: Cleanup, { app, port }: Awaited<ReturnType<typeof start>>): Promise<{ client: RawClient, socket: ScServerSocket }> {
  const client = await RawClient.connect(t, port)
  const socket = Object.values(app.scServer.clients).at(-1) as ScServerSocket
  return { client, socket }
}

const published = (client: RawClient): unknown[] => client.inbox.items.filter((packet) => packet?.event === '#publish').map((packet) => packet.data.data)

type Change = 'member' | 'guest' | 'remove'
type Step =
  | { do: Change | 'revoke' | 'bad token' | 'publish' | 'subscribe' | 'unsubscribe' | 'open' | 'turn' }
  | { do: 'listen', event: 'authStateChange' | 'deauthenticate' | 'authenticate' | 'badAuthToken' | 'unsubscribe', then: Change | 'publish' }
  | { do: 'slow', hooks: 'subscribing' | 'delivering', slow: boolean }

const step: fc.Arbitrary<Step> = fc.oneof(
  { weight: 8, arbitrary: fc.record({ do: fc.constantFrom('member', 'guest', 'remove', 'revoke', 'bad token', 'publish', 'subscribe', 'unsubscribe', 'open', 'turn') }) },
  { weight: 3, arbitrary: fc.record({ do: fc.constant('listen'), event: fc.constantFrom('authStateChange', 'deauthenticate', 'authenticate', 'badAuthToken', 'unsubscribe'), then: fc.constantFrom('member', 'guest', 'remove', 'publish') }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('slow'), hooks: fc.constantFrom('subscribing', 'delivering'), slow: fc.boolean() }) }
) as fc.Arbitrary<Step>

t.test('changes of claims in any order, by anybody, while hooks decide: only members get what is for members', async (t) => {
  for (const revalidate of ['kick', 'suspend'] as const) {
    const server = await start(t, revalidate)
    const { app, isMember, subscribing, delivering } = server
    const { exchange } = app.scServer
    await fc.assert(fc.asyncProperty(fc.array(step, { minLength: 1, maxLength: 20 }), async (steps) => {
      const { client, socket } = await enter(t, server)
      const wrong: string[] = []
      const { connection } = sessionOf(socket)
      const publish = connection.publish.bind(connection)
      connection.publish = (...args) => {
        if (!isMember(socket)) wrong.push(`delivered to ${JSON.stringify(socket.authToken)}`)
        return publish(...args)
      }
      const change = (to: Change): void => {
        if (to === 'remove') socket.deauthenticate()
        else socket.setAuthToken({ sub: `user ${socket.id}`, role: to } as object)
      }
      const act = (what: Change | 'publish'): void => { if (what === 'publish') exchange.publish(channel, 'secret'); else change(what) }
      change('member')
      await client.call('#subscribe', { channel })
      for (const one of steps) {
        switch (one.do) {
          case 'listen':
            socket.once(one.event as 'authenticate', () => { act(one.then) })
            break
          case 'slow':
            (one.hooks === 'subscribing' ? subscribing : delivering).slow = one.slow
            break
          case 'open':
            subscribing.open()
            delivering.open()
            break
          case 'turn':
            await turn()
            break
          case 'revoke':
            app.scServer.revoke({ socketId: socket.id })
            break
          case 'bad token':
            await client.call('#authenticate', 'not a token')
            break
          case 'subscribe':
          case 'unsubscribe':
            client.send({ event: `#${one.do}`, data: { channel } })
            await client.call('barrier')
            break
          default:
            act(one.do)
        }
      }
      subscribing.slow = delivering.slow = false
      for (let i = 0; i < 5; i++) {
        subscribing.open()
        delivering.open()
        await turn()
      }
      // What is allowed is not held back for ever.
      await client.call('barrier')
      client.inbox.items.length = 0
      exchange.publish(channel, 'last')
      await client.call('barrier')
      const got = published(client)
      const expected = socket.isSubscribed(channel) && isMember(socket) ? ['last'] : []
      client.ws.terminate()
      if (wrong.length > 0) throw new Error(wrong[0])
      if (JSON.stringify(got) !== JSON.stringify(expected)) throw new Error(`expected ${JSON.stringify(expected)}, got ${JSON.stringify(got)}`)
    }), { numRuns: 150, interruptAfterTimeLimit: 20_000 })
  }
})

t.test('a token that a listener of the loss sets is no reason to keep what the old one allowed', async (t) => {
  for (const event of ['authStateChange', 'deauthenticate', 'badAuthToken', 'error'] as const) {
    await t.test(event, async (t) => {
      const server = await start(t, 'kick')
      const { client, socket } = await enter(t, server)
      socket.setAuthToken({ role: 'member' } as object)
      await client.call('#subscribe', { channel })
      socket.once(event as 'deauthenticate', () => { socket.setAuthToken({ role: 'guest' } as object) })
      await client.call('#authenticate', 'not a token')
      await client.event('#kickOut')
      await server.app.scServer.exchange.publish(channel, 'secret')
      await client.call('barrier')
      t.same(published(client), [])
    })
  }
})

t.test('a check that was begun for claims that are gone decides nothing', async (t) => {
  const server = await start(t, 'kick')
  const { client, socket } = await enter(t, server)
  socket.setAuthToken({ role: 'member' } as object)
  await client.call('#subscribe', { channel })
  server.subscribing.slow = true
  socket.setAuthToken({ role: 'member' } as object)
  socket.deauthenticate()
  server.app.scServer.exchange.publish(channel, 'secret')
  server.subscribing.open()
  await turn()
  server.app.scServer.exchange.publish(channel, 'secret')
  await client.call('barrier')
  t.same(published(client), [], 'the second check is under way')
  server.subscribing.open()
  await client.event('#kickOut')
  t.same(published(client), [])
})

t.test('what hooks decided for claims that are gone is decided again', async (t) => {
  const server = await start(t, 'kick')
  const { client, socket } = await enter(t, server)
  socket.setAuthToken({ role: 'member', of: 'red' } as object)
  await client.call('#subscribe', { channel })
  server.delivering.slow = true
  server.app.scServer.exchange.publish(channel, 'secret')
  socket.setAuthToken({ role: 'member', of: 'blue' } as object)
  server.delivering.open()
  await turn()
  t.same(published(client), [])
  server.delivering.open()
  t.equal(await client.publication(channel), 'blue')
})

t.test('the last publication that waits for room goes with the right to have it', async (t) => {
  const app = Fastify()
  await app.register(scPlugin, { authKey, inboundRate: 0, maxBufferedBytes: 65_536, slowConsumerPolicy: 'latest' })
  app.scHook('subscribe', ({ socket }) => { if (socket.authToken === null) throw new ScRefusal('log in first') })
  app.scEvent('barrier', {}, () => {})
  await app.listen({ port: 0, host: '127.0.0.1' })
  t.teardown(() => app.close())
  for (const lose of ['deauthenticate', 'kickOut', 'unsubscribe'] as const) {
    const client = await RawClient.connect(t, (app.server.address() as { port: number }).port)
    const socket = Object.values(app.scServer.clients).at(-1)!
    socket.setAuthToken({ sub: 'ada' })
    await client.call('#subscribe', { channel })
    client.ws.pause()
    // What the operating system takes does not wait.
    const slow: unknown[] = []
    app.scServer.once('slowConsumer', (socket) => { slow.push(socket) })
    for (let i = 0; i < 2_000 && slow.length === 0; i++) {
      await app.scServer.exchange.publish(channel, 'x'.repeat(32_768))
      await turn()
    }
    t.equal(slow.length, 1)
    await app.scServer.exchange.publish(channel, `secret${'x'.repeat(48_000)}`)
    if (lose === 'unsubscribe') {
      client.send({ event: '#unsubscribe', data: { channel } })
      await new Promise((resolve) => socket.once('unsubscribe', resolve))
    } else if (lose === 'kickOut') socket.kickOut(channel)
    else socket.deauthenticate()
    t.notOk(socket.isSubscribed(channel))
    client.ws.resume()
    await client.call('barrier')
    await turn()
    await client.call('barrier')
    t.notOk(published(client).some((data) => (data as string).startsWith('secret')), lose)
    client.ws.terminate()
  }
})

t.test('a connection that is dropped does no more: not what waits, not the rest of an array or of a segment', async (t) => {
  const server = await start(t, 'kick')
  const { client, socket } = await enter(t, server)
  let called = 0
  socket.on('last', () => { called++; socket.terminate() })
  const closed = new Promise((resolve) => socket.once('close', resolve))
  const raw = (client.ws as unknown as { _socket: { cork (): void, uncork (): void } })._socket
  raw.cork()
  client.ws.send(JSON.stringify([{ event: 'last' }, { event: 'last' }]))
  client.ws.send(JSON.stringify({ event: 'last' }))
  raw.uncork()
  await closed
  t.equal(called, 1)
})

t.test('rights that are lost while the broker is asked: nothing is delivered, however soon it comes after the broker\'s word', async (t) => {
  for (const shared of [true, false]) {
    for (let turns = 0; turns < 16; turns++) {
      let tell!: () => void
      const made = { asked: new Promise<void>((resolve) => { tell = resolve }) } as { sink: BrokerSink, asked: Promise<void>, answer (): void, broker: Broker }
      const subscribe = (): Promise<void> => new Promise((resolve) => {
        made.answer = resolve
        tell()
      })
      made.broker = { name: 'mine', shared, start (sink) { made.sink = sink; sink.state('up') }, subscribe, unsubscribe () {}, publish () {}, control () {}, stop () {} }
      const server = await start(t, 'kick', made.broker)
      const { client, socket } = await enter(t, server)
      socket.setAuthToken({ role: 'member' } as object)
      client.send({ event: '#subscribe', data: { channel: 'plain' } })
      await made.asked
      socket.deauthenticate()
      made.answer()
      for (let i = 0; i < turns; i++) await null
      made.sink.publication('plain', '"secret"')
      await turn()
      await client.call('barrier')
      t.strictSame(published(client), [], `${turns} turns of promises after the word of a broker that is ${shared ? '' : 'not '}shared`)
      t.notOk(socket.isSubscribed('plain'))
      client.ws.terminate()
    }
  }
})
