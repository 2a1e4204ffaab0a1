// Loops over streams that are slower than what comes: reading pauses, the oldest values are dropped, and what SocketCluster 20 tells of it.
import { setTimeout as sleep } from 'node:timers/promises'
import t from 'tap'
import { RawClient } from '../helpers/raw.js'
import { serve } from '../helpers/serve.js'
import { atRest, until } from '../helpers/waiting.js'

/** A loop that takes one value and is busy until it is let go. */
function slowLoop (stream: AsyncIterable<any>): { seen: any[], go: () => void, done: Promise<void> } {
  const seen: any[] = []
  let go = (): void => {}
  const gate = new Promise<void>((resolve) => { go = resolve })
  const done = (async () => {
    for await (const value of stream) {
      seen.push(value)
      await gate
    }
  })()
  return { seen, go, done }
}

t.test('reading pauses while a loop is behind, and nothing is lost', async (t) => {
  const { port, nextSocket, sc } = await serve(t, { inboundRate: 0, inboundByteRate: 0 })
  const opening = nextSocket()
  const client = await RawClient.connect(t, port)
  const socket = await opening
  const loop = slowLoop(socket.receiver('data'))
  const count = 2_000
  for (let i = 0; i < count; i++) client.send({ event: 'data', data: { i, text: 'x'.repeat(1_000) } })
  await until('a value to wait', () => socket.getReceiverBackpressure('data') > 0)
  await atRest(() => sc.stats().inboundMessages)
  const waiting = socket.getReceiverBackpressure('data')
  t.ok(waiting > 50 && waiting < count / 2, `${waiting} wait`)
  t.ok(sc.stats().heldBytes < 1_300_000, `${sc.stats().heldBytes} bytes are held`)
  t.equal(socket.getAllReceiversBackpressure(), waiting)
  t.equal(socket.getBackpressure(), waiting)
  t.equal(socket.getAllProceduresBackpressure(), 0)
  loop.go()
  while (loop.seen.length < count) await sleep(5)
  t.strictSame(loop.seen.map(({ i }) => i), Array.from({ length: count }, (_, i) => i))
  t.equal(socket.getBackpressure(), 0)
  t.equal(sc.stats().heldBytes, 0)
})

t.test('a pause that nothing ends closes the socket', async (t) => {
  const { port, nextSocket } = await serve(t, { hookTimeout: 100, handlerTimeout: 100, pingInterval: 50, pingTimeout: 300, inboundQueueBytes: 4_000 })
  const opening = nextSocket()
  const client = await RawClient.connect(t, port)
  const socket = await opening
  slowLoop(socket.receiver('data'))
  for (let i = 0; i < 20; i++) client.send({ event: 'data', data: 'x'.repeat(1_000) })
  t.equal((await client.closed).code, 4429)
})

t.test('loops over what only the server writes lose the oldest, and it is told once', async (t) => {
  const { sc, warnings } = await serve(t)
  const channel = sc.exchange.subscribe('news')
  const loop = slowLoop(channel)
  const total = 10_050
  for (let i = 0; i < total; i++) await channel.publish(i)
  t.strictSame(warnings.map(({ name, code }) => [name, code]), [['ResourceLimitError', 'SC_ERR_STREAM_BEHIND']])
  loop.go()
  while (loop.seen.at(-1) !== total - 1) await sleep(5)
  t.equal(loop.seen.length, 10_001)
  t.strictSame(loop.seen.slice(0, 2), [0, total - 10_000])
})

t.test('bytes bound a loop too', async (t) => {
  const { sc, warnings } = await serve(t)
  const channel = sc.exchange.subscribe('news')
  slowLoop(channel)
  for (let i = 0; i < 100; i++) await channel.publish('x'.repeat(100_000))
  t.equal(warnings[0].code, 'SC_ERR_STREAM_BEHIND')
  t.ok(sc.exchange.channel('news'))
})

t.test('back-pressure and loops by their ids, as in SocketCluster 20', async (t) => {
  const { port, sc, nextSocket } = await serve(t)
  const opening = nextSocket()
  const client = await RawClient.connect(t, port)
  const socket = await opening
  const kinds = [
    ['Receiver', (event: string) => socket.receiver(event), () => client.send({ event: 'e', data: 1 })],
    ['Procedure', (event: string) => socket.procedure(event), () => client.send({ event: 'e', data: 1, cid: 77 })],
    ['Listener', () => socket.listener('raw'), () => client.send('[1]')]
  ] as const
  for (const [kind, stream, send] of kinds) {
    const name = kind === 'Listener' ? 'raw' : 'e'
    const api = socket as any
    const loops = [slowLoop(stream('e')), slowLoop(stream('e'))]
    for (let i = 0; i < 4; i++) send()
    while (api[`get${kind}Backpressure`](name) < 3) await sleep(5)
    const list = api[`get${kind}ConsumerStatsList`](name)
    t.match(list, [{ backpressure: 3, stream: name }, { backpressure: 3, stream: name }], kind)
    t.strictSame(api[`getAll${kind}sConsumerStatsList`](), list)
    const [{ id }] = list
    t.strictSame(api[`get${kind}ConsumerStats`](id), list[0])
    t.equal(api[`get${kind}ConsumerBackpressure`](id), 3)
    t.equal(api[`has${kind}Consumer`](name, id), true)
    t.equal(api[`hasAny${kind}Consumer`](id), true)
    t.equal(api[`has${kind}Consumer`]('other', id), false)
    t.equal(api[`getAll${kind}sBackpressure`](), 3)
    t.equal(stream('e').getBackpressure(), 3)
    api[`kill${kind}Consumer`](id)
    t.equal(api[`hasAny${kind}Consumer`](id), false)
    api[`close${kind}`](name)
    for (const loop of loops) loop.go()
    await Promise.all(loops.map(({ done }) => done))
    t.strictSame(loops.map(({ seen }) => seen.length), [1, 4], 'one was killed, one read what was queued')
    const again = slowLoop(stream('e'))
    t.equal(api[`get${kind}ConsumerStatsList`](name).length, 1, 'a later loop is not concerned')
    api[`killAll${kind}s`]()
    again.go()
    await again.done
    t.equal(api[`getAll${kind}sBackpressure`](), 0)
    t.equal(api[`get${kind}ConsumerStats`](9_999), undefined)
    t.equal(api[`get${kind}ConsumerBackpressure`](9_999), 0)
  }
  t.equal(socket.getListenerConsumerCount('raw'), 0)
  t.equal(socket.getAllListenersConsumerCount(), 0)
  t.equal(socket.getOutboundBackpressure(), 0)
  socket.emit('x')
  t.equal(socket.getOutboundBackpressure(), 1)
  // Calls that nobody answered wait too.
  const waiting = socket.getInboundBackpressure()
  socket.on('never settles', () => new Promise(() => {}))
  for (let i = 0; i < 2; i++) client.send({ event: 'never settles', cid: 80 + i })
  await until('two to wait for their listeners', () => socket.getInboundBackpressure() === waiting + 2)
  t.equal(sc.getListenerBackpressure('connection'), 0)
  t.equal(sc.getAllListenersBackpressure(), 0)
})

t.test('what waits for loops is let go when the client leaves', async (t) => {
  const { port, sc, nextSocket } = await serve(t)
  const opening = nextSocket()
  const client = await RawClient.connect(t, port)
  const socket = await opening
  const loop = slowLoop(socket.receiver('e'))
  const closing = slowLoop(socket.listener('close'))
  for (let i = 0; i < 5; i++) client.send({ event: 'e', data: 'x' })
  while (socket.getReceiverBackpressure('e') < 4) await sleep(5)
  t.ok(sc.stats().heldBytes > 0)
  await client.close()
  while (sc.clientsCount > 0) await sleep(5)
  t.equal(sc.stats().heldBytes, 0)
  loop.go()
  closing.go()
  await Promise.all([loop.done, closing.done])
  t.equal(loop.seen.length, 1)
  t.match(closing.seen, [{ code: 1000 }], 'local events are read to their end')
})

t.test('loops that were closed end with the connection too, and can be killed', async (t) => {
  const { port, sc, nextSocket } = await serve(t)
  const opening = nextSocket()
  const client = await RawClient.connect(t, port)
  const socket = await opening
  const loops = ['killed', 'cut off'].map((event) => slowLoop(socket.receiver(event)))
  for (const event of ['killed', 'cut off']) for (let i = 0; i < 5; i++) client.send({ event, data: 'x'.repeat(100) })
  while (socket.getReceiverBackpressure('cut off') < 4) await sleep(5)
  const held = sc.stats().heldBytes
  socket.closeAllReceivers()
  t.equal(sc.stats().heldBytes, held)
  t.equal(socket.getAllReceiversBackpressure(), 4, 'what waits is still told of')
  client.send({ event: 'killed', data: 'later' })
  await client.barrier()
  t.equal(socket.getReceiverBackpressure('killed'), 4, 'nothing is added')
  t.match(await client.call('killed'), { error: { code: 'SC_ERR_EVENT_UNKNOWN' } })
  socket.killReceiver('killed')
  t.equal(socket.getReceiverBackpressure('killed'), 0)
  await client.close()
  while (sc.clientsCount > 0) await sleep(5)
  for (const loop of loops) loop.go()
  await Promise.all(loops.map(({ done }) => done))
  t.strictSame(loops.map(({ seen }) => seen.length), [1, 1])
})

t.test('what local events carry counts, whatever event it is', async (t) => {
  // As large as a token may be.
  const size = 5_000
  const { port, sc, nextSocket } = await serve(t, { inboundQueueBytes: 0, inboundByteRate: 0, inboundRate: 0, authenticateRate: 0, ackTimeout: 20 })
  const opening = nextSocket()
  const client = await RawClient.connect(t, port)
  const socket = await opening
  const text = 'x'.repeat(size)
  await socket.setAuthToken({ sub: 'alice', text })
  const token = socket.signedAuthToken
  const logIn = (): Promise<unknown> => client.call('#authenticate', token)
  const logOut = async (): Promise<void> => {
    client.send({ event: '#removeAuthToken' })
    await client.barrier()
  }
  const events: Record<string, () => Promise<unknown>> = {
    raw: async () => { client.send([text]); await client.barrier() },
    message: async () => { client.send({ event: 'e', data: text }); await client.barrier() },
    subscribe: async () => {
      await client.call('#subscribe', { channel: 'c', data: text })
      await client.call('#unsubscribe', 'c')
    },
    badAuthToken: () => client.call('#authenticate', text),
    authenticate: logIn,
    authStateChange: logIn,
    deauthenticate: async () => { await logIn(); await logOut() },
    authTokenSigned: () => socket.setAuthToken({ sub: 'alice', text })
  }
  const held = (): number => sc.stats().heldBytes
  for (const [event, happen] of Object.entries(events)) {
    await logOut()
    const loop = slowLoop(socket.listener(event as 'raw'))
    // The first is taken by the loop, the second waits.
    await happen()
    await logOut()
    const before = held()
    await happen()
    t.ok(held() - before > size, `${event}: ${held() - before}`)
    socket.closeListener(event)
    loop.go()
    await loop.done
    t.equal(held(), 0)
  }
})
