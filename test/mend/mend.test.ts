import { EventEmitter, once } from 'node:events'
import { createServer } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import Fastify from 'fastify'
import jwt from 'jsonwebtoken'
import t from 'tap'
import { memoryBroker, ScRefusal, scPlugin, type Broker, type ScServerSocket } from '../../lib/index.js'
import { sessionOf } from '../../lib/socket/socket.js'
import { RawClient } from '../helpers/raw.js'
import { authKey, serve } from '../helpers/serve.js'
import { Stopwatch } from '../helpers/stopwatch.js'
import { closed, until } from '../helpers/waiting.js'

// What SocketCluster does differently, one test for each mended behaviour.

/** Names that every object or emitter answers to. */
const inherited = [...new Set([...Object.getOwnPropertyNames(Object.prototype), ...Object.getOwnPropertyNames(EventEmitter.prototype), 'newListener', 'prototype', 'then'])]

/** A promise and the function that settles it. */
function gate (): { opened: Promise<void>, open: () => void } {
  let open!: () => void
  const opened = new Promise<void>((resolve) => { open = resolve })
  return { opened, open }
}

/** A broker that answers later, in the order of `release()` calls, or fails. */
function slowBroker (): Broker & { failNext: string[], hold: Promise<void> | null } {
  const memory = memoryBroker()
  return {
    ...bound(memory),
    failNext: [],
    hold: null,
    async subscribe (channels) {
      const { hold } = this
      if (hold !== null) await hold
      else await sleep(1)
      if (channels.some((channel) => this.failNext.includes(channel))) {
        this.failNext.length = 0
        throw new Error('the engine says no')
      }
      await memory.subscribe(channels)
    }
  }
}

function bound (broker: Broker): Broker {
  return {
    name: broker.name,
    shared: broker.shared,
    start: (sink, node) => broker.start(sink, node),
    subscribe: (channels) => broker.subscribe(channels),
    unsubscribe: (channels) => broker.unsubscribe(channels),
    publish: (channel, data) => broker.publish(channel, data),
    control: (message, toNode) => broker.control(message, toNode),
    stop: () => broker.stop()
  }
}

t.test('1: inherited names are ordinary names', async (t) => {
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

t.test('2: what the application throws ends no process', async (t) => {
  let armed = ''
  const boom = (where: string, how: 'throw' | 'reject' | 'reject with nothing'): void | Promise<void> => {
    if (armed !== where) return
    if (how === 'throw') throw new Error(`boom in ${where}`)

    return Promise.reject(how === 'reject' ? new Error(`boom in ${where}`) : undefined)
  }
  for (const how of ['throw', 'reject', 'reject with nothing'] as const) {
    t.test(how, async (t) => {
      const { port, sc, warnings, nextSocket } = await serve(t, {}, (app) => {
        app.scHook('emit', () => boom('emit hook', how))
        app.scHook('subscribe', () => boom('subscribe hook', how))
        app.scHook('publishIn', () => boom('publishIn hook', how))
        app.scHook('publishOut', () => boom('publishOut hook', how))
        app.scHook('authenticate', () => boom('authenticate hook', how))
        app.scEvent('declared', {}, () => boom('declared event', how) as never)
        app.scServer.addMiddleware('emit', (_request, next) => {
          if (armed !== 'emit middleware') next()
          else return boom('emit middleware', how)
        })
        app.scServer.on('subscription', () => boom('listener of the server', how))
        app.scServer.on('warning', () => boom('listener of warnings', how))
      })
      const opening = nextSocket()
      const client = await RawClient.connect(t, port)
      const socket = await opening
      await client.call('#subscribe', 'news')
      socket.on('word', (_data: unknown, res: () => void) => {
        const failed = boom('listener of an event', how)
        if (failed !== undefined) return failed
        res()
      })
      socket.on('late', (_data: unknown, res: () => void) => {
        res()
        return boom('listener that has answered', how)
      })
      socket.on('subscribe', () => boom('local listener', how))
      sc.exchange.subscribe('news').watch(() => boom('watcher', how) as never)

      const cases: Array<[where: string, event: string, data: unknown, fails: boolean]> = [
        ['emit hook', 'word', 1, true],
        ['emit middleware', 'word', 1, true],
        ['subscribe hook', '#subscribe', 'other', true],
        ['publishIn hook', '#publish', { channel: 'news' }, true],
        ['publishOut hook', '#publish', { channel: 'news' }, false],
        ['authenticate hook', '#authenticate', jwt.sign({}, authKey), false],
        ['declared event', 'declared', 1, true],
        ['listener of an event', 'word', 1, true],
        ['listener that has answered', 'late', 1, false],
        ['listener of the server', '#subscribe', 'one', false],
        ['local listener', '#subscribe', 'two', false],
        ['watcher', '#publish', { channel: 'news' }, false],
        ['listener of warnings', '#unsubscribe', 'never subscribed', true]
      ]
      for (const [where, event, data, fails] of cases) {
        armed = where
        const before = warnings.length
        const answer = await client.call(event, data)
        await client.barrier()
        armed = ''
        t.equal('error' in answer, fails, `${where}: ${JSON.stringify(answer)}`)
        if (where === 'authenticate hook') t.match(answer.data, { isAuthenticated: false })
        t.ok(warnings.length > before, `${where}: a warning`)
        t.equal(socket.state, 'open')
        t.notOk(JSON.stringify(answer).includes(' at '), 'no stack')
      }
      const answered = once(sc, 'warning')
      socket.emit('question', 1, () => { throw new Error('boom in a callback') })
      client.send({ rid: (await client.event('question')).cid, data: 1 })
      t.match(await answered, [{ message: 'boom in a callback' }])
      t.match(await client.call('declared', 1), { rid: /./ })
    })
  }

  t.test('in the handshake, and on connection and close', async (t) => {
    const { port, sc, warnings } = await serve(t)
    const events = ['handshake', 'connection', 'disconnection', 'closure', 'authentication', 'authenticationStateChange'] as const
    for (const event of events) sc.on(event, () => { throw new Error(`boom in ${event}`) })
    const client = await RawClient.open(t, port)
    t.match(await client.handshake(jwt.sign({}, authKey)), { isAuthenticated: true })
    const closed = once(sc, 'closure')
    await client.close()
    await closed
    t.same(warnings.map((err) => err.message).sort(), events.map((event) => `boom in ${event}`).sort())
    sc.addMiddleware('handshakeSC', () => { throw new ScRefusal('no') })
    const other = await RawClient.open(t, port)
    t.match(await other.call('#handshake', {}), { error: { message: 'no' }, data: { code: 4008 } })
    t.equal((await other.closed).code, 4008)
  })
})

t.test('3: types are checked before any middleware runs', async (t) => {
  const asked: string[] = []
  const { port, sc, nextSocket } = await serve(t, { inboundRate: 0 })
  sc.addMiddleware('subscribe', ({ channel }, next) => {
    asked.push(typeof channel)
    if (channel === 'secret') next(new Error('not for you'))
    else next()
  })
  sc.addMiddleware('publishIn', ({ channel }, next) => {
    asked.push(typeof channel)
    if (channel === 'secret') next(new Error('not for you'))
    else next()
  })
  const opening = nextSocket()
  const client = await RawClient.connect(t, port)
  const socket = await opening
  const wrong: unknown[] = [undefined, null, 0, 1, true, [], ['secret'], {}, { toString: 'secret' }, { channel: 'secret' }, [['secret']], '', 'x'.repeat(256), 'a\u0000b', 'a\r\nb', '\ud800']
  for (const channel of wrong) {
    for (const [event, data] of [['#subscribe', { channel }], ['#publish', { channel, data: 1 }], ['#unsubscribe', { channel }]] as const) {
      t.match(await client.call(event, data), { error: { name: 'InvalidActionError' } }, `${event} ${JSON.stringify(data)}`)
    }
    if (typeof channel === 'object' && channel !== null && !Array.isArray(channel)) continue
    for (const event of ['#subscribe', '#unsubscribe']) {
      t.match(await client.call(event, channel), { error: { name: 'InvalidActionError' } }, `${event} ${JSON.stringify(channel)}`)
    }
  }
  t.match(await client.call('#publish', 'text'), { error: { name: 'InvalidActionError' } })
  t.match(await client.call('#publish', null), { error: { name: 'InvalidActionError' } })
  t.same(asked, [])
  t.equal(socket.channelSubscriptionsCount, 0)
  t.match(await client.call('#subscribe', 'secret'), { error: { message: 'not for you' } }, 'the bare name passes the same check')
  t.match(await client.call('#subscribe', { channel: 'secret' }), { error: { message: 'not for you' } })
  t.match(await client.call('#publish', { channel: 'secret' }), { error: { message: 'not for you' } })
  t.same(asked, ['string', 'string', 'string'])
})

t.test('4: origins are matched exactly, before any middleware', async (t) => {
  const tables: Array<[origins: string | string[] | undefined, allowed: string[], refused: string[]]> = [
    ['https://example.com', ['https://example.com', 'HTTPS://EXAMPLE.COM', 'https://example.com:443'],
      ['http://example.com', 'https://example.com:8443', 'https://example.com.evil.org', 'https://notexample.com', 'https://sub.example.com', 'https://example.com@evil.org', 'https://user@example.com', 'null', 'https://example.co',
        'https://evil.org/https://example.com', 'example.com', '']],
    [['https://a.example:*', '*://b.example:80', 'c.example:*'], ['https://a.example:1', 'http://b.example', 'http://c.example:5', 'https://c.example'], ['http://a.example:1', 'https://b.example', 'http://cc.example:5']],
    ['*:*', ['https://any.example', 'null', 'http://10.0.0.1:5'], []],
    [undefined, [], ['https://example.com', 'null']]
  ]
  for (const [origins, allowed, refused] of tables) {
    let asked = 0
    const { port, sc } = await serve(t, origins === undefined ? {} : { origins })
    sc.addMiddleware('handshakeWS', (_request, next) => {
      asked++
      next()
    })
    for (const origin of allowed) {
      const client = await RawClient.open(t, port, { origin })
      client.ws.terminate()
    }
    const before = asked
    t.equal(before, allowed.length)
    for (const origin of refused) {
      if (origin === '') await t.rejects(RawClient.open(t, port, { headers: { origin: '' } }), /403/, 'an empty Origin')
      else await t.rejects(RawClient.open(t, port, { origin }), /403/, `${origin} with ${String(origins)}`)
    }
    t.equal(asked, before, 'middleware is not asked about refused ones')
    const client = await RawClient.open(t, port)
    client.ws.terminate()
    if (origins === undefined) {
      const same = await RawClient.open(t, port, { origin: `http://127.0.0.1:${port}` })
      same.ws.terminate()
      await t.rejects(RawClient.open(t, port, { origin: `http://127.0.0.1:${port + 1}` }), /403/)
    }
  }
})

t.test('5: losing authorization ends delivery', async (t) => {
  const modes = [[true, 'kick'], ['kick', 'kick'], ['suspend', 'suspend'], [false, 'keep']] as const
  for (const [revalidate, effect] of modes) {
    t.test(`revalidate: ${String(revalidate)}`, async (t) => {
      const rechecks: string[] = []
      const { port, sc, nextSocket } = await serve(t, { revalidate }, (app) => {
        app.scHook('subscribe', async ({ socket, channel, revalidation }) => {
          if (revalidation) rechecks.push(channel)
          await sleep(2)
          if (channel.startsWith('user/') && channel !== `user/${String(socket.authToken?.name)}`) throw new ScRefusal('not yours')
        })
      })

      async function subscriber (claims: object = { name: 'ann' }): Promise<[RawClient, ScServerSocket]> {
        const opening = nextSocket()
        const client = await RawClient.connect(t, port, { authToken: jwt.sign(claims, authKey) })
        const socket = await opening
        for (const channel of ['user/ann', 'open']) t.notOk('error' in await client.call('#subscribe', { channel }))
        t.notOk('error' in await client.call('#subscribe', { channel: 'members', waitForAuth: true }))
        return [client, socket]
      }

      /** What still arrives of one message to each channel. */
      async function arriving (client: RawClient, socket: ScServerSocket): Promise<string[]> {
        await client.barrier()
        await until('subscriptions to be checked again', () => sessionOf(socket).activity.isQuiet)
        client.inbox.items.length = 0
        for (const channel of ['user/ann', 'open', 'members']) sc.exchange.publish(channel, channel)
        await client.barrier()
        return client.inbox.items.filter((packet) => packet.event === '#publish').map((packet) => packet.data.channel)
      }

      const loss: Array<[string, (client: RawClient, socket: ScServerSocket) => unknown]> = [
        ['deauthenticate()', (_client, socket) => { socket.deauthenticate() }],
        ['deauthenticateSelf()', (_client, socket) => socket.deauthenticateSelf()],
        ['#removeAuthToken', (client) => client.send({ event: '#removeAuthToken' })],
        ['a bad token', (client) => client.call('#authenticate', 'bad')]
      ]
      for (const [how, lose] of loss) {
        const [client, socket] = await subscriber()
        t.same(await arriving(client, socket), ['user/ann', 'open', 'members'])
        await lose(client, socket)
        const kicks: unknown[] = []
        if (effect === 'kick') {
          for (const channel of ['user/ann', 'members']) kicks.push((await client.inbox.take((packet) => packet.event === '#kickOut' && packet.data.channel === channel, 'a kick-out')).data.channel)
        }
        t.same(await arriving(client, socket), effect === 'keep' ? ['user/ann', 'open', 'members'] : ['open'], how)
        t.same(socket.subscriptions(), effect === 'kick' ? ['open'] : ['user/ann', 'open', 'members'], how)
        if (effect === 'suspend') {
          t.match(await client.call('#authenticate', jwt.sign({ name: 'ann' }, authKey)), { data: { isAuthenticated: true } })
          t.same(await arriving(client, socket), ['user/ann', 'open', 'members'], 'it goes on when the client is who it was')
        }
        client.ws.terminate()
      }

      const [client, socket] = await subscriber()
      socket.setAuthToken({ name: 'ben' }).catch(() => {})
      if (effect === 'kick') t.match((await client.event('#kickOut')).data, { channel: 'user/ann', message: 'not yours' })
      t.same(await arriving(client, socket), effect === 'keep' ? ['user/ann', 'open', 'members'] : ['open', 'members'], 'a changed token')
      t.match(await client.call('#authenticate', jwt.sign({ name: 'ben' }, authKey)), { data: { isAuthenticated: true } })
      t.same(await arriving(client, socket), effect === 'keep' ? ['user/ann', 'open', 'members'] : ['open', 'members'], 'a token of another user from the client')
      if (effect === 'keep') t.same(rechecks, [])
      else t.ok(rechecks.includes('user/ann') && rechecks.includes('open'), 'every subscription is asked about again')

      if (effect === 'keep') return
      const exp = Math.ceil(Date.now() / 1000) + 1
      const [expiring] = await subscriber({ name: 'ann', exp })
      const log: string[] = []
      const watch = new Stopwatch()
      expiring.ws.on('message', (data) => {
        const text = data.toString()
        if (text.includes('#removeAuthToken')) log.push('the end')
        else if (text.includes('"user/ann"') && text.includes('#publish')) log.push('private')
      })
      const timer = setInterval(() => sc.exchange.publish('user/ann', 'private'), 20)
      t.teardown(() => clearInterval(timer))
      await expiring.event('#removeAuthToken')
      const late = Date.now() - exp * 1000
      watch.stop()
      clearInterval(timer)
      for (let i = 0; i < 5; i++) await sc.exchange.publish('user/ann', 'private')
      // Its answer passes no publication.
      await expiring.barrier()
      t.ok(log.includes('private'), 'messages flowed')
      t.ok(late <= 250 + watch.heldUp, `it is told ${late} ms after the end of the token, on a machine that held up this process by ${watch.heldUp.toFixed()} ms`)
      t.equal(log.at(-1), 'the end', 'and none comes after it')
    })
  }
})

t.test('6: kickOut', async (t) => {
  const { port, sc, nextSocket } = await serve(t)
  const opening = nextSocket()
  const client = await RawClient.connect(t, port)
  const socket = await opening
  const local: string[] = []
  const server: string[] = []
  socket.on('unsubscribe', (channel) => local.push(channel))
  sc.on('unsubscription', (_socket, channel) => server.push(channel))
  for (const channel of ['a', 'b', 'c']) await client.call('#subscribe', channel)
  await socket.kickOut('unknown')
  await socket.kickOut('__proto__')
  t.equal(socket.channelSubscriptionsCount, 3)
  await socket.kickOut('b', 'because')
  t.same((await client.event('#kickOut')).data, { channel: 'b', message: 'because' })
  t.same(socket.subscriptions(), ['a', 'c'])
  await socket.kickOut('b')
  t.equal(socket.channelSubscriptionsCount, 2)
  let told = false
  await socket.kickOut(undefined, 'all', () => { told = true })
  t.same((await client.event('#kickOut')).data, { channel: 'a', message: 'all' })
  t.same((await client.event('#kickOut')).data, { channel: 'c', message: 'all' })
  t.ok(told)
  t.equal(socket.channelSubscriptionsCount, 0)
  t.same(local, ['b', 'a', 'c'])
  t.same(server, ['b', 'a', 'c'])
  for (const channel of ['a', 'b', 'c']) sc.exchange.publish(channel, 'still there?')
  await client.barrier()
  t.same(client.inbox.items, [], 'nothing is delivered any more')
  t.equal(sc.stats().channels, 0)
  t.match(await client.call('#unsubscribe', 'a'), { error: { name: 'InvalidActionError' } })
  t.equal(socket.channelSubscriptionsCount, 0)
})

t.test('7: close() ends pending connections too, and frees the port', async (t) => {
  for (const how of ['fastify.close()', 'scServer.close()'] as const) {
    const { app, sc, port } = await serve(t)
    const open = await RawClient.connect(t, port)
    const pending = await RawClient.open(t, port)
    t.equal(sc.clientsCount, 1)
    t.equal(sc.pendingClientsCount, 1)
    let called = false
    if (how === 'fastify.close()') await app.close()
    else await sc.close(() => { called = true })
    t.equal(called, how === 'scServer.close()')
    t.equal((await open.closed).code, 1001)
    t.equal((await pending.closed).code, 1001)
    t.equal(sc.clientsCount + sc.pendingClientsCount, 0)
    if (how === 'scServer.close()') {
      await t.rejects(RawClient.open(t, port), /503/, 'nobody else comes in')
      await app.close()
    }
    const again = createServer().listen(port, '127.0.0.1')
    await once(again, 'listening')
    again.close()
    await closed(again)
  }
})

t.test('8: calls fail at once when the socket closes', async (t) => {
  const { port, nextSocket } = await serve(t)
  for (const version of [1, 2] as const) {
    const opening = nextSocket()
    const client = await RawClient.connect(t, port, { version })
    const socket = await opening
    const start = Date.now()
    const invoked = socket.invoke('question')
    const called = new Promise<any>((resolve) => socket.emit('question', 1, resolve))
    socket.setAuthToken({ name: 'ann' }).catch(() => {})
    await client.event('question')
    client.ws.close(4123, 'gone')
    await t.rejects(invoked, { name: 'BadConnectionError', type: 'disconnect', code: 4123, reason: 'gone' })
    t.match(await called, { name: 'BadConnectionError', type: 'disconnect', code: 4123 })
    t.ok(Date.now() - start < 8_000, 'not by the timeout')
    await t.rejects(socket.invoke('later'), { name: 'BadConnectionError' })
    const late = await new Promise<any>((resolve) => socket.emit('later', 1, resolve))
    t.match(late, { name: 'BadConnectionError' })
    t.doesNotThrow(() => socket.emit('nobody hears'))
  }
})

t.test('9: order per channel, however slow a hook is', async (t) => {
  const broker = slowBroker()
  const gates = new Map<string, ReturnType<typeof gate>>()
  const { port, sc, nextSocket } = await serve(t, { broker }, (app) => {
    const wait = async ({ channel, data }: { channel: string, data?: any }): Promise<void> => {
      await gates.get(channel)?.opened
      if (typeof data === 'number') await sleep(data)
    }
    app.scHook('subscribe', wait)
    app.scHook('publishIn', wait)
  })
  const opening = nextSocket()
  const client = await RawClient.connect(t, port)
  const socket = await opening
  socket.on('word', (_data: unknown, res: () => void) => res())
  const events: string[] = []
  sc.on('subscription', (_socket, channel) => events.push(`+${channel}`))
  sc.on('unsubscription', (_socket, channel) => events.push(`-${channel}`))

  t.test('subscribe, publish, unsubscribe take effect as they came; others do not wait', async (t) => {
    const slow = gate()
    gates.set('slow', slow)
    client.send([
      { event: '#subscribe', data: { channel: 'slow' }, cid: 1001 },
      { event: '#publish', data: { channel: 'slow', data: 'first' }, cid: 1002 },
      { event: '#unsubscribe', data: 'slow', cid: 1003 },
      { event: '#publish', data: { channel: 'slow', data: 'second' }, cid: 1004 },
      { event: '#subscribe', data: 'slow', cid: 1005 },
      { event: '#subscribe', data: 'quick', cid: 1006 },
      { event: 'word', cid: 1007 }
    ])
    for (const rid of [1007, 1006]) t.notOk('error' in await client.answer(rid))
    t.same(client.inbox.items, [], 'nothing of the slow channel is done')
    t.notOk(socket.isSubscribed('slow'))
    slow.open()
    gates.delete('slow')
    const order: unknown[] = []
    for (let i = 0; i < 6; i++) {
      const packet = await client.inbox.take(() => true, 'an answer')
      t.notOk('error' in packet, JSON.stringify(packet))
      order.push(packet.rid ?? packet.data.data)
    }
    t.same(order, [1001, 'first', 1002, 1003, 1004, 1005], 'the first is received, the second is not')
    t.same(events.filter((event) => event.endsWith('slow')), ['+slow', '-slow', '+slow'])
    t.ok(socket.isSubscribed('slow'))
  })

  t.test('a slow message is not overtaken by a quick one', async (t) => {
    await client.call('#subscribe', 'talk')
    for (const [i, delay] of [30, 0, 15, 1, 8].entries()) client.send({ event: '#publish', data: { channel: 'talk', data: delay }, cid: 2000 + i })
    const got: unknown[] = []
    for (let i = 0; i < 5; i++) got.push(await client.publication('talk'))
    t.same(got, [30, 0, 15, 1, 8])
  })

  t.test('a subscription does not come to life after the unsubscribe or the close', async (t) => {
    for (const [where, how] of [['hook', 'unsubscribe'], ['hook', 'close'], ['broker', 'close'], ['hook', 'terminate'], ['broker', 'terminate']] as const) {
      const opening = nextSocket()
      const ghost = await RawClient.connect(t, port)
      const ghostSocket = await opening
      const held = gate()
      if (where === 'hook') gates.set('ghost', held)
      else broker.hold = held.opened
      ghost.send({ event: '#subscribe', data: 'ghost' })
      await ghost.barrier()
      events.length = 0
      if (how === 'unsubscribe') {
        ghost.send({ event: '#unsubscribe', data: 'ghost' })
      } else {
        const closed = once(sc, 'closure')
        if (how === 'close') await ghost.close()
        else ghost.ws.terminate()
        await closed
      }
      held.open()
      gates.delete('ghost')
      broker.hold = null
      if (how === 'unsubscribe') await until('both events', () => events.length === 2)
      else await sleep(20)
      t.notOk(ghostSocket.isSubscribed('ghost'), `${where}, ${how}`)
      t.same(events, how === 'unsubscribe' ? ['+ghost', '-ghost'] : [])
      sc.exchange.publish('ghost', 'anybody?')
      t.notOk(ghost.inbox.items.some((packet) => packet.event === '#publish'))
      if (how === 'unsubscribe') await ghost.close()
      await until('the channel to be gone from the server', () => sc.stats().channels === socket.channelSubscriptionsCount)
    }
  })
})

t.test('10: what publishOut edits is seen by that recipient alone', async (t) => {
  const { port, sc, nextSocket } = await serve(t)
  sc.addMiddleware('publishOut', (request, next) => {
    if (request.socket.data === 'edited') request.data.list.push(request.socket.id)
    else if (request.socket.data === 'replaced') request.data = { own: true }
    next()
  })
  const clients: RawClient[] = []
  const sockets: ScServerSocket[] = []
  for (const data of ['edited', 'plain', 'edited', 'replaced', 'plain']) {
    const opening = nextSocket()
    const client = await RawClient.connect(t, port)
    const socket = await opening
    socket.data = data
    await client.call('#subscribe', 'news')
    clients.push(client)
    sockets.push(socket)
  }
  const watched: any[] = []
  sc.exchange.subscribe('news').watch((data) => {
    watched.push(structuredClone(data))
    data.list.push('watcher')
  })
  const published = { list: [0] }
  await sc.exchange.publish('news', published)
  t.same(await Promise.all(clients.map((client) => client.publication('news'))), [
    { list: [0, sockets[0]!.id] }, { list: [0] }, { list: [0, sockets[2]!.id] }, { own: true }, { list: [0] }
  ])
  t.same(watched, [{ list: [0] }])
  t.same(published, { list: [0] })
})

t.test('11: socketChannelLimit counts distinct channels', async (t) => {
  const broker = slowBroker()
  const { port, sc, nextSocket } = await serve(t, { socketChannelLimit: 3, broker })
  const opening = nextSocket()
  const client = await RawClient.connect(t, port)
  const socket = await opening
  const events: string[] = []
  socket.on('subscribe', (channel) => events.push(channel))
  sc.on('subscription', (_socket, channel) => events.push(channel))
  for (let i = 0; i < 6; i++) t.notOk('error' in await client.call('#subscribe', 'a'), 'a repeated subscribe is acked')
  t.same(events, ['a', 'a'], 'and fires nothing twice')
  t.equal(socket.channelSubscriptionsCount, 1)
  for (const channel of ['b', 'c']) t.notOk('error' in await client.call('#subscribe', channel))
  t.match(await client.call('#subscribe', 'd'), { error: { name: 'InvalidActionError', message: /socketChannelLimit/ } })
  t.notOk('error' in await client.call('#subscribe', 'b'), 'a repeated one is still acked at the limit')
  await client.call('#unsubscribe', 'c')
  broker.failNext.push('d')
  t.match(await client.call('#subscribe', 'd'), { error: { name: 'BrokerError' } })
  t.same(socket.subscriptions(), ['a', 'b'])
  broker.failNext.push('a')
  t.notOk('error' in await client.call('#subscribe', 'a'))
  t.ok(socket.isSubscribed('a'), 'a failure would leave the first one alone')
  sc.exchange.publish('a', 'there')
  t.equal(await client.publication('a'), 'there')
  broker.failNext.length = 0
  // Many at once, none of them decided yet.
  client.send(['p', 'q', 'r', 's'].map((channel) => ({ event: '#subscribe', data: channel, cid: channel })))
  const outcomes = await Promise.all(['p', 'q', 'r', 's'].map((cid) => client.answer(cid)))
  t.equal(outcomes.filter((answer) => !('error' in answer)).length, 1, 'the limit holds for those under way together')
  t.equal(socket.channelSubscriptionsCount, 3)
})

t.test("12: only the application removes the application's listeners", async (t) => {
  const { port, sc, nextSocket } = await serve(t)
  const opening = nextSocket()
  const client = await RawClient.connect(t, port)
  const socket = await opening
  const heard: string[] = []
  const listen = (): void => {
    for (const event of ['word', '#publish', 'subscribe', 'unsubscribe', 'disconnect', 'close']) {
      socket.on(event, (_data: unknown, res: unknown) => {
        heard.push(event)
        if (event === 'word') (res as () => void)()
      })
    }
  }
  listen()
  socket.off()
  t.equal(socket.hasListeners('word'), false)
  t.match(await client.call('word'), { error: { name: 'InvalidActionError' } })
  t.notOk('error' in await client.call('#subscribe', 'a'), 'the library goes on without them')
  t.same(heard, [])
  listen()
  let authenticated = 0
  socket.on('authenticate', () => authenticated++)
  await client.call('#authenticate', jwt.sign({}, authKey))
  socket.deauthenticate()
  await client.call('#authenticate', jwt.sign({}, authKey))
  t.equal(authenticated, 2, 'deauthenticating removes none')
  await client.call('word')
  await client.call('#publish', { channel: 'a' })
  await client.call('#unsubscribe', 'a')
  const own = (): void => {}
  sc.exchange.subscribe('mine')
  sc.exchange.watch('mine', own)
  sc.exchange.unsubscribe('mine')
  t.same(sc.exchange.watchers('mine'), [own])
  const closed = once(sc, 'closure')
  await client.close()
  await closed
  t.same(heard, ['word', '#publish', 'unsubscribe', 'disconnect', 'close'])
  t.equal(socket.listeners('word').length, 1, 'they are there after the close')
  t.ok(sc.listenerCount('warning') > 0)
})

t.test('13: a second handshake, unknown names, every call id', async (t) => {
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

t.test('14: invalid close codes', async (t) => {
  const { port, sc, warnings, nextSocket } = await serve(t, { protocolVersion: 1 })
  for (const code of [0, 1, 999, 1002, 1005, 1006, 2999, 5000, 1e9, -1, 4000.5, NaN, Infinity, '4000', null, {}] as any[]) {
    const opening = nextSocket()
    const client = await RawClient.connect(t, port, { version: 1 })
    const socket = await opening
    warnings.length = 0
    t.doesNotThrow(() => socket.disconnect(code))
    t.equal((await client.closed).code, 1000, `disconnect(${String(code)})`)
    t.match(warnings[0], { name: 'InvalidArgumentsError' })

    const other = await RawClient.connect(t, port, { version: 1 })
    const gone = once(sc, 'disconnection')
    other.send({ event: '#disconnect', data: { code, data: 'x' } })
    t.equal((await gone)[1], 1000, `#disconnect ${JSON.stringify(code)}`)
    t.equal((await other.closed).code, 1000)
  }
  for (const data of [null, 'text', 5, [], { code: 4100, data: 'r'.repeat(10_000) }, { data: { deep: { object: 1 } } }]) {
    const client = await RawClient.connect(t, port, { version: 1 })
    client.send({ event: '#disconnect', data })
    const { code, reason } = await client.closed
    t.equal(code, data !== null && typeof data === 'object' && 'code' in data ? 4100 : 1000)
    t.ok(Buffer.byteLength(reason) <= 123)
  }
})

t.test('15: arrays have a limit', async (t) => {
  const { port, sc } = await serve(t, { maxBatchItems: 10 })
  const publish = { event: '#publish', data: { channel: 'a', data: 1 } }
  const client = await RawClient.connect(t, port)
  client.send(Array(10).fill(publish))
  await client.barrier()
  t.equal(sc.stats().publishes, 10)
  client.send(Array(11).fill(publish))
  t.equal((await client.closed).code, 4413)
  t.equal(sc.stats().publishes, 10, 'not one of them counts')
  const other = await RawClient.connect(t, port)
  other.send([publish, { event: '#disconnect', data: { code: 4100 } }, publish, publish])
  t.equal((await other.closed).code, 4100)
  t.equal(sc.stats().publishes, 11)
})

t.test('16: no stack on the wire', async (t) => {
  const { port, nextSocket } = await serve(t, { exposeErrors: true }, (app) => {
    app.scEvent('declared', {}, () => { throw new RangeError('declared') })
  })
  const opening = nextSocket()
  const client = await RawClient.connect(t, port)
  const socket = await opening
  const texts: string[] = []
  client.ws.on('message', (data) => texts.push(data.toString()))
  const nested = new Error('outer', { cause: new Error('inner') })
  Object.assign(nested, { inner: new TypeError('as a field'), list: [new Error('in a list')], stack: nested.stack })
  const enumerable = new Error('own')
  Object.defineProperty(enumerable, 'stack', { value: 'Error: own\n    at secret (/home/app.js:1:1)', enumerable: true })
  const plain = { message: 'plain', stack: 'at secret (/home/app.js:1:1)' }
  socket.on('fail', (which: number, res: (err: unknown) => void) => res([nested, enumerable, plain][which]))
  socket.on('throw', () => { throw nested })
  socket.on('reject', async () => { throw enumerable })
  for (const which of [0, 1, 2]) t.match(await client.call('fail', which), { error: { message: ['outer', 'own', 'plain'][which] } })
  t.match(await client.call('throw'), { error: { message: 'outer' } })
  t.match(await client.call('reject'), { error: { message: 'own' } })
  t.match(await client.call('declared'), { error: { message: 'declared', name: 'RangeError' } })
  socket.emit('event', { err: 1 })
  t.match(await client.call('#authenticate', 'bad'), { error: { name: 'AuthTokenInvalidError' } })
  t.match(await client.call('#subscribe', 5), { error: { name: 'InvalidActionError' } })
  for (const text of texts) t.notMatch(text, /stack|app\.js|\.ts:\d|node_modules|\\n +at /)
})

t.test('17: a random key is drawn with a warning, and refused for a shared broker', async (t) => {
  const lines: any[] = []
  const app = Fastify({ logger: { level: 'warn', stream: { write: (line: string) => { lines.push(JSON.parse(line)) } } } })
  t.teardown(() => app.close())
  await app.register(scPlugin)
  await app.ready()
  t.ok(lines.some(({ level, msg }) => level === 40 && /authKey/.test(msg)), 'a warning names the option')
  t.ok(typeof app.scServer.signatureKey === 'string' && app.scServer.signatureKey.length >= 32)

  const quiet = Fastify({ logger: { level: 'warn', stream: { write: (line: string) => { lines.push(JSON.parse(line)) } } } })
  t.teardown(() => quiet.close())
  lines.length = 0
  await quiet.register(scPlugin, { authKey })
  await quiet.ready()
  t.same(lines, [])

  const shared: Broker = { ...bound(memoryBroker()), shared: true }
  const clustered = Fastify()
  t.teardown(() => clustered.close())
  clustered.register(scPlugin, { broker: shared })
  await t.rejects(async () => clustered.ready(), { name: 'InvalidOptionsError', message: /authKey/ })
  const keyed = Fastify()
  t.teardown(() => keyed.close())
  keyed.register(scPlugin, { broker: shared, authKey })
  await keyed.ready()
})
