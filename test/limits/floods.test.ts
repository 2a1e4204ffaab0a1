import { readFileSync } from 'node:fs'
import t from 'tap'
import { NetClient, frame } from '../helpers/raw.js'
import { serve } from '../helpers/serve.js'

/** The packets of the protocol, from the table that hands them to their handlers: a new one is flooded too. */
const handlers = readFileSync(new URL('../../lib/handlers/index.ts', import.meta.url), 'utf8')
const packets = [...handlers.matchAll(/\['(#\w+)', handle\w+\]/g)].map(([, name]) => name!)

const text = (value: unknown): Buffer => frame(JSON.stringify(value))

/** What can come in, once more for each call. */
const kinds: Record<string, (n: number) => Buffer> = {
  ...Object.fromEntries(packets.flatMap((event) => [
    [`${event} as a call`, (n: number) => text({ event, data: { channel: `room/${n}`, data: n }, cid: n })],
    [`${event} without an answer`, (n: number) => text({ event, data: { channel: `room/${n}`, data: n } })]
  ])),
  event: () => text({ event: 'event' }),
  call: (n) => text({ event: 'call', cid: n }),
  'event of the socket\'s own': (n) => text({ event: 'error', cid: n }),
  'unknown packet': (n) => text({ event: '#unknown', cid: n }),
  answer: (n) => text({ rid: n, data: n }),
  'answer with an error': (n) => text({ rid: n, error: { name: 'Error', message: 'no' } }),
  array: () => text([{ event: 'event' }, { event: 'event' }]),
  'empty array': () => text([]),
  object: () => text({}),
  'invalid packet': (n) => text({ event: 7, cid: n }),
  text: () => frame('hello'),
  binary: () => frame(Buffer.from('hello'), { opcode: 2 }),
  fragments: () => Buffer.concat([frame('{"event":', { fin: false }), frame('"event"}', { opcode: 0 })]),
  'pong, version 1': () => frame('#2'),
  'pong, version 2': () => frame(''),
  'websocket ping': () => frame('x', { opcode: 9 }),
  'websocket pong': () => frame('x', { opcode: 10 })
}

// Most of the time each waits for its rate and its close.
t.jobs = 6

t.ok(packets.length >= 7, `the table has ${packets.join(', ')}`)

for (const [name, message] of Object.entries(kinds)) {
  t.test(`a flood: ${name}`, { buffered: true }, async (t) => {
    let decoded = 0
    const codecEngine = {
      encode: (object: unknown) => JSON.stringify(object),
      decode (data: string | Buffer) {
        decoded++
        const json = data.toString()
        return /^[{[]/.test(json) ? JSON.parse(json) : json
      }
    }
    const { port, sc, nextSocket } = await serve(t, { codecEngine, inboundRate: 20, inboundBurst: 20, inboundByteRate: 20_000, inboundByteBurst: 20_000, socketChannelLimit: 10, authenticateRate: 0, closeTimeout: 300 })
    const connected = nextSocket()
    const client = await NetClient.open(t, port)
    client.packet({ event: '#handshake', data: {}, cid: 1 })
    const socket = await connected
    const closed = new Promise<number>((resolve) => socket.on('close', resolve))
    let n = 1
    const timer = setInterval(() => {
      const burst = Array.from({ length: 50 }, () => message(++n))
      client.socket.write(Buffer.concat(burst))
    }, 20)
    t.teardown(() => clearInterval(timer))
    const code = await closed
    const before = decoded
    // A disconnect is what it asks for, and what ends the others is a rate. Too many pings in one read end at once.
    const expected = name === 'websocket ping' ? [4429, 1006] : [4429, 4400]
    if (!name.startsWith('#disconnect')) t.ok(expected.includes(code), `closed with ${String(code)}`)
    // The flood goes on.
    await client.closed
    t.equal(decoded, before, 'after the close nothing is decoded')
    if (code === 4429) t.ok(sc.stats().rateLimited > 0, 'it was counted')
  })
}
