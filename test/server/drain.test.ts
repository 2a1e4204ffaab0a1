import { once } from 'node:events'
import { setTimeout as sleep } from 'node:timers/promises'
import Fastify from 'fastify'
import t from 'tap'
import scPlugin from '../../lib/index.js'
import { drainSockets } from '../../lib/server/drain.js'
import { connect20 } from '../helpers/app.js'
import { Clock } from '../helpers/clock.js'
import { RawClient } from '../helpers/raw.js'
import { authKey, serve } from '../helpers/serve.js'
import { Stopwatch } from '../helpers/stopwatch.js'
import { atRest, until } from '../helpers/waiting.js'

t.test('2,000 clients are closed in waves, and no answer is lost', async (t) => {
  const drainTimeout = 2_000
  const { app, port } = await serve(t, { drainTimeout, closeCode: 1001 })
  app.scServer.on('connection', (socket) => {
    socket.on('slow', async (data) => {
      await sleep(400)
      return data
    })
  })
  const clients: RawClient[] = []
  while (clients.length < 2_000) clients.push(...await Promise.all(Array.from({ length: 100 }, () => RawClient.connect(null, port))))
  t.equal(app.scServer.clientsCount, 2_000)

  const codes = new Set<number>()
  for (const client of clients) {
    client.closed.then(({ code }) => { codes.add(code) })
  }
  let began = 0
  app.scServer.on('connection', () => { began++ })
  const answers = clients.map((client, i) => client.call('slow', i))
  // All of them have arrived when the last one has begun.
  await until('all calls to arrive', () => app.scServer.stats().inboundMessages >= 4_000)
  const watch = new Stopwatch()
  const closed = app.close()
  await until('draining to begin', () => app.scServer.draining)
  t.pass('readiness can be asked')
  await t.rejects(RawClient.open(t, port), 'nobody new gets in')
  const got = await Promise.all(answers)
  t.same(got.map(({ data }) => data), got.map((_, i) => i), 'every call was answered')
  await closed
  await Promise.all(clients.map((client) => client.closed))
  watch.stop()
  t.ok(watch.wall >= drainTimeout * 0.9 && watch.own < drainTimeout + 4_000, `closing took ${watch.wall.toFixed()} ms`)
  t.same([...codes], [1001])
  t.equal(began, 0)
})

t.test('a wave is closed every 100 ms, and the next does not wait for it', async (t) => {
  const clock = new Clock(t)
  let closing = 0
  let left = (): void => {}
  const gone = new Promise<void>((resolve) => { left = resolve })
  const sockets = Array.from({ length: 2_000 }, () => ({ state: 'open', activity: { isQuiet: true }, connection: { closed: gone }, disconnect () { closing++ }, terminate () {} }))
  const drained = drainSockets(sockets as never, { closeCode: 1001, closeReason: '', closeTimeout: 60_000, drainTimeout: 2_000 })
  for (let wave = 1; wave <= 20; wave++) {
    t.equal(closing, wave * 100)
    await clock.advance(99)
    t.equal(closing, wave * 100)
    await clock.advance(1)
  }
  t.equal(closing, 2_000)
  left()
  await drained
})

t.test('a client that has just connected subscribes before the close, and at the next server too', async (t) => {
  const first = await serve(t)
  let closed: Promise<unknown> | undefined
  // The answer to the handshake and the close are written in the same turn.
  first.sc.on('connection', () => { queueMicrotask(() => { closed ??= first.sc.close() }) })
  const client = await connect20(t, first, { wait: false, autoReconnect: true, autoReconnectOptions: { initialDelay: 10, randomness: 10 } })
  client.subscribe('news').catch(() => {})
  await until('the connection', () => closed !== undefined)
  await closed
  await first.app.close()
  const next = Fastify()
  t.teardown(() => next.close())
  await next.register(scPlugin, { authKey })
  const subscribed = once(next.scServer, 'subscription')
  await next.listen({ port: first.port, host: '127.0.0.1' })
  await subscribed
  await until('the subscription', () => client.isSubscribed('news'))
  t.equal(next.scServer.clientsCount, 1)
})

t.test('a client that has just connected and asks for nothing does not keep a server open', async (t) => {
  const { app, port } = await serve(t)
  const client = await RawClient.connect(t, port)
  await app.close()
  t.equal((await client.closed).code, 1001)
})

t.test('a call that came before the close is answered, one that comes after is not begun', async (t) => {
  const { app, port } = await serve(t, { drainTimeout: 0 })
  const finish: Array<(value: string) => void> = []
  let calls = 0
  app.scServer.on('connection', (socket) => {
    socket.on('work', () => {
      calls++
      return new Promise<string>((resolve) => { finish.push(resolve) })
    })
  })
  const client = await RawClient.connect(t, port)
  const answer = client.call('work')
  await until('the handler to be called', () => finish.length > 0)
  const closed = app.close()
  client.send({ event: 'work', cid: 99 })
  await atRest(() => app.scServer.stats().inboundMessages)
  t.equal(calls, 1)
  finish[0]!('done')
  t.equal((await answer).data, 'done')
  t.equal((await client.closed).code, 1001)
  await closed
})

t.test('an answer that never comes holds up the close by closeTimeout and no more', async (t) => {
  const { app, port } = await serve(t, { closeTimeout: 300 })
  app.scServer.on('connection', (socket) => { socket.on('never', () => new Promise(() => {})) })
  const client = await RawClient.connect(t, port)
  client.send({ event: 'never', cid: 5 })
  await until('the call to arrive', () => app.scServer.stats().inboundMessages >= 2)
  const watch = new Stopwatch()
  await app.close()
  t.ok(watch.wall >= 290, 'not before its time')
  t.ok(watch.stop() < 1_500, `${watch.wall.toFixed()} ms`)
  await client.closed
})

t.test('scServer.close() alone ends the sockets and leaves the rest of the application', async (t) => {
  const { app, port } = await serve(t)
  const client = await RawClient.connect(t, port)
  const closure = once(app.scServer, 'closure')
  await app.scServer.close()
  await closure
  t.equal((await client.closed).code, 1001)
  await t.rejects(RawClient.open(t, port), { message: /503/ })
  const answer = await fetch(`http://127.0.0.1:${port}/nothing`)
  t.equal(answer.status, 404, 'HTTP goes on')
})

for (const line of ['onRequest', 'preHandler'] as const) {
  t.test(`hooks of upgrades that never decide hold up no close: ${line}`, async (t) => {
    const app = Fastify()
    let asked = 0
    let tell!: () => void
    const allAsked = new Promise<void>((resolve) => { tell = resolve })
    app.addHook(line as 'onRequest', () => {
      if (++asked === 5) tell()
      return new Promise<void>(() => {})
    })
    await app.register(scPlugin, { authKey: 'a key that is long enough for these tests', handshakeTimeout: 600_000, closeTimeout: 100 })
    await app.listen({ port: 0, host: '127.0.0.1' })
    const { port } = app.server.address() as { port: number }
    const refused = Array.from({ length: 5 }, () => RawClient.open(null, port).then(() => 'opened', (err: Error) => err.message))
    await allAsked
    await app.close()
    for (const message of await Promise.all(refused)) t.match(message, /503/)
  })
}
