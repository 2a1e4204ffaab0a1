import { once } from 'node:events'
import t from 'tap'
import { sessionOf } from '../../lib/socket/socket.js'
import type { ScServerSocket } from '../../lib/index.js'
import { NetClient, RawClient, closeFrame, frame } from '../helpers/raw.js'
import { serve } from '../helpers/serve.js'

const big = { maxPayload: 4 * 1024 * 1024, inboundRate: 0 }

t.test('what is said in one turn', async (t) => {
  const { port, sc, nextSocket } = await serve(t, { ...big, protocolVersion: 1, closeCode: 4100 })

  async function pair (): Promise<[NetClient, ScServerSocket]> {
    const opening = nextSocket()
    const client = await NetClient.connect(t, port)
    client.packet({ event: '#subscribe', data: 'news', cid: 2 })
    await client.packetFrame((packet) => packet.rid === 2)
    client.chunks.length = 0
    return [client, await opening]
  }

  t.test('leaves in order, and in one piece', async (t) => {
    const [client, socket] = await pair()
    socket.emit('first', 1)
    sc.exchange.publish('news', 'second')
    socket.send('third')
    socket.send(Buffer.from([4]))
    sessionOf(socket).ping()
    sc.exchange.publish('news', { n: 'sixth' })
    socket.emit('seventh')
    socket.disconnect(4123, 'eighth and ninth')
    socket.emit('never')
    await client.closed
    const seen = client.frames.items.map(({ opcode, payload }) => `${opcode} ${opcode === 2 ? payload.toString('hex') : opcode === 8 ? `${payload.readUInt16BE()} ${payload.subarray(2).toString()}` : payload.toString()}`)
    t.same(seen, [
      '1 {"event":"first","data":1}',
      '1 {"event":"#publish","data":{"channel":"news","data":"second"}}',
      '1 third',
      '2 04',
      '1 #1',
      '1 {"event":"#publish","data":{"channel":"news","data":{"n":"sixth"}}}',
      '1 {"event":"seventh"}',
      '1 {"event":"#disconnect","data":{"code":4123,"data":"eighth and ninth"}}',
      '8 4123 eighth and ninth'
    ])
    t.equal(client.chunks.length, 1, 'one piece')
    t.ok(client.frames.items.every(({ fin, rsv, masked }) => fin && rsv === 0 && !masked), 'whole frames, unmasked')
  })

  t.test('acks of calls that came together leave together', async (t) => {
    const [client] = await pair()
    client.socket.write(Buffer.concat([3, 4, 5, 6].map((cid) => frame(JSON.stringify({ event: '#publish', data: { channel: 'news', data: cid }, cid })))))
    await client.packetFrame((packet) => packet.rid === 6)
    t.same(client.frames.items.map(({ payload }) => payload.toString().includes('#publish')), [true, false, true, false, true, false, true], 'each publication before its ack')
    t.ok(client.chunks.length <= 2, `${client.chunks.length} pieces`)
  })

  t.test('publications alone share what joins them', async (t) => {
    const clients = [await pair(), await pair(), await pair()].map(([client]) => client)
    for (let n = 0; n < 20; n++) sc.exchange.publish('news', n)
    for (const client of clients) {
      for (let n = 0; n < 20; n++) {
        const { data } = await client.packetFrame((packet) => packet.event === '#publish')
        t.equal(data.data, n)
      }
    }
  })

  t.test('a large one among small ones', async (t) => {
    const [client, socket] = await pair()
    const large = 'x'.repeat(200_000)
    socket.emit('a', 1)
    sc.exchange.publish('news', large)
    socket.emit('b', large)
    socket.emit('c', 2)
    await client.packetFrame((packet) => packet.event === 'a')
    t.equal((await client.packetFrame((packet) => packet.event === '#publish')).data.data.length, large.length)
    t.equal((await client.packetFrame((packet) => packet.event === 'b')).data.length, large.length)
    t.equal((await client.packetFrame((packet) => packet.event === 'c')).data, 2)
  })
})

/** Lengths of a frame's payload at which its header changes, and those next to them. */
const lengths = [0, 1, 125, 126, 127, 65_535, 65_536, 65_537, 1_000_000]
const nextMessage = (socket: ScServerSocket): Promise<string | Buffer> => new Promise((resolve) => socket.once('message', resolve))
const headerLength = (length: number): number => length < 126 ? 2 : length < 65_536 ? 4 : 10

t.test('lengths', async (t) => {
  const { port, sc, nextSocket } = await serve(t, { ...big, perMessageDeflate: true })
  const opening = nextSocket()
  const client = await NetClient.connect(t, port)
  const socket = await opening
  const deflating = nextSocket()
  const deflated = await RawClient.connect(t, port, { perMessageDeflate: { threshold: 0 } })
  const deflatedSocket = await deflating
  t.match(deflated.ws.extensions, /permessage-deflate/)
  t.notMatch(client.headers, /permessage-deflate/i)

  for (const length of lengths) {
    for (const payload of ['a'.repeat(length), Buffer.alloc(length, 7)]) {
      const kind = typeof payload === 'string' ? 'text' : 'binary'
      const received = nextMessage(socket)
      // An empty text is a pong of version 2: no message of the application.
      socket.send(payload)
      const { fin, opcode, headerLength: header, payload: got } = await client.frames.take(() => true, 'the frame')
      t.same([fin, opcode, header, got.length], [true, kind === 'text' ? 1 : 2, headerLength(length), length], `${kind} of ${length} bytes, alone`)
      t.ok(got.equals(Buffer.from(payload as string)))
      client.socket.write(frame(payload, { opcode: kind === 'text' ? 1 : 2 }))
      const message = await received
      t.ok(Buffer.from(message as string).equals(Buffer.from(payload as string)), `${kind} of ${length} bytes, from the client`)

      // Two in one turn are written by another piece of code than one alone.
      socket.send(payload)
      socket.send(payload)
      for (let i = 0; i < 2; i++) {
        const both = await client.frames.take(() => true, 'the frame')
        t.same([both.headerLength, both.payload.length], [headerLength(length), length], `${kind} of ${length} bytes, in company`)
        t.ok(both.payload.equals(Buffer.from(payload as string)))
      }

      if (length === 0) continue
      deflatedSocket.send(payload)
      const inflated = await deflated.inbox.take(() => true, 'the deflated message')
      t.ok(Buffer.from(inflated).equals(Buffer.from(payload as string)), `${kind} of ${length} bytes, deflated`)
      const arrived = nextMessage(deflatedSocket)
      deflated.send(payload)
      const inbound = await arrived
      t.ok(Buffer.from(inbound as string).equals(Buffer.from(payload as string)), `${kind} of ${length} bytes, deflated by the client`)
    }
  }

  // Publications of every length, to a plain connection and a deflated one at once.
  client.packet({ event: '#subscribe', data: 'sizes', cid: 2 })
  await client.packetFrame((packet) => packet.rid === 2)
  await deflated.call('#subscribe', 'sizes')
  const overhead = '{"event":"#publish","data":{"channel":"sizes","data":""}}'.length
  for (const length of lengths.filter((length) => length > overhead)) {
    const data = 'p'.repeat(length - overhead)
    sc.exchange.publish('sizes', data)
    const { headerLength: header, payload } = await client.frames.take(() => true, 'the publication')
    t.same([header, payload.length], [headerLength(length), length], `a publication of ${length} bytes`)
    t.equal(JSON.parse(payload.toString()).data.data, data)
    t.equal(await deflated.publication('sizes'), data)
  }
})

t.test('text of more than one byte a character', async (t) => {
  const { port, sc, nextSocket } = await serve(t, big)
  const opening = nextSocket()
  const client = await NetClient.connect(t, port)
  const socket = await opening
  socket.on('echo', (data: unknown, res: (err: unknown, data: unknown) => void) => res(null, data))
  client.packet({ event: '#subscribe', data: 'ключ 🔑', cid: 2 })
  await client.packetFrame((packet) => packet.rid === 2)
  t.same(socket.subscriptions(), ['ключ 🔑'])
  let cid = 3
  for (const character of ['é', 'ж', '€', '漢', '🔑', 'a🔑é', '\ud800', '\u0000', '\u2028']) {
    const name = `U+${character.codePointAt(0)!.toString(16)}`
    for (const repeats of [1, 20, 31, 32, 41, 42, 62, 63, 16_383, 16_384, 21_845, 32_767, 32_768]) {
      const text = character.repeat(repeats)
      client.packet({ event: 'echo', data: text, cid: ++cid })
      const rid = cid
      const { data } = await client.packetFrame((packet) => packet.rid === rid)
      // A lone surrogate is written as an escape, so it survives.
      if (data !== text) t.fail(`${repeats} × ${name}`)
      sc.exchange.publish('ключ 🔑', text)
      socket.emit('text', text)
      const published = await client.packetFrame((packet) => packet.event === '#publish')
      if (published.data.channel !== 'ключ 🔑' || published.data.data !== text) t.fail(`publication of ${repeats} × ${name}`)
      if ((await client.packetFrame((packet) => packet.event === 'text')).data !== text) t.fail(`event of ${repeats} × ${name}`)
    }
    t.pass(name)
  }
  // Raw text goes through the frame writer without JSON's escapes.
  for (const text of ['é'.repeat(62), 'é'.repeat(63), 'é'.repeat(32_767) + 'a', 'é'.repeat(32_768), '🔑'.repeat(31) + 'é']) {
    socket.send(text)
    const { payload } = await client.frames.take(() => true, 'the text')
    t.equal(payload.toString(), text)
  }
})

t.test('messages in pieces', async (t) => {
  const { port, nextSocket } = await serve(t, big)
  const opening = nextSocket()
  const client = await NetClient.connect(t, port)
  const socket = await opening
  socket.on('echo', (data: unknown, res: (err: unknown, data: unknown) => void) => res(null, data))
  const message = Buffer.from(JSON.stringify({ event: 'echo', data: 'é漢🔑 in pieces', cid: 9 }))
  // Every cut, also through the middle of a character; with a ping between the pieces.
  for (let at = 1; at < message.length; at++) {
    client.socket.write(Buffer.concat([
      frame(message.subarray(0, at), { fin: false }),
      frame('?', { opcode: 9 }),
      frame(message.subarray(at), { opcode: 0 })
    ]))
    t.equal((await client.packetFrame((packet) => packet.rid === 9)).data, 'é漢🔑 in pieces')
    t.equal((await client.frames.take(({ opcode }) => opcode === 10, 'the pong')).payload.toString(), '?')
  }
  // A byte at a time on the wire.
  for (const byte of frame(message)) client.socket.write(Buffer.from([byte]))
  t.equal((await client.packetFrame((packet) => packet.rid === 9)).data, 'é漢🔑 in pieces')
})

t.test('close frames', async (t) => {
  const { port, sc } = await serve(t)
  const cases: Array<[Buffer, number, number]> = [
    [closeFrame(1000), 1000, 1000],
    [closeFrame(1001, 'going'), 1001, 1001],
    [closeFrame(4321, 'why'), 4321, 4321],
    [frame('', { opcode: 8 }), 1005, 1005]
  ]
  for (const [close, answered, seen] of cases) {
    const client = await NetClient.connect(t, port)
    const disconnection = once(sc, 'disconnection')
    client.socket.write(close)
    t.equal((await client.closeFrame()).code, answered, 'is answered with the same code')
    t.equal((await disconnection)[1], seen)
    await client.closed
  }
  const long = '🔑'.repeat(60)
  const opening = once(sc, 'connection')
  const client = await NetClient.connect(t, port)
  const socket = (await opening)[0] as ScServerSocket
  socket.disconnect(4100, long)
  t.same(await client.closeFrame(), { code: 4100, reason: '🔑'.repeat(30) }, 'a reason is cut between characters, to 123 bytes')
  client.socket.destroy()

  const gone = once(sc, 'disconnection')
  const rude = await NetClient.connect(t, port)
  rude.socket.destroy()
  t.equal((await gone)[1], 1006, 'a connection that just ends')
})

t.test('with and without the trailing slash, and under a path of its own', async (t) => {
  const { port } = await serve(t)
  for (const path of ['/socketcluster/', '/socketcluster', '/socketcluster/?token=x']) {
    const client = await RawClient.connect(t, port, { path })
    t.equal((await client.close()).code, 1000, path)
  }
  await t.rejects(RawClient.open(t, port, { path: '/other/' }), /404/)
  const other = await serve(t, { path: 'deep/er' })
  t.equal(other.sc.getPath(), '/deep/er/')
  await RawClient.connect(t, other.port, { path: '/deep/er' })
  await t.rejects(RawClient.open(t, other.port, { path: '/socketcluster/' }), /404/)
  const plain = await fetch(`http://127.0.0.1:${port}/socketcluster/`)
  t.equal(plain.status, 426)
  t.equal(plain.headers.get('upgrade'), 'websocket')
})
