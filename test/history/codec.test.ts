// The codec of clients that recover: what it notes, sends and drops.
import t from 'tap'
import { recovering } from '../../lib/client/index.js'
import { generations } from '../helpers/app.js'
import { Inbox } from '../helpers/raw.js'
import { serve } from '../helpers/serve.js'
import { until } from '../helpers/waiting.js'

const plain = { encode: (object: unknown) => object as any, decode: (message: any) => message }

function start () {
  const codec = recovering(plain)
  let cid = 0
  return {
    codec,
    /** Sends a subscription. @returns the position that the codec added, and a function that answers */
    subscribe (channel: string) {
      const rid = ++cid
      const { data: { since } } = codec.encode({ event: '#subscribe', data: { channel }, cid: rid }) as any
      return { since, answer: (data?: unknown, error?: unknown) => codec.decode({ rid, data, error } as never) as unknown }
    },
    unsubscribe: (channel: string) => codec.encode({ event: '#unsubscribe', data: channel }),
    /** @returns whether the message reaches the client */
    receive: (channel: string, pos: string) => !Array.isArray(codec.decode({ event: '#publish', data: { channel }, pos } as never)),
    handshake: () => codec.encode({ event: '#handshake', data: {}, cid: ++cid })
  }
}

t.test('the last position is sent, and what comes twice is dropped', (t) => {
  const client = start()
  const first = client.subscribe('a')
  t.equal(first.since, undefined)
  first.answer({ pos: 'e.5.' })
  t.equal(client.receive('a', 'e.5.'), false)
  t.equal(client.receive('a', 'e.6.'), true)
  t.equal(client.receive('a', 'e.6.'), false)
  t.equal(client.receive('a', 'f.1.'), true, 'the server began a new history')
  client.handshake()
  const again = client.subscribe('a')
  t.equal(again.since, 'f.1.')
  t.strictSame(again.answer({ pos: 'f.1.', recovered: true, count: 2 }), [
    { rid: 3, data: { pos: 'f.1.', recovered: true, count: 2 }, error: undefined },
    { event: 'recovery', data: { channel: 'a', recovered: true, count: 2 } }
  ])
  t.end()
})

t.test('a message that arrives after the client left says nothing about what it has', (t) => {
  const client = start()
  client.subscribe('a').answer({ pos: 'e.5.' })
  client.unsubscribe('a')
  // Under way when the client left: socketcluster-client drops it.
  t.equal(client.receive('a', 'e.6.'), true)
  const again = client.subscribe('a')
  t.equal(again.since, undefined)
  t.equal(client.receive('a', 'e.7.'), true)
  again.answer({ pos: 'e.8.' })
  t.equal(client.receive('a', 'e.9.'), true)
  client.handshake()
  t.equal(client.subscribe('a').since, 'e.9.')
  t.end()
})

t.test('an answer that arrives after the client left begins nothing', (t) => {
  const client = start()
  client.subscribe('a').answer({ pos: 'e.5.' })
  client.handshake()
  const late = client.subscribe('a')
  t.equal(late.since, 'e.5.')
  client.unsubscribe('a')
  t.match(late.answer({ pos: 'e.5.', recovered: true, count: 1 }), { data: { count: 1 } }, 'no recovery is reported')
  client.receive('a', 'e.6.')
  t.equal(client.subscribe('a').since, undefined)
  t.end()
})

t.test('a client that was kicked out, or refused, begins anew', (t) => {
  const client = start()
  client.subscribe('a').answer({ pos: 'e.5.' })
  client.codec.decode({ event: '#kickOut', data: { channel: 'a' } } as never)
  client.receive('a', 'e.6.')
  const refused = client.subscribe('a')
  t.equal(refused.since, undefined)
  refused.answer(undefined, { message: 'no' })
  client.receive('a', 'e.7.')
  t.equal(client.subscribe('a').since, undefined)
  t.end()
})

for (const [generation, connect] of generations) {
  t.test(`a codec of bytes inside, with client ${generation}`, async (t) => {
    const bytes = {
      encode: (object: unknown) => Buffer.from(JSON.stringify(object)) as any,
      decode (message: any) {
        if (message === null || typeof message === 'string') return message
        const text = Buffer.from(message).toString()
        return text.startsWith('{') || text.startsWith('[') ? JSON.parse(text) : text
      }
    }
    const { port, sc } = await serve(t, { codecEngine: bytes }, (app) => { app.scChannel('room', { history: {}, recover: true }) })
    const client = await connect(t, { port }, { codecEngine: recovering(bytes), binaryType: 'arraybuffer' })
    const recoveries = new Inbox<any>()
    client.on('recovery', (event) => recoveries.push(event))
    await client.subscribe('room')
    await sc.exchange.publish('room', { n: 1 })
    t.same(await client.next('room'), { n: 1 })
    client.raw.transport.socket.terminate()
    await until('the end of the connection', () => client.state === 'closed')
    for (const n of [2, 3]) await sc.exchange.publish('room', { n })
    client.reconnect()
    t.same(await recoveries.take(() => true, 'recovery'), { channel: 'room', recovered: true, count: 2 })
    for (const n of [2, 3]) t.same(await client.next('room'), { n })
    await client.close()
  })
}
