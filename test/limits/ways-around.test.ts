// Ways around a limit, each of which must lead into it.
import { once } from 'node:events'
import t from 'tap'
import type { Broker, BrokerSink } from '../../types/broker.js'
import { TokenBucket } from '../../lib/socket/token-bucket.js'
import { NetClient, RawClient } from '../helpers/raw.js'
import { serve } from '../helpers/serve.js'
import { atRest, until } from '../helpers/waiting.js'

t.test('messages that say nothing, or cannot be read, count towards the rate', async (t) => {
  const unreadable = JSON.stringify({ event: 'x', data: { a: { b: { c: {} } } } })
  for (const [name, round] of [['[]', ['[]']], ['unreadable ones between them', [unreadable, unreadable, '[]']]] as const) {
    const { port, warnings } = await serve(t, { inboundRate: 50, inboundBurst: 50, maxDepth: 3 })
    const client = await RawClient.connect(t, port)
    const timer = setInterval(() => { for (let i = 0; i < 30; i++) for (const text of round) client.ws.send(text) }, 50)
    t.teardown(() => clearInterval(timer))
    const { code } = await client.closed
    clearInterval(timer)
    t.ok(code === 4429 || code === 4400, `${name}: closed with ${code}`)
    t.ok(warnings.length < 200, `${warnings.length} warnings`)
  }
})

t.test('what starts the count of unreadable messages again, and what does not', async (t) => {
  const { port } = await serve(t)
  const unreadable = '{"__proto__":1}'
  for (const [between, closes] of [['[]', false], ['{}', false], ['null', false], ['"text"', false], ['text', false], ['{"event":"echo"}', false], ['', true], ['#2', true]] as const) {
    const client = await RawClient.connect(t, port)
    for (const message of [unreadable, unreadable, between, unreadable]) client.send(message)
    if (closes) t.equal((await client.closed).code, 4400, `${JSON.stringify(between)} is a pong`)
    else t.ok(await client.call('echo'), `${JSON.stringify(between)} was read`)
  }
})

t.test('the data of subscriptions', async (t) => {
  const { app, port, sc, nextSocket } = await serve(t, { inboundRate: 0 }, (app) => {
    app.scHook('subscribe', ({ channel, data }) => { if (channel.startsWith('guarded/') && data === undefined) throw new Error('no data') })
  })
  t.ok(app)
  const opening = nextSocket()
  const client = await RawClient.connect(t, port)
  const socket = await opening
  const subscribed = once(sc, 'subscription')
  const data = 'x'.repeat(10_000)
  t.notOk((await client.call('#subscribe', { channel: 'guarded/1', data, junk: 'y'.repeat(50_000) })).error)
  t.strictSame((await subscribed)[2], { channel: 'guarded/1', data }, 'what nobody asked for is not kept')
  t.match((await client.call('#subscribe', { channel: 'guarded/2', data })).error, { name: 'InvalidActionError', code: 'SC_ERR_SUBSCRIBE_DATA' })
  t.notOk((await client.call('#subscribe', { channel: 'guarded/3', data: 'small' })).error)
  await client.call('#unsubscribe', 'guarded/1')
  t.notOk((await client.call('#subscribe', { channel: 'guarded/2', data })).error, 'there is room again')
  t.strictSame(socket.subscriptions().sort(), ['guarded/2', 'guarded/3'])

  const open = await serve(t, { inboundRate: 0 })
  const free = await RawClient.connect(t, open.port)
  const told: unknown[] = []
  open.sc.on('subscription', (_socket, _channel, options) => { told.push(options) })
  for (let i = 0; i < 5; i++) t.notOk((await free.call('#subscribe', { channel: `open/${i}`, data })).error, 'where no hook looks at it, it is told once and not kept')
  t.strictSame(told[4], { channel: 'open/4', data })
})

t.test('connections that wait for hooks of the upgrade', async (t) => {
  for (const [options, status] of [[{ maxConnections: 3 }, 1013], [{ maxConnectionsPerIp: 3 }, 1013], [{ maxPendingHandshakes: 3 }, 1013]] as const) {
    // Nobody passes before all have come.
    const waiting: Array<() => void> = []
    const { port, sc } = await serve(t, options, (app) => app.addHook('preHandler', () => new Promise<void>((resolve) => {
      if (waiting.push(resolve) === 10) for (const pass of waiting) pass()
    })))
    const clients = await Promise.all(Array.from({ length: 10 }, () => RawClient.open(t, port)))
    const codes: number[] = []
    await new Promise<void>((resolve) => {
      for (const client of clients) client.closed.then(({ code }) => { if (codes.push(code) === 7) resolve() })
    })
    await atRest(() => codes.length)
    t.same(codes, Array(7).fill(status), Object.keys(options)[0]!)
    t.equal(sc.pendingClientsCount, 3)
  }
})

t.test('a connection that is refused after its upgrade, and breaks the rules of websockets instead of closing', async (t) => {
  const waiting: Array<() => void> = []
  const { port, sc } = await serve(t, { maxConnections: 1 }, (app) => app.addHook('preHandler', () => new Promise<void>((resolve) => {
    if (waiting.push(resolve) === 2) for (const pass of waiting) pass()
  })))
  const clients = await Promise.all([NetClient.open(t, port), NetClient.open(t, port)])
  const refused = await Promise.race(clients.map(async (client) => {
    await client.frames.take(({ opcode }) => opcode === 8, 'a close frame')
    return client
  }))
  refused.socket.write(Buffer.from([0xf1, 0x80, 0, 0, 0, 0])) // RSV bits without an extension
  await refused.closed
  t.equal(sc.pendingClientsCount, 1, 'the server lives, and so does the other connection')
})

t.test('reading pauses for preHandlers of declared events too', async (t) => {
  const waiting: Array<() => void> = []
  const { port } = await serve(t, { inboundRate: 0, inboundQueue: 8 }, (app) => {
    app.scHook('preHandler', () => new Promise<void>((resolve) => { waiting.push(resolve) }))
    app.scEvent('work', {}, (data) => data)
  })
  const client = await RawClient.connect(t, port)
  const text = 'x'.repeat(1000)
  for (let i = 1; i <= 200; i++) client.send({ event: 'work', data: text, cid: 1000 + i })
  await until('the first to begin', () => waiting.length > 0)
  await atRest(() => waiting.length)
  t.ok(waiting.length < 100, `${waiting.length} of 200 were begun while none was done`)
  const timer = setInterval(() => { for (const next of waiting.splice(0)) next() }, 1)
  t.teardown(() => clearInterval(timer))
  for (let i = 1; i <= 200; i++) t.equal((await client.answer(1000 + i)).data, text)
})

t.test('without a limit of the depth the stack is one', async (t) => {
  const { port } = await serve(t, { maxDepth: 0, maxNodes: 0, maxPayload: 1_000_000 })
  const client = await RawClient.connect(t, port)
  client.ws.send('['.repeat(200_000) + ']'.repeat(200_000))
  t.equal((await client.call('nobody')).error.name, 'InvalidActionError', 'the server lives, and so does the socket')
})

t.test('a clock that goes back takes no tokens', async (t) => {
  const bucket = new TokenBucket(10, 5, 100_000)
  for (let i = 0; i < 4; i++) t.equal(bucket.take(100_000), 0)
  t.equal(bucket.take(50_000), 0)
  t.ok(bucket.take(50_000) > 0)
  t.equal(bucket.take(50_200), 0)
})

t.test('a token that is verified slowly does not undo what came after it', async (t) => {
  const verifying: Array<(claims: object) => void> = []
  const authEngine = { verifyToken: () => new Promise((resolve) => { verifying.push(resolve) }), signToken: async () => 'signed' } as any
  const { port, nextSocket } = await serve(t, { authEngine, authenticateRate: 0 })
  const opening = nextSocket()
  const client = await RawClient.connect(t, port)
  const socket = await opening
  const begun = (count: number): Promise<void> => until(`verification ${count} to begin`, () => verifying.length >= count)

  const first = client.call('#authenticate', 'a')
  client.send({ event: '#removeAuthToken' })
  await begun(1)
  verifying[0]!({ sub: 'ann' })
  t.strictSame((await first).data, { isAuthenticated: true })
  await client.call('nobody')
  t.equal(socket.authState, 'unauthenticated', 'what came after it took effect after it')

  const slow = client.call('#authenticate', 'slow')
  const quick = client.call('#authenticate', 'quick')
  await begun(2)
  verifying[1]!({ sub: 'slow' })
  t.strictSame((await slow).data, { isAuthenticated: true })
  await begun(3)
  verifying[2]!({ sub: 'quick' })
  t.strictSame((await quick).data, { isAuthenticated: true })
  t.equal(socket.authToken!.sub, 'quick', 'the last one that was sent counts')
})

t.test('the signal of an event whose client is gone', async (t) => {
  let go = (): void => {}
  const wait = new Promise<void>((resolve) => { go = resolve })
  const aborted = new Promise<boolean>((resolve) => {
    serve(t, {}, (app) => app.scEvent('work', {}, async (_data, event) => {
      await wait
      resolve(event.signal.aborted)
    })).then(async ({ port, sc }) => {
      const client = await RawClient.connect(t, port)
      client.send({ event: 'work', cid: 9 })
      await until('the event to arrive', () => sc.stats().inboundMessages >= 2)
      const closure = once(sc, 'closure')
      client.ws.terminate()
      await closure
      go()
    })
  })
  t.equal(await aborted, true, 'it is aborted, although it was first looked at afterwards')
})

/** A broker between processes that confirms when it is told to. */
class SlowBroker implements Broker {
  readonly name = 'slow'
  readonly shared = true
  sink!: BrokerSink
  readonly confirm: Array<() => void> = []
  start (sink: BrokerSink): void {
    this.sink = sink
    sink.state('up')
  }

  subscribe (): Promise<void> { return new Promise((resolve) => { this.confirm.push(resolve) }) }
  unsubscribe (): void {}
  publish (channel: string, data: string): void { this.sink.publication(channel, data) }
  control (): void {}
  stop (): void {}
}

t.test('a channel that is destroyed and subscribed again before the broker confirmed', async (t) => {
  const broker = new SlowBroker()
  const { sc } = await serve(t, { broker })
  sc.exchange.subscribe('x')
  sc.exchange.channel('x').destroy()
  const again = sc.exchange.subscribe('x')
  const seen: unknown[] = []
  again.watch((data) => { seen.push(data) })
  await until('the broker to be asked', () => broker.confirm.length > 0)
  for (const confirm of broker.confirm) confirm()
  await until('the channel to be subscribed', () => again.state === 'subscribed')
  await sc.exchange.publish('x', 1)
  t.strictSame(seen, [1])
})

t.test('a codec that throws while a gap is told', async (t) => {
  const broker = new SlowBroker()
  const codecEngine = { decode: (text: any) => JSON.parse(text), encode (packet: any) { if (packet.event === 'gap!') throw new Error('no'); return JSON.stringify(packet) } } as any
  const { sc, warnings } = await serve(t, { broker, codecEngine, gapEvent: 'gap!' })
  const seen: unknown[] = []
  sc.on('gap', (channel) => { seen.push(channel) })
  t.doesNotThrow(() => broker.sink.gap(null))
  t.strictSame(seen, [null])
  t.equal(warnings.at(-1)!.message, 'no')
})
