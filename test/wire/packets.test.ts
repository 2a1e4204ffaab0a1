import { once } from 'node:events'
import { setTimeout as sleep } from 'node:timers/promises'
import jwt from 'jsonwebtoken'
import t from 'tap'
import type { ScPluginOptions, ScServerSocket } from '../../lib/index.js'
import { RawClient, type RawOptions, type Cleanup } from '../helpers/raw.js'
import { authKey, serve, type Served } from '../helpers/serve.js'
import { Stopwatch } from '../helpers/stopwatch.js'

type Version = 1 | 2

/** Each version as an option, and as found out on a server that speaks both. */
const modes = [
  { version: 1, protocolVersion: 1 },
  { version: 2, protocolVersion: 2 },
  { version: 1, protocolVersion: 'auto' },
  { version: 2, protocolVersion: 'auto' }
] as const

type Mode = typeof modes[number]

/** A client whose version the server knows: with 'auto' it has answered a ping. */
async function connect (t: Cleanup, served: Served, { version, protocolVersion }: Mode, options: RawOptions & { authToken?: unknown } = {}): Promise<[RawClient, ScServerSocket]> {
  const opening = served.nextSocket()
  const client = await RawClient.connect(t, served.port, { version, ...options })
  const socket = await opening
  if (protocolVersion === 'auto') {
    client.send(version === 1 ? '#2' : '')
    await client.barrier()
  }
  return [client, socket]
}

for (const mode of modes) {
  const { version, protocolVersion } = mode
  t.test(`version ${version}, protocolVersion: ${protocolVersion}`, async (t) => {
    const served = await serve(t, { protocolVersion })
    const { sc, port } = served

    t.test('the version is known', async (t) => {
      const [, socket] = await connect(t, served, mode)
      t.equal(socket.protocolVersion, version)
    })

    t.test('handshake with a call id', async (t) => {
      const client = await RawClient.open(t, port, { version })
      client.send({ event: '#handshake', data: { authToken: null }, cid: 7 })
      const ack = await client.answer(7)
      t.match(ack, { rid: 7, data: { id: /^[\w-]{20}$/, pingTimeout: 20_000, isAuthenticated: false } })
      t.notOk('error' in ack)
      t.notOk('authError' in ack.data)
      t.equal(sc.clients[ack.data.id]?.state, 'open')
    })

    t.test('handshake without a call id', async (t) => {
      const client = await RawClient.open(t, port, { version })
      const opened = once(sc, 'connection').then(() => 'open')
      client.send({ event: '#handshake', data: {} })
      const outcome = await Promise.race([opened, client.closed])
      if (protocolVersion === 2) t.match(outcome, { code: 4008 })
      else t.equal(outcome, 'open')
      if (protocolVersion === 2) return
      await client.barrier()
      t.same(client.inbox.items, [], 'it has no answer')
    })

    t.test('every usable call id is answered as it came', async (t) => {
      const [client] = await connect(t, served, mode)
      for (const cid of [0, '', 1, -1, 'a', 'x'.repeat(32), '__proto__', 'constructor', '0', Number.MAX_SAFE_INTEGER, Number.MIN_SAFE_INTEGER]) {
        client.send({ event: '#publish', data: { channel: 'ids', data: 1 }, cid })
        t.same(await client.answer(cid), { rid: cid }, JSON.stringify(cid))
      }
    })

    t.test('subscribe, publish, unsubscribe', async (t) => {
      const [client, socket] = await connect(t, served, mode)
      // Nothing but the id in an ack without data.
      t.same(Object.keys(await client.call('#subscribe', { channel: 'object' })), ['rid'])
      t.same(Object.keys(await client.call('#subscribe', 'bare')), ['rid'])
      t.same(socket.subscriptions(), ['object', 'bare'])
      client.send({ event: '#subscribe', data: { channel: 'quiet' } })
      await client.barrier()
      t.ok(socket.isSubscribed('quiet'), 'a subscribe without a call id counts')
      t.same(client.inbox.items, [], 'and is not answered')

      client.send({ event: '#publish', data: { channel: 'bare', data: { n: 1 } }, cid: 40 })
      await client.inbox.take((packet) => packet.rid === 40, 'the ack')
      t.same(client.inbox.items, [{ event: '#publish', data: { channel: 'bare', data: { n: 1 } } }], 'the publisher gets its own message, as it was sent')
      t.same(await client.publication('bare'), { n: 1 })
      client.send({ event: '#publish', data: { channel: 'bare', data: null } })
      await client.barrier()
      t.same(client.inbox.items, [{ event: '#publish', data: { channel: 'bare', data: null } }], 'without a call id there is no ack')
      client.inbox.items.length = 0
      client.send({ event: '#publish', data: { channel: 'bare' } })
      await client.barrier()
      t.same(client.inbox.items, [{ event: '#publish', data: { channel: 'bare' } }], 'no data stays no data')
      client.inbox.items.length = 0

      t.same(Object.keys(await client.call('#unsubscribe', 'bare')), ['rid'])
      t.same(Object.keys(await client.call('#unsubscribe', { channel: 'object' })), ['rid'])
      client.send({ event: '#unsubscribe', data: 'quiet' })
      await client.barrier()
      t.same(client.inbox.items, [], 'an unsubscribe without a call id is not answered')
      t.same(socket.subscriptions(), [])
      t.match(await client.call('#unsubscribe', 'bare'), { error: { name: 'InvalidActionError' } })
    })

    t.test('fan-out comes before the ack, and the ack before the event of the socket', async (t) => {
      const [client, socket] = await connect(t, served, mode)
      await client.call('#subscribe', 'order')
      const seen: string[] = []
      sc.exchange.subscribe('order').watch(() => { seen.push('watcher') })
      socket.on('#publish', (data: unknown) => {
        seen.push('event')
        t.same(data, { channel: 'order', data: 1 })
      })
      client.send({ event: '#publish', data: { channel: 'order', data: 1 }, cid: 'p' })
      const first = await client.inbox.take(() => true, 'the publication')
      t.equal(first.event, '#publish')
      t.same(await client.inbox.take(() => true, 'the ack'), { rid: 'p' })
      t.same(seen, ['watcher', 'event'])
      sc.exchange.destroyChannel('order')
    })

    t.test('#authenticate', async (t) => {
      const [client, socket] = await connect(t, served, mode)
      const bad = await client.call('#authenticate', 'no token')
      t.match(bad.error, { name: 'AuthTokenInvalidError' })
      if (version === 1) t.match(bad.data, { isAuthenticated: false, authError: { name: 'AuthTokenInvalidError' } })
      else t.notOk('data' in bad, 'version 2 gets the error only')
      await client.event('#removeAuthToken')
      t.match((await client.call('#authenticate', null)).error, { name: 'AuthTokenInvalidError' }, 'no token is a bad token here')
      t.same((await client.call('#authenticate', jwt.sign({ user: 'ann' }, authKey))).data, { isAuthenticated: true })
      t.match(socket.authToken, { user: 'ann' })
      client.send({ event: '#removeAuthToken' })
      await client.barrier()
      t.equal(socket.authState, 'unauthenticated')
      // The barrier is called again: what comes by itself would come before its answer.
      t.same(client.inbox.items.filter((packet) => packet.event === '#removeAuthToken'), client.inbox.items)
    })

    t.test('tokens of the handshake', async (t) => {
      const client = await RawClient.open(t, port, { version })
      t.match(await client.handshake(jwt.sign({ user: 'ben' }, authKey)), { isAuthenticated: true })
      const other = await RawClient.open(t, port, { version })
      t.match(await other.handshake(jwt.sign({ user: 'ben' }, authKey, { expiresIn: -5 })), { isAuthenticated: false, authError: { name: 'AuthTokenExpiredError' } })
      t.equal(other.inbox.items[0]?.event, '#removeAuthToken', 'a bad token is taken away before the ack')
      const early = await RawClient.open(t, port, { version })
      t.match(await early.handshake(jwt.sign({ user: 'ben' }, authKey, { notBefore: 60 })), { isAuthenticated: false, authError: { name: 'AuthTokenNotBeforeError' } })
      t.same(early.inbox.items, [], 'one that is not active yet is kept')
    })

    t.test('#disconnect by the server', async (t) => {
      const [client, socket] = await connect(t, served, mode)
      socket.disconnect(4123, 'a reason')
      t.same(await client.closed, { code: 4123, reason: 'a reason' })
      t.same(client.inbox.items, version === 1 ? [{ event: '#disconnect', data: { code: 4123, data: 'a reason' } }] : [])
      const [other, another] = await connect(t, served, mode)
      another.disconnect(4124, { why: 'that' })
      t.same(await other.closed, { code: 4124, reason: '{"why":"that"}' })
      t.same(other.inbox.items, version === 1 ? [{ event: '#disconnect', data: { code: 4124, data: { why: 'that' } } }] : [])
    })

    t.test('#disconnect by the client', async (t) => {
      const [client, socket] = await connect(t, served, mode)
      const disconnection = once(sc, 'disconnection')
      client.send([
        { event: '#subscribe', data: 'before', cid: 1 },
        { event: '#disconnect', data: { code: 4321, data: 'bye' } },
        { event: '#publish', data: { channel: 'after', data: 1 }, cid: 2 }
      ])
      const publishes = sc.stats().publishes
      t.same((await client.closed).code, 4321)
      const [gone, code, data] = await disconnection
      t.equal(gone, socket)
      t.equal(code, 4321)
      t.equal(data, 'bye')
      t.equal(sc.stats().publishes, publishes, 'nothing after it counts')
      t.same(client.inbox.items.filter((packet) => packet.rid === 2), [])
    })

    t.test('arrays of packets', async (t) => {
      const [client, socket] = await connect(t, served, mode)
      const heard: unknown[] = []
      socket.on('word', (data: unknown, res: (err: unknown, data: unknown) => void) => {
        heard.push(data)
        res(null, data)
      })
      client.send([{ event: 'word', data: 'a', cid: 11 }, { event: 'word', data: 'b' }, { event: 'word', data: 'c', cid: 13 }, { event: '#subscribe', data: { channel: 'many' }, cid: 14 }])
      for (const rid of [11, 13, 14]) t.equal((await client.inbox.take(() => true, 'an ack')).rid, rid, 'in order')
      t.same(heard, ['a', 'b', 'c'])
      const frames: string[] = []
      client.ws.on('message', (data) => frames.push(data.toString()))
      client.send([1, 2, 3].map((n) => ({ event: '#subscribe', data: { channel: `batch ${n}`, batch: true }, cid: 20 + n })))
      for (const n of [1, 2, 3]) await client.answer(20 + n)
      t.same(frames, ['[{"rid":21},{"rid":22},{"rid":23}]'], 'acks of batched subscribes leave in one array')
      frames.length = 0
      socket.sendObject({ event: 'x', data: 1 }, { batch: true })
      socket.sendObject({ event: 'now' })
      socket.sendObject({ event: 'x', data: 2 }, { batch: true })
      for (const n of [1, 2]) t.same(await client.event('x'), { event: 'x', data: n })
      t.same(frames, ['{"event":"now"}', '[{"event":"x","data":1},{"event":"x","data":2}]'])
      frames.length = 0
      socket.sendObject({ event: 'last' }, { batch: true })
      socket.disconnect(4100)
      await client.closed
      t.equal(frames.filter((text) => text.startsWith('[')).length, 1, 'what is gathered leaves before the close')
    })

    t.test('names that no client may send', async (t) => {
      const [client, socket] = await connect(t, served, mode)
      const called: string[] = []
      const reserved = ['#handshake', '#kickOut', '#setAuthToken', '#nonsense', '#']
      const local = ['subscribe', 'unsubscribe', 'connect', 'disconnect', 'connectAbort', 'close', 'message', 'error', 'authStateChange', 'authTokenSigned', 'authenticate', 'deauthenticate',
        'badAuthToken', 'raw'].flatMap((name) => [name, `_${name}`])
      for (const event of [...reserved, ...local]) {
        if (event !== 'message' && event !== 'error') socket.on(event, () => called.push(event))
        t.match(await client.call(event, { channel: 'c' }), { error: { name: 'InvalidActionError' } }, event)
      }
      t.same(called, [], 'their listeners hear nothing of it')
      t.equal(socket.state, 'open')
    })

    t.test('binary data travels as base64, both ways', async (t) => {
      const [client, socket] = await connect(t, served, mode)
      socket.on('echo', (data: unknown, res: (err: unknown, data: unknown) => void) => res(null, { back: Buffer.from([1, 2, 250]), deep: [new Uint8Array([9])], data }))
      const wire = { base64: true, data: Buffer.from([5, 6]).toString('base64') }
      const { data } = await client.call('echo', wire)
      t.same(data, { back: { base64: true, data: 'AQL6' }, deep: [{ base64: true, data: 'CQ==' }], data: wire })
      socket.emit('bytes', new Uint8Array([1]).buffer)
      t.same((await client.event('bytes')).data, { base64: true, data: 'AQ==' })
    })

    t.test('what is no packet is raw', async (t) => {
      const [client, socket] = await connect(t, served, mode)
      const raws: unknown[] = []
      const messages: unknown[] = []
      socket.on('raw', (message) => raws.push(message))
      socket.on('message', (message) => messages.push(message))
      for (const message of ['hello', '42', '#3', '{broken', '{"no":"packet"}', Buffer.from([0, 255])]) client.send(message)
      client.send(Buffer.from('{"event":"barrier","cid":"binary"}'))
      t.match(await client.answer('binary'), { error: { name: 'InvalidActionError' } }, 'a packet may come in a binary frame')
      t.same(raws, ['hello', '42', '#3', '{broken', '{"no":"packet"}', Buffer.from([0, 255])])
      t.same(messages.slice(0, 5), ['hello', '42', '#3', '{broken', '{"no":"packet"}'])
      socket.send('raw text')
      socket.send(Buffer.from([1, 2]))
      t.equal(await client.inbox.take((item) => typeof item === 'string', 'raw text'), 'raw text')
      t.same(await client.inbox.take((item) => Buffer.isBuffer(item), 'raw bytes'), Buffer.from([1, 2]))
    })

    t.test('calls of the server', async (t) => {
      const [client, socket] = await connect(t, served, mode)
      const answered = socket.invoke('question', { n: 1 })
      const { cid, data } = await client.event('question')
      t.same(data, { n: 1 })
      t.type(cid, 'number')
      client.send({ rid: cid + 1000, data: 'nobody asked' })
      client.send({ rid: cid, data: 'answer' })
      t.equal(await answered, 'answer')
      const failed = socket.invoke('question')
      client.send({ rid: (await client.event('question')).cid, error: { name: 'OwnError', message: 'no', detail: 3 } })
      await t.rejects(failed, { name: 'OwnError', message: 'no', detail: 3 })
      socket.emit('plain', 1)
      t.same(await client.event('plain'), { event: 'plain', data: 1 }, 'nobody waits: no call id')
    })
  })
}

t.test('call ids that cannot be answered', async (t) => {
  const served = await serve(t)
  const opening = served.nextSocket()
  const client = await RawClient.connect(t, served.port)
  const socket = await opening
  let heard = 0
  socket.on('word', (_data: unknown, res: (err: unknown, data: unknown) => void) => {
    heard++
    res(null, 'answer')
  })
  const ids = [{}, [], true, false, 0.5, 1e308, 2 ** 53, 'x'.repeat(33), null]
  for (const cid of ids) client.send({ event: 'word', cid })
  await client.barrier()
  t.equal(heard, ids.length, 'the events count')
  t.same(client.inbox.items, [])
})

const fast: ScPluginOptions = { pingInterval: 200, pingTimeout: 1_200 }

t.test('pings', async (t) => {
  const answering = modes.map(async ({ version, protocolVersion }) => {
    const name = `version ${version}, protocolVersion: ${protocolVersion}`
    const { port, sc, nextSocket } = await serve(t, { ...fast, protocolVersion })
    const opening = nextSocket()
    const client = await RawClient.connect(t, port, { version })
    const socket = await opening
    t.equal(socket.protocolVersion, protocolVersion === 'auto' ? null : protocolVersion, name)
    await sleep(1_600)
    t.equal(socket.state, 'open', `${name}: a client that answers lives longer than pingTimeout`)
    t.equal(socket.protocolVersion, version, name)
    const own: string = version === 1 ? '#1' : ''
    if (protocolVersion === 'auto') t.same(client.pings.splice(0, 2), ['#1', ''], `${name}: the first time both are asked`)
    t.ok(client.pings.length >= 3, `${name}: ${client.pings.length} pings`)
    t.ok(client.pings.every((ping) => ping === own), `${name}: only the ping of its version`)
    t.equal(sc.clientsCount, 1)
  })

  const mute = async (): Promise<void> => {
    const { port } = await serve(t, fast)
    const watch = new Stopwatch()
    const client = await RawClient.connect(t, port, { version: null })
    t.equal((await client.closed).code, 4001, 'a client that does not answer')
    t.ok(watch.wall >= 1_180, 'is not closed before its time')
    t.ok(watch.stop() < 3_000, `is closed after ${watch.wall.toFixed()} ms`)
  }

  const talking = async (): Promise<void> => {
    const { port, nextSocket } = await serve(t, fast)
    const opening = nextSocket()
    const client = await RawClient.connect(t, port, { version: null })
    const socket = await opening
    const timer = setInterval(() => client.send('alive'), 100)
    t.teardown(() => clearInterval(timer))
    await sleep(1_600)
    t.equal(socket.state, 'open', 'any frame counts as a sign of life')
    t.equal(socket.protocolVersion, null, 'no pong came')
  }

  const untimed = async (): Promise<void> => {
    const { port, nextSocket } = await serve(t, { ...fast, pingTimeoutDisabled: true })
    const opening = nextSocket()
    const client = await RawClient.connect(t, port, { version: null })
    const socket = await opening
    await sleep(1_600)
    t.equal(socket.state, 'open', 'pingTimeoutDisabled')
    t.same(client.pings, [])
  }

  await Promise.all([...answering, mute(), talking(), untimed()])
})

t.test('pubSubBatchDuration', async (t) => {
  const { port, nextSocket } = await serve(t, { pubSubBatchDuration: 300 })
  const opening = nextSocket()
  const client = await RawClient.connect(t, port)
  const socket = await opening
  const start = Date.now()
  socket.sendObject({ event: 'x', data: 1 }, { batch: true })
  await new Promise((resolve) => setImmediate(resolve))
  socket.sendObject({ event: 'x', data: 2 }, { batch: true })
  const [message] = await once(client.ws, 'message')
  t.equal(message.toString(), '[{"event":"x","data":1},{"event":"x","data":2}]')
  t.ok(Date.now() - start >= 295, 'after the duration')
})

t.test('strictHandshake', async (t) => {
  const { port, sc } = await serve(t)
  const first = ['text', '', '#2', '1', 'null', '[]', '{}', '{broken', '{"event":"x","cid":1}', '[{"event":"#handshake","data":{},"cid":1}]', '{"rid":1}', '{"event":"#publish","data":{"channel":"c","data":1}}']
  for (const message of first) {
    const aborted = once(sc, 'connectionAbort')
    const client = await RawClient.open(t, port)
    client.send(message)
    client.send({ event: '#handshake', data: {}, cid: 5 })
    const { code } = await client.closed
    t.equal(code, 4009, JSON.stringify(message))
    const [, abortCode] = await aborted
    t.equal(abortCode, 4009)
    t.same(client.inbox.items.filter((packet) => packet.rid === 5), [])
  }
  t.equal(sc.stats().connects, 0)
  t.equal(sc.stats().publishes, 0)
})

t.test('a handshake that does not come', async (t) => {
  const { port, sc } = await serve(t, { handshakeTimeout: 150 })
  const start = Date.now()
  const client = await RawClient.open(t, port)
  t.equal((await client.closed).code, 4005)
  t.ok(Date.now() - start < 5_000, 'long before the default')
  t.equal(sc.pendingClientsCount, 0)
})

t.test('a rejected handshake', async (t) => {
  const { port, sc } = await serve(t)
  let block: (next: any) => void
  sc.addMiddleware('handshakeSC', (_request, next) => block(next))
  const cases: Array<[(next: any) => void, number, unknown]> = [
    [(next) => next(new Error('no')), 4008, { name: 'Error', message: 'no' }],
    [(next) => next(new Error('no'), 4501), 4501, { message: 'no' }],
    [(next) => next(Object.assign(new Error('no'), { statusCode: 4123 })), 4123, { message: 'no' }],
    [(next) => next('text'), 4008, 'text'],
    [(next) => next(true), 4008, { name: 'SilentMiddlewareBlockedError', type: 'handshakeSC' }]
  ]
  for (const version of [1, 2] as Version[]) {
    for (const [how, code, error] of cases) {
      block = how
      const client = await RawClient.open(t, port, { version })
      const ack = await client.call('#handshake', {})
      t.match(ack.error, error)
      t.same(ack.data, { code })
      t.equal((await client.closed).code, code)
    }
  }
})
