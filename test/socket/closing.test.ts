// How a connection ends, with which code, and what ends with it.
import { once } from 'node:events'
import { createServer } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import jwt from 'jsonwebtoken'
import t from 'tap'
import { Attacked, attack, publish } from '../helpers/attack.js'
import { closeFrame, frame, NetClient, RawClient } from '../helpers/raw.js'
import { authKey, serve } from '../helpers/serve.js'
import { Stopwatch } from '../helpers/stopwatch.js'
import { closed, until } from '../helpers/waiting.js'

const attacked = await Attacked.start(t)

attack(t, attacked, [
  {
    what: '#disconnect with any code and reason',
    async run (t, clients) {
      for (const code of [1, 999, 1005, 1006, 1e9, -1, 0.5, 'text', {}, [], null, undefined]) {
        const client = await clients.connect()
        client.send({ event: '#disconnect', data: { code, data: '🔑'.repeat(2_500) } })
        const closed = await client.closed
        t.equal(closed.code, 1000, String(code))
        t.ok(closed.reason.length > 50 && Buffer.byteLength(closed.reason) <= 123)
      }
    }
  },
  {
    what: 'connections that end during every wait',
    async run (t, clients) {
      const actions = [
        { event: '#subscribe', data: { channel: 'ghost' } }, { event: '#subscribe', data: 'refused by the broker' }, { event: '#unsubscribe', data: 'ghost' },
        publish('ghost'), { event: '#authenticate', data: jwt.sign({ sub: 'ann' }, authKey) }, { event: 'echo', data: 1 }, { event: 'declared', data: { mistake: 'never settles' } }
      ]
      await Promise.all(Array.from({ length: 60 }, async (_, i) => {
        const client = await clients.open('slow')
        client.send({ event: '#handshake', data: { authToken: jwt.sign({ sub: 'ann' }, authKey) }, cid: 1 })
        // Ends 0 to 20 ms after, while hooks and broker take 4 ms each.
        if (i % 4 !== 0) {
          await client.answer(1)
          client.send(actions.map((action, j) => ({ ...action, cid: j + 10 })))
        }
        await sleep(i % 21)
        if (i % 3 === 0) client.ws.terminate()
        else if (i % 3 === 1) client.ws.close()
        else client.send({ event: '#disconnect', data: { code: 4100 } })
        await client.closed
      }))
      await until('no ghost', async () => {
        const { channels, subscriptions, clients, pendingClients } = await attacked.stats('slow')
        return channels + subscriptions + clients + pendingClients === 0
      })
    }
  }
])

t.test('close() ends pending connections too, and frees the port', async (t) => {
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

t.test('calls fail at once when the socket closes', async (t) => {
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

t.test('invalid close codes', async (t) => {
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

t.test('a socket that is dropped while what came before the close of its client is worked on leaves nothing behind', async (t) => {
  const { sc, port, nextSocket } = await serve(t)
  const connected = nextSocket()
  const client = await NetClient.connect(t, port)
  const socket = await connected
  client.packet({ event: '#subscribe', data: 'room', cid: 2 })
  await client.packetFrame((packet) => packet.rid === 2)
  const told: unknown[] = []
  socket.on('disconnect', (code) => { told.push(code) })
  const worked = new Promise<void>((resolve) => {
    let count = 0
    socket.on('slow', () => {
      const end = performance.now() + 2
      while (performance.now() < end);
      if (++count < 60) return
      socket.terminate()
      resolve()
    })
  })
  const closure = once(sc, 'closure')
  const packets = JSON.stringify(Array.from({ length: 64 }, () => ({ event: 'slow' })))
  client.socket.write(Buffer.concat([frame(packets), closeFrame(1000)]))
  await client.closeFrame()
  t.equal(socket.state, 'open', 'what was sent before the close comes first')
  await worked
  await closure
  t.strictSame([socket.state, told, sc.clientsCount], ['closed', [1000], 0])
  const { channels, subscriptions, heldBytes } = sc.stats()
  t.strictSame({ channels, subscriptions, heldBytes }, { channels: 0, subscriptions: 0, heldBytes: 0 })
})

t.test('a client that ends its side of the connection, and reads nothing, is dropped with what waits for it', async (t) => {
  const { app, sc, port, nextSocket } = await serve(t, { closeTimeout: 500, maxBufferedBytes: 0, pingInterval: 200 })
  const connected = nextSocket()
  const client = await NetClient.connect(t, port)
  const socket = await connected
  client.socket.pause()
  for (let i = 0; i < 20; i++) socket.emit('news', 'x'.repeat(1_000_000))
  await until('what the operating system does not take waits', () => socket.getOutboundBackpressure() === 0)
  t.ok(sc.stats().heldBytes > 1_000_000)
  const watch = new Stopwatch()
  const closure = once(sc, 'closure')
  client.socket.end()
  t.equal((await closure)[1], 1006)
  const took = watch.stop()
  t.ok(took > 400 && took < 5_000, `it had ${took.toFixed()} ms to read it`)
  t.strictSame([socket.state, sc.stats().heldBytes], ['closed', 0])
  await app.close()
})
