import { once } from 'node:events'
import type { FastifyInstance } from 'fastify'
import sc14 from 'socketcluster-client-14'
import sc20 from 'socketcluster-client'
import t from 'tap'
import { ScRefusal, type ScPluginOptions } from '../../lib/index.js'
import { type Cleanup, RawClient } from '../helpers/raw.js'
import { type Served, serve } from '../helpers/serve.js'
import { Stopwatch } from '../helpers/stopwatch.js'
import { until } from '../helpers/waiting.js'

type Test = Cleanup
type Stock = { subscribe: (channel: string) => any, destroy?: () => void, disconnect: () => void, [name: string]: any }

/** A server whose private channels only sockets with a token may have. */
function start (test: Test, options: ScPluginOptions = {}): Promise<Served> {
  return serve(test, { inboundRate: 0, authenticateRate: 0, ...options }, (app) => {
    app.scHook('subscribe', ({ socket, channel }) => {
      if (channel.startsWith('private/') && socket.authToken === null) throw new ScRefusal('log in first', { name: 'NotLoggedInError' })
    })
    app.scEvent('login', {}, async (data: any, { socket }) => { await socket.setAuthToken(data.claims, data.options ?? null) })
    app.scEvent('barrier', {}, () => {})
  })
}

async function login (client: RawClient, claims: object, options?: object): Promise<string> {
  const answer = client.call('login', { claims, options })
  const { data, cid } = await client.event('#setAuthToken')
  client.send({ rid: cid })
  await answer
  return data.token
}

/** Publishes ten private messages a second, each with the time at which it left. */
function flow (app: FastifyInstance, channel: string): () => void {
  const timer = setInterval(() => { app.scServer.exchange.publish(channel, Date.now()) }, 100)
  return () => clearInterval(timer)
}

/** Times of messages as a stock client got them. */
function watch14 (client: Stock, channel: string): number[] {
  const got: number[] = []
  client.subscribe(channel).watch((at: number) => got.push(at))
  return got
}

function watch20 (client: Stock, channel: string): number[] {
  const got: number[] = []
  ;(async () => { for await (const at of client.subscribe(channel)) got.push(at) })()
  return got
}

async function connectStock (test: Test, port: number): Promise<{ client14: Stock, client20: Stock }> {
  const options = { hostname: '127.0.0.1', port, autoReconnect: false }
  const client14: Stock = sc14.create({ ...options, multiplex: false, authTokenName: 'token14' })
  const client20: Stock = sc20.create({ ...options, authTokenName: 'token20' })
  client14.on('error', () => {})
  test.teardown(() => { client14.destroy?.(); client20.disconnect() })
  await Promise.all([new Promise((resolve) => client14.on('connect', resolve)), client20.listener('connect').once()])
  return { client14, client20 }
}

t.test('a token that runs out while private messages flow: none leaves later than 250 ms after, to either client', async (t) => {
  for (const revalidate of ['kick', 'suspend'] as const) {
    await t.test(revalidate, async (t) => {
      const { app, port } = await start(t, { revalidate })
      const { client14, client20 } = await connectStock(t, port)
      const watch = new Stopwatch()
      // Long enough for both to log in and get something, also where all takes longer.
      const exp = Math.ceil(Date.now() / 1000) + 2
      const claims = { sub: 'ann', exp }
      await Promise.all([new Promise((resolve, reject) => client14.emit('login', { claims }, (err: unknown) => err ? reject(err) : resolve(null))), client20.invoke('login', { claims })])
      const [got14, got20] = [watch14(client14, 'private/news'), watch20(client20, 'private/news')]
      const deauthenticated = Promise.all([once(app.scServer, 'deauthentication'), new Promise((resolve) => client14.on('removeAuthToken', resolve)), client20.listener('removeAuthToken').once()])
      const stop = flow(app, 'private/news')
      t.teardown(stop)
      await deauthenticated
      watch.stop()
      /** Publishes, and waits until whatever of it goes to either client is there. */
      const published = async (): Promise<void> => {
        for (let i = 0; i < 5; i++) await app.scServer.exchange.publish('private/news', Date.now())
        await Promise.all([new Promise((resolve) => client14.emit('barrier', 1, resolve)), client20.invoke('barrier', 1)])
      }
      await new Promise(setImmediate)
      const came = [got14, got20].map((got) => got.length)
      await published()

      t.same([got14, got20].map((got) => got.length), came, 'none comes after the news of the end')
      for (const got of [got14, got20]) {
        t.ok(got.length >= 1, `${got.length} messages came while the token lasted`)
        t.ok(got.at(-1)! <= exp * 1000 + 250 + watch.heldUp, `the last one left ${got.at(-1)! - exp * 1000} ms after the end`)
      }
      for (const socket of Object.values(app.scServer.clients)) t.equal(socket.isSubscribed('private/news'), revalidate === 'suspend')

      // Logged in again: what was suspended goes on by itself.
      const before = [got14.length, got20.length]
      await Promise.all([new Promise((resolve) => client14.emit('login', { claims: { sub: 'ann' } }, resolve)), client20.invoke('login', { claims: { sub: 'ann' } })])
      const resumed = (): boolean[] => [got14.length > before[0]!, got20.length > before[1]!]
      if (revalidate === 'suspend') await until('delivery to go on', () => resumed().every(Boolean))
      else await published()
      t.same(resumed(), revalidate === 'suspend' ? [true, true] : [false, false], revalidate === 'suspend' ? 'delivery goes on' : 'what was taken away stays so until the client subscribes')
    })
  }
})

t.test('revoke', async (t) => {
  const { app, port } = await start(t)

  t.test('by user: every socket of the user, and the stored token is refused', async (t) => {
    const [ann, anns, bob] = await Promise.all([0, 1, 2].map(() => RawClient.connect(t, port)))
    const token = await login(ann!, { sub: 'ann' })
    await login(anns!, { sub: 'ann' })
    await login(bob!, { sub: 'bob' })
    for (const client of [ann!, anns!, bob!]) await client.call('#subscribe', { channel: 'private/a' })
    await ann!.call('#subscribe', { channel: 'public' })

    t.equal(await app.scServer.revoke({ user: 'ann' }), 2)
    const [removed, kicked] = await Promise.all([ann!.event('#removeAuthToken'), ann!.event('#kickOut')])
    t.ok(removed)
    t.match(kicked.data, { channel: 'private/a', message: 'log in first' })
    await app.scServer.exchange.publish('private/a', 1)
    await app.scServer.exchange.publish('public', 2)
    t.equal(await bob!.publication('private/a'), 1, 'another user still gets it')
    t.equal(await ann!.publication('public'), 2, 'what is still allowed stays')
    t.notOk(ann!.inbox.items.some((packet) => packet?.data?.channel === 'private/a' && packet.event === '#publish'))

    const again = await RawClient.connect(t, port, { authToken: token })
    t.equal(Object.values(app.scServer.clients).filter((socket) => socket.authToken?.sub === 'ann').length, 0)
    const { error } = await again.call('#authenticate', token)
    t.equal(error.name, 'AuthTokenInvalidError')
    t.equal(error.code, 'SC_ERR_TOKEN_REVOKED')
  })

  t.test('by token id, and by socket', async (t) => {
    const [one, two] = await Promise.all([RawClient.connect(t, port), RawClient.connect(t, port)])
    await login(one, { sub: 'cat', jti: 'one' })
    await login(two, { sub: 'cat', jti: 'two' })
    t.equal(await app.scServer.revoke({ jti: 'one' }), 1)
    await one.event('#removeAuthToken')
    const [left] = Object.values(app.scServer.clients).filter((socket) => socket.authToken?.sub === 'cat')
    t.equal(left!.authToken!.jti, 'two')
    t.equal(await app.scServer.revoke({ socketId: left!.id, user: 'somebody else' }), 0, 'every field must fit')
    t.equal(await app.scServer.revoke({ socketId: left!.id }), 1)
    await t.rejects(app.scServer.revoke({}), { name: 'InvalidArgumentsError' })
  })

  t.test('a later token of the user counts', async (t) => {
    const client = await RawClient.connect(t, port)
    // Tokens are issued in whole seconds: one of the second of the revocation may be older than it.
    const seconds = (): number => Math.floor(Date.now() / 1000)
    await app.scServer.revoke({ user: 'dan' })
    const revoked = seconds()
    await until('the next second', () => seconds() > revoked)
    const token = await login(client, { sub: 'dan' })
    const other = await RawClient.open(t, port)
    const status = await other.handshake(token)
    t.equal(status.isAuthenticated, true)
  })
})

t.test('messages wait while a slow hook decides again', async (t) => {
  const { app, port } = await start(t)
  let decide: ((allowed: boolean) => void) | undefined
  app.scServer.addMiddleware('subscribe', async (req) => {
    if (!req.revalidation || req.channel !== 'slow') return
    const allowed = await new Promise<boolean>((resolve) => { decide = resolve })
    if (!allowed) throw new ScRefusal('not any more')
  })
  for (const allowed of [true, false]) {
    const client = await RawClient.connect(t, port)
    await login(client, { sub: 'eve' })
    await client.call('#subscribe', { channel: 'slow' })
    await client.call('#subscribe', { channel: 'other' })
    client.send({ event: '#removeAuthToken' })
    await once(app.scServer, 'deauthentication')
    await app.scServer.exchange.publish('slow', 'held')
    await app.scServer.exchange.publish('other', 'free')
    t.equal(await client.publication('other'), 'free', 'other channels do not wait')
    t.notOk(client.inbox.items.some((packet) => packet?.event === '#publish'), 'nothing leaves while it is undecided')
    decide!(allowed)
    if (allowed) {
      t.equal(await client.publication('slow'), 'held', 'what came meanwhile follows')
    } else {
      t.match((await client.event('#kickOut')).data, { channel: 'slow', message: 'not any more' })
      await client.call('barrier')
      t.notOk(client.inbox.items.some((packet) => packet?.event === '#publish'), 'and what was held is gone')
    }
    await client.close()
  }
})

t.test('commands about sockets', async (t) => {
  const { app, port } = await start(t)
  const [ann, bob] = await Promise.all([RawClient.connect(t, port), RawClient.connect(t, port)])
  await login(ann, { sub: 'ann' })
  await login(bob, { sub: 'bob' })
  for (const client of [ann, bob]) await client.call('#subscribe', { channel: 'room' })
  t.equal(await app.scServer.kickOut({}, 'room', 'closed'), 2, 'an empty filter means all')
  t.match((await ann.event('#kickOut')).data, { channel: 'room', message: 'closed' })
  t.equal(await app.scServer.disconnectSockets({ user: 'bob' }, 4100, 'bye'), 1)
  t.same(await bob.closed, { code: 4100, reason: 'bye' })
  t.equal(app.scServer.clientsCount, 1)
  await t.rejects(app.scServer.disconnectSockets({}, 7), { name: 'InvalidArgumentsError' })
  const stats = await app.scServer.cluster.stats()
  t.equal(stats.nodes.length, 1)
  t.equal(stats.total.clients, 1)
})
