import { once } from 'node:events'
import { subscribe, unsubscribe } from 'node:diagnostics_channel'
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import jwt from 'jsonwebtoken'
import t from 'tap'
import { BufferBudget } from '../../lib/server/buffer-budget.js'
import { Events } from '../../lib/server/events.js'
import { type Broker, memoryBroker, type ScPluginOptions, type ScServerSocket } from '../../lib/index.js'
import { sessionOf } from '../../lib/socket/socket.js'
import { startApp } from '../helpers/app.js'
import { startStream, type StreamReader } from '../helpers/event-stream.js'
import { type Cleanup, NetClient, RawClient, frame } from '../helpers/raw.js'
import { authKey } from '../helpers/serve.js'
import { serveStreams } from '../helpers/serve-streams.js'
import { until } from '../helpers/waiting.js'

// Every way from the event loop into a socket's code, with code behind it that throws: it ends that socket with 1011, once in
// the log, counted, and nobody else. The last tests see that there is a row for each guard in the code.

const thrower = (): never => { throw new Error('sabotage') }

interface Entry {
  /** The file whose guard catches it: a guard that is missing must not go unnoticed because one around it caught. */
  by: string
  options?: ScPluginOptions
  /** Makes something behind the entry throw, and has the event loop enter. @returns whose fault it is, if it is not this socket's */
  enter (session: any, client: RawClient, others: RawClient, at: { t: Cleanup, port: number }): unknown
  /** Before the handshake. */
  pending?: boolean
  /** The socket is closed already when code of it throws: nothing is left to be ended. */
  after?: true
}

/** Somebody else than the client of the row. */
class Other {
  constructor (readonly socket: ScServerSocket, readonly closed: Promise<{ code: number }>) {}
}

const lib = fileURLToPath(new URL('../../lib/', import.meta.url))

/** Where in the code a fault is told, as `file:line`: the guards, and those who pass it on. */
function faultCalls (): string[] {
  return readdirSync(lib, { recursive: true, encoding: 'utf8' }).filter((file) => file.endsWith('.ts')).flatMap((file) =>
    readFileSync(join(lib, file), 'utf8').split('\n').flatMap((line, i) => /\.fault\((?!this\.makeError)/.test(line) ? [`${file}:${i + 1}`] : []))
}

const calls = new Set(faultCalls())
const seen = new Set<string>()

/** Which of them are on the stack, the guard last. */
function callsOnStack (): string[] {
  const limit = Error.stackTraceLimit
  Error.stackTraceLimit = 50
  const { stack } = new Error()
  Error.stackTraceLimit = limit
  return [...stack!.matchAll(/lib\/([\w/-]+\.ts:\d+)/g)].map(([, at]) => at!).filter((at) => calls.has(at))
}

let guard: string | undefined
subscribe('sc:socket:fault', () => {
  const stack = callsOnStack()
  for (const at of stack) seen.add(at)
  guard ??= stack.at(-1)
})

/** Opens an event stream. @returns the session of it, and its client */
async function openedStream (session: any, t: Cleanup, port: number): Promise<{ opened: any, stream: StreamReader }> {
  const connecting = once(session.host.server, 'connection') as Promise<[any]>
  const stream = await startStream(t, port, ['all'])
  const [socket] = await connecting
  return { opened: sessionOf(socket), stream }
}

const slowly = async (): Promise<void> => { await sleep(5) }

const entries: Record<string, Entry> = {
  'a message': {
    by: 'transport/ws-connection.ts',
    enter (session, client) {
      session.observes = (event: string) => event === 'message' ? thrower() : false
      client.send({ event: 'x' })
    }
  },
  'a websocket ping': {
    by: 'transport/ws-connection.ts',
    enter (session, client) {
      Object.defineProperty(session, 'lastSeen', { get: () => performance.now(), set: thrower })
      client.ws.ping()
    }
  },
  'a timer of the handshake': {
    by: 'deadlines.ts',
    pending: true,
    options: { handshakeTimeout: 2_000 },
    enter (session) { session.disconnect = thrower }
  },
  'a heartbeat': { by: 'transport/heartbeat.ts', options: { pingInterval: 100, pingTimeout: 1_000 }, enter (session) { session.ping = thrower } },
  'a missing heartbeat': {
    by: 'transport/heartbeat.ts',
    options: { pingInterval: 200, pingTimeout: 1_500 },
    enter (session, client) {
      session.pingTimedOut = thrower
      session.connection.pause()
      client.pings.push = () => { client.ws.removeAllListeners('message'); return 0 }
    }
  },
  'the flush of what was sent': {
    by: 'transport/flusher.ts',
    enter (session) {
      const { flush } = session.connection
      session.connection.flush = function () { session.connection.flush = flush; throw new Error('sabotage') }
      session.outbound.event('x')
    }
  },
  'the flush of publications': {
    by: 'transport/flusher.ts',
    async enter (session, client, other) {
      await client.call('#subscribe', { channel: 'all' })
      await other.call('#subscribe', { channel: 'all' })
      const { flush } = session.connection
      session.connection.flush = function () { session.connection.flush = flush; throw new Error('sabotage') }
      await session.host.exchange.publish('all', 1)
      t.equal(await other.publication('all'), 1, 'the others get it')
    }
  },
  'a fan-out': {
    by: 'exchange/hub.ts',
    async enter (session, client, other) {
      await client.call('#subscribe', { channel: 'all' })
      await other.call('#subscribe', { channel: 'all' })
      session.deliver = thrower
      await session.host.exchange.publish('all', 2)
      t.equal(await other.publication('all'), 2, 'the others get it')
    }
  },
  'a fan-out through hooks, before them': {
    by: 'exchange/hub.ts',
    async enter (session, client, other) {
      await client.call('#subscribe', { channel: 'hooked' })
      await other.call('#subscribe', { channel: 'hooked' })
      session.deliverInOrder = thrower
      await session.host.exchange.publish('hooked', 3)
      t.equal(await other.publication('hooked'), 3, 'the others get it')
    }
  },
  'a fan-out through hooks, after them': {
    by: 'socket/keyed-queue.ts',
    async enter (session, client, other) {
      await client.call('#subscribe', { channel: 'hooked' })
      await other.call('#subscribe', { channel: 'hooked' })
      session.deliver = thrower
      await session.host.exchange.publish('hooked', 4)
      t.equal(await other.publication('hooked'), 4, 'the others get it')
    }
  },
  'the end of a token': {
    by: 'server/token-expiry-wheel.ts',
    enter (session) {
      session.socket.setAuthToken({ sub: 'ann', exp: Math.floor(Date.now() / 1000) + 1 })
      const { fireLocal } = session
      session.fireLocal = (event: string, ...args: unknown[]) => event === 'deauthenticate' ? thrower() : fireLocal.call(session, event, ...args)
    }
  },
  'the budget of all backlogs': {
    by: 'server/buffer-budget.ts',
    enter (session) {
      // Statistics count again too: that is how the server's own budget is found.
      const { recount } = BufferBudget.prototype
      BufferBudget.prototype.recount = function () { this.add(session) }
      session.host.server.stats()
      BufferBudget.prototype.recount = recount
      session.connection.recount = () => {
        delete session.connection.recount
        thrower()
      }
    }
  },
  'packets in a batch': {
    by: 'socket/outbound-batch.ts',
    options: { pubSubBatchDuration: 10 },
    enter (session) {
      session.outbound.packet({ event: 'x' }, true)
      session.connection.send = thrower
      const { emitError } = session
      session.emitError = () => {
        delete session.connection.send
        session.emitError = emitError
        throw new Error('sabotage')
      }
    }
  },
  'what waits for an action on its channel': {
    by: 'socket/keyed-queue.ts',
    async enter (session, client) {
      client.send({ event: '#subscribe', data: { channel: 'slow' }, cid: 91 })
      client.send({ event: '#unsubscribe', data: { channel: 'slow' }, cid: 92 })
      await until('two actions on the channel', () => session.queue.pending === 2)
      const { outbound } = session
      const { ack } = outbound
      session.outbound.ack = (rid: unknown, data: unknown) => rid === 92 ? thrower() : ack.call(outbound, rid, data)
    }
  },
  'an answer that was awaited': {
    by: 'barrier.ts',
    async enter (session, client) {
      client.send({ event: 'slow echo', cid: 90 })
      await once(session.socket, 'slow echo')
      session.outbound.ack = thrower
    }
  },
  'a hook that was awaited': {
    by: 'barrier.ts',
    async enter (session, client) {
      const { hasListeners } = session
      client.send({ event: 'through slow hooks', cid: 90 })
      await until('the hook to be waited for', () => session.activity.waiting > 0)
      session.hasListeners = (event: string) => event === 'through slow hooks' ? thrower() : hasListeners.call(session, event)
    }
  },
  'a verification that was awaited': {
    by: 'socket/keyed-queue.ts',
    async enter (session, client) {
      const { outbound } = session
      const { ack } = outbound
      session.outbound.ack = (rid: unknown, data: unknown) => rid === 90 ? thrower() : ack.call(outbound, rid, data)
      client.send({ event: '#authenticate', data: jwt.sign({ sub: 'ann' }, authKey), cid: 90 })
    }
  },
  'a close': {
    by: 'transport/ws-connection.ts',
    after: true,
    enter (session, client) {
      session.closeStreams = thrower
      client.ws.close(4100)
    }
  },
  'an upgrade': {
    by: 'server/connections.ts',
    async enter (_session, _client, _other, { t, port }) {
      const { fire } = Events.prototype
      let opened: any
      Events.prototype.fire = function (event, args) {
        if (event !== 'handshake') return fire.call(this, event, args)
        opened = args[0]
        thrower()
      }
      const { closed } = await RawClient.open(t, port)
      Events.prototype.fire = fire
      return new Other(opened, closed)
    }
  },
  'an error of the connection': {
    by: 'transport/ws-connection.ts',
    async enter (session, _client, _other, { t, port }) {
      const connecting = once(session.host.server, 'connection') as Promise<[any]>
      const client = await NetClient.connect(t, port)
      const opened: any = sessionOf((await connecting)[0])
      opened.emitError = () => {
        delete opened.emitError
        thrower()
      }
      client.socket.write(frame('not masked', { masked: false }))
      // ws itself has closed it.
      const { code } = await client.closeFrame()
      return new Other(opened.socket, Promise.resolve({ code: code === 1002 ? 1011 : code }))
    }
  },
  'many packets in an array': {
    by: 'slices.ts',
    async enter (session, client, other) {
      const { fireLocal } = session
      session.fireLocal = (event: string, ...args: unknown[]) => event === 'raw' ? thrower() : fireLocal.call(session, event, ...args)
      client.send(Array.from({ length: 40 }, () => ({})))
      await client.closed
      other.send([...Array.from({ length: 40 }, () => ({})), { event: 'nobody', cid: 900 }])
      await other.answer(900)
    }
  },
  'a gap': {
    by: 'exchange/hub.ts',
    async enter (session, client, other) {
      await client.call('#subscribe', { channel: 'all' })
      await other.call('#subscribe', { channel: 'all' })
      session.deliver = thrower
      session.host.hub.announceGap('gap', 'all')
      await other.event('gap')
    }
  },
  'the action on a channel that was awaited': {
    by: 'socket/keyed-queue.ts',
    async enter (session, client) {
      client.send({ event: '#subscribe', data: { channel: 'slow' }, cid: 91 })
      await until('an action on the channel', () => session.queue.pending === 1)
      session.outbound.ack = thrower
    }
  },
  'room in the budget of all': {
    by: 'server/buffer-budget.ts',
    options: { maxTotalBufferedBytes: 1_000_000 },
    enter (session) {
      session.terminate = thrower
      session.connection.hold(2_000_000)
    }
  },
  'a backlog that drains': {
    by: 'transport/outgoing-queue.ts',
    options: { slowConsumerPolicy: 'latest', maxBufferedBytes: 300_000 },
    async enter (session, client) {
      await client.call('#subscribe', { channel: 'all' })
      client.ws.pause()
      const { connection } = session
      while (session.host.server.stats().slowConsumers === 0) await session.host.exchange.publish('all', 'x'.repeat(100_000))
      const { holdings } = connection
      const add = (bytes: number): void => {
        // What it lets go of when the stream has drained.
        if (bytes < 0) {
          connection.holdings = holdings
          thrower()
        }
        holdings.add(bytes)
      }
      connection.holdings = { add }
      client.ws.resume()
    }
  },
  'a pause of reading': {
    by: 'deadlines.ts',
    options: { inboundByteRate: 10_000, inboundByteBurst: 2_000 },
    async enter (session, client) {
      client.send({ event: 'x', data: 'x'.repeat(12_000) })
      await until('the pause', () => session.activity.overRate)
      const { activity } = session
      Object.defineProperty(activity, 'overRate', {
        configurable: true,
        get: () => true,
        set () {
          delete activity.overRate
          activity.overRate = false
          thrower()
        }
      })
    }
  },
  'the time of a listener that answers nobody': {
    by: 'deadlines.ts',
    options: { handlerTimeout: 50 },
    async enter (session, client) {
      client.send({ event: 'never' })
      await once(session.socket, 'never')
      session.activity.forget = thrower
    }
  },
  'the time of a listener': {
    by: 'deadlines.ts',
    options: { handlerTimeout: 50 },
    enter (session, client) {
      session.outbound.errorAck = thrower
      client.send({ event: 'never', cid: 90 })
    }
  },
  'the time of a declared event': {
    by: 'deadlines.ts',
    options: { handlerTimeout: 50 },
    enter (session, client) {
      session.outbound.errorAck = thrower
      client.send({ event: 'declared', cid: 90 })
    }
  },
  'the time of a subscription that waits for the broker': {
    by: 'deadlines.ts',
    options: { subscribeTimeout: 50 },
    enter (session) {
      const wait = session.host.context.brokerWaits.begin(session, 'x')
      wait.end = () => {
        delete wait.end
        thrower()
      }
    }
  },
  'the channels of one that closes': {
    by: 'socket/subscriptions.ts',
    after: true,
    async enter (session, client) {
      await client.call('#subscribe', { channel: 'all' })
      session.subscriptions.leave = thrower
      client.ws.close(4100)
    }
  },
  'the end of one that closes': {
    by: 'socket/session.ts',
    after: true,
    enter (session, client) {
      const { release } = session.host
      session.host.release = (closing: unknown, code: number) => {
        release.call(session.host, closing, code)
        if (closing === session) thrower()
      }
      client.ws.close(4100)
    }
  },
  'the flush of an event stream': {
    by: 'transport/flusher.ts',
    async enter (session, _client, other, { t: row, port }) {
      const { opened, stream } = await openedStream(session, row, port)
      await other.call('#subscribe', { channel: 'all' })
      const { connection } = opened
      connection.flush = () => {
        delete connection.flush
        thrower()
      }
      await session.host.exchange.publish('all', 5)
      t.equal(await other.publication('all'), 5, 'the others get it')
      return new Other(opened.socket, stream.next('disconnect').then(({ data }) => data))
    }
  },
  'the end of an event stream': {
    by: 'transport/stream-connection.ts',
    after: true,
    async enter (session, _client, _other, { t, port }) {
      const { opened, stream } = await openedStream(session, t, port)
      opened.closeStreams = thrower
      stream.close()
      return new Other(opened.socket, stream.end().then(() => ({ code: 1001 })))
    }
  }
}

for (const [name, { by, options = {}, enter, pending = false, after }] of Object.entries(entries)) {
  t.test(name, { timeout: 60_000, skip: process.env.ONLY !== undefined && process.env.ONLY !== name }, async (t) => {
    // What a row is to meet while it is awaited stays so until the row is done, however long this process is held up.
    let done = (): void => {}
    const rowDone = new Promise<void>((resolve) => { done = resolve })
    const { port, sc, logs, warnings } = await serveStreams(t, { authVerifyAsync: true, ...options }, (app) => {
      if (name.includes('hooks')) app.scHook('publishOut', slowly)
      app.scHook('subscribe', async ({ channel }) => { if (channel === 'slow') await rowDone })
      app.scHook('emit', ({ event }) => event === 'through slow hooks' ? rowDone : undefined)
      app.scHook('authenticate', slowly)
      app.scEvent('declared', {}, () => new Promise(() => {}))
    })
    guard = undefined
    const uncaught: unknown[] = []
    const onUncaught = (err: unknown): void => { uncaught.push(err) }
    process.on('uncaughtException', onUncaught)
    t.teardown(() => process.off('uncaughtException', onUncaught))
    const faults: any[] = []
    const onFault = (message: unknown): void => { faults.push(message) }
    subscribe('sc:socket:fault', onFault)
    t.teardown(() => unsubscribe('sc:socket:fault', onFault))

    const opening = once(sc, pending ? 'handshake' : 'connection')
    const client = pending ? await RawClient.open(t, port) : await RawClient.connect(t, port)
    const [first] = await opening as [ScServerSocket]
    first.on('slow echo', () => rowDone)
    first.on('never', () => new Promise<void>(() => {}))
    const other = await RawClient.connect(t, port)
    const entered = await enter(sessionOf(first), client, other, { t, port })
    done()
    const { socket, closed } = entered instanceof Other ? entered : new Other(first, client.closed)
    const { code } = await closed
    if (after !== true) t.equal(code, 1011)
    await until('a fault', () => faults.length > 0)
    t.equal(faults[0].socket, socket)
    const caught = guard as string | undefined
    t.equal(caught?.replace(/:\d+$/, ''), by, `caught at ${caught ?? 'no guard'}`)
    t.equal(sc.stats().faults, faults.length)
    const lines = logs.filter(({ msg }) => msg === 'a fault ends the socket')
    t.equal(lines.length, faults.length)
    t.match(lines[0], { level: 50, socketId: socket.id, err: { stack: String } })
    t.same(uncaught, [])
    t.ok(warnings)
    await until('it to be forgotten', () => !(socket.id in sc.clients || socket.id in sc.pendingClients))
    t.pass('it is forgotten')
    t.same((await other.call('nobody')).error.code, 'SC_ERR_EVENT_UNKNOWN', 'others go on')
  })
}

t.test('nothing can be said to a client: it is ended, and does not wait', async (t) => {
  let broken = false
  const codecEngine = {
    encode: (packet: unknown) => { if (broken) throw new Error('no words'); return JSON.stringify(packet) },
    decode: (text: string | Buffer) => JSON.parse(text.toString() || 'null')
  }
  const { port, sc } = await startApp(t, { codecEngine })
  const client = await RawClient.connect(t, port)
  broken = true
  guard = undefined
  client.send({ event: 'nobody', cid: 2 })
  t.equal((await client.closed).code, 1011)
  t.equal(sc.stats().faults, 1)
  t.match(guard, /^socket\/outbound\.ts:/, 'the one who was to say it ends it')
})

t.test('an upgrade that fails before there is a socket ends its connection, and nobody else', async (t) => {
  // Once the hooks have let it through, its address cannot be told.
  let broken: 'next' | 'now' | undefined
  const { port, sc, warnings, logs } = await startApp(t, {}, (app) => {
    app.addHook('preHandler', (_request, _reply, done) => {
      if (broken === 'next') broken = 'now'
      done()
    })
  }, {
    trustProxy () {
      if (broken !== 'now') return false
      broken = undefined
      return thrower()
    }
  })
  const other = await RawClient.connect(t, port)
  broken = 'next'
  const client = await RawClient.open(t, port, { headers: { 'x-forwarded-for': '192.0.2.1' } })
  t.equal((await client.closed).code, 1006)
  t.match(warnings, [{ message: 'sabotage' }])
  t.match(logs.filter(({ level }) => level >= 40), [{ level: 50, reqId: String, err: { message: 'sabotage', stack: String } }])
  t.match(sc.stats(), { clients: 1, pendingClients: 0, faults: 0 })
  t.equal((await other.call('nobody')).error.code, 'SC_ERR_EVENT_UNKNOWN', 'others go on')
  await RawClient.connect(t, port)
})

t.test('a broker that throws when it is to unsubscribe holds up nobody', async (t) => {
  const memory = memoryBroker()
  const broker: Broker = Object.assign(Object.create(memory), {
    name: 'bad',
    shared: false,
    start: memory.start.bind(memory),
    stop: memory.stop.bind(memory),
    subscribe: memory.subscribe.bind(memory),
    publish: memory.publish.bind(memory),
    control: memory.control.bind(memory),
    unsubscribe: thrower
  })
  const { port, sc } = await startApp(t, { broker })
  const client = await RawClient.connect(t, port)
  await client.call('#subscribe', { channel: 'a' })
  await client.call('#subscribe', { channel: 'b' })
  await client.call('#unsubscribe', { channel: 'a' })
  t.equal(sc.stats().faults, 0)
  await client.close()
  await until('no channel', () => sc.stats().channels === 0)
  t.match(sc.stats(), { clients: 0, channels: 0, subscriptions: 0 })
})

t.test('an unreadable publication that waits behind a slow hook is left out, and ends nobody', async (t) => {
  const memory = memoryBroker()
  let inject = (_channel: string, _text: string): void => {}
  const broker: Broker = Object.assign(Object.create(memory), {
    name: 'odd',
    shared: false,
    start (sink: any, node: any) {
      inject = (channel, text) => sink.publication(channel, text)
      return memory.start(sink, node)
    },
    stop: memory.stop.bind(memory),
    subscribe: memory.subscribe.bind(memory),
    publish: memory.publish.bind(memory),
    control: memory.control.bind(memory),
    unsubscribe: memory.unsubscribe.bind(memory)
  })
  const { port, sc } = await startApp(t, { broker }, (app) => {
    app.scHook('publishOut', (request) => request.data === 0 ? undefined : slowly())
  })
  const client = await RawClient.connect(t, port)
  await client.call('#subscribe', { channel: 'a' })
  inject('a', '1')
  inject('a', '{')
  inject('a', '2')
  t.equal(await client.publication('a'), 1)
  t.equal(await client.publication('a'), 2)
  t.equal(sc.stats().faults, 0)
})

t.test('no way past the barrier: the timers of the library are in classes that have one', async (t) => {
  // Whoever adds a timer or a listener here has to catch what its code throws, in somebody's name: then it may be listed.
  const known: Record<string, number> = {
    'deadlines.ts': 1,
    // It drops what was read: no code but ours runs there.
    'exchange/parts.ts': 1,
    'slices.ts': 1,
    'server/routes.ts': 1,
    'server/upgrades.ts': 1,
    'streams.ts': 1,
    'turns.ts': 1,
    'server/buffer-budget.ts': 1,
    // One runs calls behind `attempt`; the other resolves a promise.
    'server/calls-under-way.ts': 2,
    'server/drain.ts': 3,
    'server/token-expiry-wheel.ts': 1,
    'socket/outbound.ts': 1,
    'socket/outbound-batch.ts': 2,
    'transport/flusher.ts': 2,
    'transport/heartbeat.ts': 1,
    // It destroys a response whose client does not read the end: no code but ours and that of Node.js runs there.
    'transport/stream-connection.ts': 1,
    // Two of them drop a connection whose client ended its side: no code but ours and that of ws runs there.
    'transport/ws-connection.ts': 9
  }
  const found: Record<string, number> = {}
  for (const file of readdirSync(lib, { recursive: true, encoding: 'utf8' })) {
    if (!file.endsWith('.ts') || !/^(?:[^/]+|(?:exchange|handlers|lifecycle|server|socket|transport)\/[^/]+)$/.test(file)) continue
    const count = readFileSync(join(lib, file), 'utf8').match(/\b(?:setTimeout|setInterval|setImmediate|nextTick|queueMicrotask)\(|\b(?:ws|#ws|stream|#stream)\.(?:on|once)\(/g)?.length ?? 0
    if (count !== 0) found[file] = count
  }
  t.same(found, known)
})

t.test('there is a row for each guard: whoever adds one adds the fault that it catches', { skip: process.env.ONLY !== undefined }, async (t) => {
  t.ok(calls.size > 25, `${calls.size} calls of fault()`)
  t.strictSame([...calls].filter((at) => !seen.has(at)), [], 'in each of them a fault was seen')
})
