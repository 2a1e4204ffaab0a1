import { once } from 'node:events'
import { deflateRawSync } from 'node:zlib'
import fc from 'fast-check'
import t from 'tap'
import { hasMoreKeys } from '../../lib/protocol/count-keys.js'
import { NetClient, RawClient, frame } from '../helpers/raw.js'
import { serve } from '../helpers/serve.js'
import { Stopwatch } from '../helpers/stopwatch.js'
import { bestOf } from '../helpers/waiting.js'

/** JSON as it is, and how many messages were decoded. */
function countingCodec () {
  const codec = {
    decoded: 0,
    encode: (object: unknown) => JSON.stringify(object),
    decode (message: string | Buffer) {
      codec.decoded++
      const text = message.toString()
      return text.startsWith('{') || text.startsWith('[') ? JSON.parse(text) : text
    }
  }
  return codec
}

/** The default burst, at a rate that gives little back on a machine that takes its time. */
const slowRefill = { inboundByteRate: 10_000, inboundByteBurst: 524_288 }

t.test('over the rate of bytes reading pauses, and nothing is lost', async (t) => {
  const { port, nextSocket } = await serve(t, { inboundByteRate: 200_000, inboundByteBurst: 100_000 })
  const connected = nextSocket()
  const client = await RawClient.connect(t, port)
  const socket = await connected
  let came = 0
  const all = new Promise<void>((resolve) => socket.on('load', () => { if (++came === 40) resolve() }))
  const start = performance.now()
  for (let i = 0; i < 40; i++) client.send({ event: 'load', data: 'x'.repeat(10_000) })
  await all
  // 300,000 bytes over the burst, at 200,000 a second; what is read in one piece may be owed.
  t.ok(performance.now() - start > 1_000, `it took ${Math.round(performance.now() - start)} ms`)
  t.equal(socket.state, 'open')
})

t.test('a rate of bytes that is turned off', async (t) => {
  const { port, nextSocket } = await serve(t, { inboundByteRate: 0, inboundByteBurst: 1, inboundRate: 0 })
  const connected = nextSocket()
  const client = await RawClient.connect(t, port)
  const socket = await connected
  let came = 0
  socket.on('load', () => { came++ })
  for (let i = 0; i < 100; i++) client.send({ event: 'load', data: 'x'.repeat(10_000) })
  await client.barrier()
  t.equal(came, 100)
})

t.test('a message may be larger than the burst', async (t) => {
  const { port } = await serve(t, { inboundByteRate: 200_000, inboundByteBurst: 1_000 })
  const client = await RawClient.connect(t, port)
  for (let i = 0; i < 3; i++) {
    client.send({ event: 'load', data: 'x'.repeat(30_000) })
    await client.barrier()
  }
  t.equal((await client.close()).code, 1000)
})

t.test('compressed messages that a pause cannot hold back end the socket', async (t) => {
  const codecEngine = countingCodec()
  const { port, sc } = await serve(t, { perMessageDeflate: { threshold: 0 }, inboundRate: 0, ...slowRefill, codecEngine })
  const client = await NetClient.open(t, port, { headers: ['Sec-WebSocket-Extensions: permessage-deflate; client_no_context_takeover'] })
  const text = Buffer.from(`{"event":"load","data":"${'x'.repeat(60_000)}"}`)
  const deflated = deflateRawSync(text, { finishFlush: 2 })
  const message = frame(deflated.subarray(0, deflated.length - 4), { rsv: 4 })
  client.socket.write(Buffer.concat([frame('{"event":"#handshake","data":{},"cid":1}'), ...Array.from({ length: 60 }, () => message)]))
  t.equal((await client.closeFrame()).code, 4429)
  t.ok(codecEngine.decoded < 25, `${codecEngine.decoded} messages of 61 were decoded`)
  t.equal(sc.stats().rateLimited, 1)
})

t.test('an array of as many subscribes as are free is worked on in slices, in order with what comes behind it', async (t) => {
  let turn = 0
  const turns = new Map<number, number>()
  const seen: string[] = []
  const { port, nextSocket } = await serve(t, {}, (app) => {
    app.scHook('subscribe', ({ channel }) => {
      seen.push(channel)
      turns.set(turn, (turns.get(turn) ?? 0) + 1)
      for (const end = performance.now() + 0.3; performance.now() < end;);
    })
    app.scEvent('where', {}, () => seen.length)
  })
  const count = (): void => {
    turn++
    counting = setImmediate(count)
  }
  let counting = setImmediate(count)
  t.teardown(() => clearImmediate(counting))
  const connected = nextSocket()
  const client = await NetClient.connect(t, port)
  const socket = await connected
  const channels = Array.from({ length: 400 }, (_, i) => `channel ${i}`)
  const array = (names: string[]): Buffer => frame(JSON.stringify(names.map((channel, i) => ({ event: '#subscribe', data: { channel }, cid: i + 1_000 }))))
  client.socket.write(Buffer.concat([array(channels.slice(0, 200)), frame('{"event":"where","cid":7}'), array(channels.slice(200)), frame('{"event":"where","cid":8}')]))
  t.equal((await client.packetFrame((packet) => packet.rid === 7)).data, 200)
  t.equal((await client.packetFrame((packet) => packet.rid === 8)).data, 400)
  t.strictSame(seen, channels)
  t.ok(Math.max(...turns.values()) < 40, `${Math.max(...turns.values())} of 400 at most in one turn`)
  client.packet({ event: 'where', cid: 9 })
  await client.packetFrame((packet) => packet.rid === 9)
  t.pass('reading goes on')
  const gone = once(socket as any, 'disconnect')
  client.socket.write(array(Array.from({ length: 300 }, (_, i) => `more ${i}`)))
  client.socket.destroy()
  await gone
  const before = seen.length
  await new Promise((resolve) => setImmediate(() => setImmediate(resolve)))
  t.equal(seen.length, before, 'what is left of it ends with the connection')
})

/** Turns of the event loop, counted while the test runs. */
function turnCounter (t: { teardown: (fn: () => void) => void }): { turn: number } {
  const counter = { turn: 0 }
  const count = (): void => {
    counter.turn++
    counting = setImmediate(count)
  }
  let counting = setImmediate(count)
  t.teardown(() => clearImmediate(counting))
  return counter
}

t.test('what comes in one read is worked on in slices, in order, whatever it is made of', async (t) => {
  const counter = turnCounter(t)
  const packet = fc.oneof(fc.constant('event'), fc.constant('call'), fc.constant('subscribe'))
  // Single packets, small arrays and large ones.
  const messages = fc.array(fc.oneof({ weight: 4, arbitrary: packet.map((kind) => [kind]) }, fc.array(packet, { minLength: 2, maxLength: 50 })), { minLength: 80, maxLength: 120 })
  /** @returns how many were worked on in one turn at most */
  const inOneRead = async (messages: string[][], end: string): Promise<number> => {
    const seen: number[] = []
    const turns = new Map<number, number>()
    const work = (n: number): void => {
      seen.push(n)
      turns.set(counter.turn, (turns.get(counter.turn) ?? 0) + 1)
      for (const end = performance.now() + 0.3; performance.now() < end;);
    }
    const { port, app, nextSocket } = await serve(null, { inboundRate: 0, inboundByteRate: 0, inboundQueueBytes: 0 }, (app) => {
      app.scHook('subscribe', ({ channel }) => work(Number(channel)))
      app.scEvent('work', {}, (n: any, { socket }) => {
        if (end === 'is dropped' && seen.length >= 60) socket.terminate()
        work(n)
        return n
      })
    })
    try {
      const connected = nextSocket()
      const client = await NetClient.connect(null, port)
      const socket = await connected
      const gone = new Promise<void>((resolve) => { socket.on('disconnect', () => resolve()) })
      let n = 0
      const packets = messages.map((kinds) => {
        const array = kinds.map((kind) => {
          const cid = ++n
          return kind === 'subscribe' ? { event: '#subscribe', data: { channel: String(cid) }, cid: cid + 10 } : { event: 'work', data: cid, cid: kind === 'call' ? cid + 10 : undefined }
        })
        return frame(JSON.stringify(array.length === 1 ? array[0] : array))
      })
      if (end === 'closes') packets.push(frame(Buffer.from([3, 232]), { opcode: 8 }))
      else packets.push(frame('{"event":"work","data":0,"cid":9}'))
      client.socket.write(Buffer.concat(packets))
      if (end === 'stays') await client.packetFrame(({ rid }) => rid === 9)
      else await gone
      const expected = Array.from({ length: n }, (_, i) => i + 1)
      if (end === 'stays') expected.push(0)
      if (end === 'is dropped' && seen.length < n) expected.length = seen.length
      if (seen.join() !== expected.join()) throw new Error(`${n} were sent, these were worked on: ${seen.join()}`)
      client.socket.destroy()
      return Math.max(...turns.values())
    } finally {
      await app.close()
    }
  }
  await fc.assert(fc.asyncProperty(messages, fc.constantFrom('stays', 'closes', 'is dropped'), async (messages, end) => {
    // Where this process is held up between two messages, the second one passes for the first of another read.
    const most = await bestOf(5, () => inOneRead(messages, end), (most) => most <= 60)
    if (most > 60) throw new Error(`${most} in one turn`)
  }), { numRuns: 12, includeErrorInReport: true })
})

t.test('compressed messages count by what it costs to inflate them, however little they hold', async (t) => {
  const codecEngine = countingCodec()
  const { port } = await serve(t, { perMessageDeflate: { threshold: 0 }, inboundRate: 0, ...slowRefill, codecEngine })
  const client = await NetClient.open(t, port, { headers: ['Sec-WebSocket-Extensions: permessage-deflate; client_no_context_takeover'] })
  const deflated = deflateRawSync('{"event":"load"}', { finishFlush: 2 })
  const message = frame(deflated.subarray(0, deflated.length - 4), { rsv: 4 })
  client.socket.write(Buffer.concat([frame('{"event":"#handshake","data":{},"cid":1}'), ...Array.from({ length: 2_500 }, () => message)]))
  t.equal((await client.closeFrame()).code, 4429)
  t.ok(codecEngine.decoded < 1_500, `${codecEngine.decoded} messages of 2,501 were decoded`)
})

for (const [what, opcode] of [['pings', 9], ['pongs', 10]] as const) {
  t.test(`${what} of the websocket protocol count`, async (t) => {
    const { port, nextSocket } = await serve(t, { inboundRate: 20, inboundBurst: 10 })
    const connected = nextSocket()
    const client = await NetClient.connect(t, port)
    const socket = await connected
    const timer = setInterval(() => { for (let i = 0; i < 20; i++) client.socket.write(frame('', { opcode })) }, 50)
    t.teardown(() => clearInterval(timer))
    const [code] = await once(socket as any, 'close')
    t.equal(code, 4429)
  })
}

t.test('after a close nothing is decoded, and little is read', async (t) => {
  const codecEngine = countingCodec()
  const { port, sc, nextSocket } = await serve(t, { codecEngine })
  const connected = nextSocket()
  const client = await NetClient.connect(t, port)
  const socket = await connected
  socket.disconnect(4444)
  const { decoded } = codecEngine
  const before = sc.stats().inboundBytes
  const flood = frame(JSON.stringify({ event: 'load', data: 'x'.repeat(60_000) }))
  const pour = (): void => { while (client.socket.write(flood)); client.socket.once('drain', pour) }
  pour()
  const watch = new Stopwatch()
  await client.closed
  t.equal(codecEngine.decoded, decoded)
  const seconds = watch.wall / 1_000
  const read = sc.stats().inboundBytes - before
  // A burst, the rate, and a piece that was read before reading paused.
  t.ok(read <= 524_288 * (1 + seconds) + 300_000, `${read} bytes in ${seconds} s`)
  t.ok(watch.stop() < 4_000, 'the connection is dropped')
})

t.test('a polite client that was over its rate sees the close code', async (t) => {
  const { port, nextSocket } = await serve(t, { inboundByteRate: 20_000, inboundByteBurst: 1_000 })
  const connected = nextSocket()
  const client = await RawClient.connect(t, port)
  const socket = await connected
  const came = once(socket as any, 'load')
  client.send({ event: 'load', data: 'x'.repeat(20_000) })
  await came
  socket.disconnect(4444, 'enough')
  t.match(await client.closed, { code: 4444 })
})

t.test('nothing is made of an answer that nobody waits for', async (t) => {
  let looks = 0
  const watched = new Proxy({}, { get (_target, key) { if (key === 'message') looks++ } })
  const json = countingCodec()
  const codecEngine = {
    ...json,
    decode (message: string | Buffer) {
      const packet = json.decode(message)
      return packet.rid === undefined ? packet : { ...packet, error: watched }
    }
  }
  const { port, nextSocket } = await serve(t, { codecEngine })
  const connected = nextSocket()
  const client = await RawClient.connect(t, port)
  const socket = await connected
  const asked = socket.invoke('ask')
  client.send({ rid: 999 })
  await client.barrier()
  t.equal(looks, 0)
  client.send({ rid: (await client.event('ask')).cid })
  await t.rejects(asked)
  t.equal(looks, 1, 'one that is waited for is looked at')
})

t.test('many different keys', async (t) => {
  const { port } = await serve(t, { maxKeys: 100 })
  const client = await RawClient.connect(t, port)
  const withKeys = (count: number): Record<string, number> => Object.fromEntries(Array.from({ length: count }, (_, i) => [`key${i}`, i]))
  t.match((await client.call('unknown', withKeys(90))).error, { code: 'SC_ERR_EVENT_UNKNOWN' })
  const { error } = await client.call('unknown', withKeys(200))
  t.match(error, { name: 'InvalidMessageError', code: 'SC_ERR_MESSAGE_KEYS' })
  t.match((await client.call('unknown', Array.from({ length: 500 }, () => withKeys(3)))).error, { code: 'SC_ERR_EVENT_UNKNOWN' }, 'the same keys again and again are no harm')
  client.send(Buffer.from(JSON.stringify({ event: 'unknown', data: withKeys(200), cid: 77 })))
  t.match((await client.answer(77)).error, { code: 'SC_ERR_MESSAGE_KEYS' }, 'in a binary message too')
})

t.test('keys are counted as the parser finds them', async (t) => {
  const keysOf = (value: unknown, keys = new Set<string>()): Set<string> => {
    if (typeof value === 'object' && value !== null) {
      for (const [key, item] of Object.entries(value)) {
        if (!Array.isArray(value)) keys.add(key)
        keysOf(item, keys)
      }
    }
    return keys
  }
  const spaces = fc.constantFrom('', ' ', '\n\t ')
  const text = fc.oneof(fc.string({ unit: 'grapheme' }), fc.string({ minLength: 15, maxLength: 50 }), fc.constantFrom('"', '\\', '\\"', '":', '\\\\":1,"'))
  const value = fc.letrec((tie) => ({
    any: fc.oneof({ maxDepth: 4 }, text, fc.integer(), tie('object'), tie('array')),
    array: fc.array(tie('any'), { maxLength: 8 }),
    object: fc.dictionary(text, tie('any'), { maxKeys: 8 })
  })).any
  const written = (value: unknown, space: string): string => Array.isArray(value)
    ? `[${value.map((item) => written(item, space)).join(`${space},`)}]`
    : typeof value === 'object' && value !== null
      ? `{${Object.entries(value).map(([key, item]) => `${space}${JSON.stringify(key)}${space}:${space}${written(item, space)}`).join(',')}}`
      : JSON.stringify(value)
  fc.assert(fc.property(value, spaces, (value, space) => {
    const count = keysOf(value).size
    // Long enough to be counted at all.
    const json = `[${written(value, space)},"${'x'.repeat(6 * (count + 2))}"]`
    t.ok(!hasMoreKeys(json, count), 'no more')
    // Hashes may collide.
    if (count > 0) t.ok(hasMoreKeys(json, count - 1) || hasMoreKeys(json, count - 2), 'no less')
  }), { numRuns: 500 })
})
