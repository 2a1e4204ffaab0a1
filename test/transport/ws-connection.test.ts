// A connection above a stand-in for the websocket: it says what the real one is not known to say, and must not.
import { EventEmitter } from 'node:events'
import { Duplex } from 'node:stream'
import t from 'tap'
import * as ws from 'ws'
import { Deflate } from '../../lib/transport/deflate.js'
import { Flusher } from '../../lib/transport/flusher.js'
import { Holdings } from '../../lib/transport/holdings.js'
import { MessageSeries, SharedMessage } from '../../lib/transport/shared-message.js'
import { WsConnection } from '../../lib/transport/ws-connection.js'
import { Clock } from '../helpers/clock.js'

class StandIn extends EventEmitter {
  readonly OPEN = 1
  readonly CLOSING = 2
  readonly CLOSED = 3
  readyState = 1
  extensions = ''
  bufferedAmount = 0
  readonly did: unknown[] = []
  terminate (): void { this.readyState = 3 }
  close (...args: unknown[]): void { this.readyState = 2; this.did.push(['close', ...args]) }
  pause (): void { this.did.push('pause') }
  resume (): void { this.did.push('resume') }
  send (...args: unknown[]): void { this.did.push(args.map((arg) => Buffer.isBuffer(arg) ? `bytes ${arg.toString()}` : arg)) }
  ping (_data: unknown, _mask: unknown, done: () => void): void { this.did.push(done) }
}

interface Setting {
  extensions?: string
  deflate?: Deflate
  /** Whether ws sends: there is no stream. */
  bare?: boolean
  /** What each call of the listener throws. */
  error?: Error
}

function connect ({ extensions = '', deflate, bare = false, error }: Setting = {}) {
  const ws = new StandIn()
  ws.extensions = extensions
  const told: string[] = []
  const counters = { inboundMessages: 0, inboundBytes: 0, outboundMessages: 0, outboundBytes: 0 }
  const holdings = new Holdings(0, () => {})
  const written: Buffer[] = []
  let corked = 0
  const stream = new Duplex({ read () {}, write (chunk, _encoding, done) { written.push(chunk); done() } })
  const { cork } = stream
  stream.cork = function () { corked++; cork.call(stream) }
  const connection = new WsConnection(ws as unknown as ws.WebSocket, bare ? undefined : stream, new Flusher(), counters, holdings, 1_000_000, 2_000, deflate)
  const tell = (text: string): void => {
    told.push(text)
    if (error !== undefined) throw error
  }
  connection.attach({
    onArrival () { tell('arrival'); return accepts },
    onMessage (data) { tell(`message ${data.toString()}`) },
    onControl () { tell('control') },
    onClose (code) { tell(`close ${code}`) },
    onError (err) { tell(`error ${err.message}`) },
    onBacklog () { tell('backlog') },
    onRoom () {},
    onCongested () { tell('congested') },
    fault (err) { told.push(`fault ${String(err)}`) }
  })
  let accepts = true
  const refuse = (): void => { accepts = false }
  const speak = (): void => {
    ws.emit('message', Buffer.from('text'), false)
    ws.emit('message', Buffer.from('bytes'), true)
    ws.emit('ping', Buffer.from('x'))
    ws.emit('pong', Buffer.from('x'))
  }
  return { ws, connection, told, speak, counters, holdings, stream, written, refuse, get corked () { return corked } }
}

const turn = async (): Promise<void> => new Promise((resolve) => setImmediate(resolve))

/** What ws reads of what was written. */
function read (written: Buffer[]): string[] {
  const messages: string[] = []
  // There are no type declarations for it.
  const receiver = new (ws as any).Receiver({ isServer: false, allowSynchronousEvents: true })
  receiver.on('message', (data: Buffer, binary: boolean) => messages.push(`${binary ? 'bytes ' : ''}${data.toString()}`))
  for (const bytes of written) receiver.write(bytes)
  return messages
}

/** What a client with compression reads. */
async function readDeflated (written: Buffer[], count: number): Promise<string[]> {
  const inflate = new (ws as any).PerMessageDeflate({ isServer: false })
  inflate.accept([{}])
  const receiver = new (ws as any).Receiver({ isServer: false, extensions: { 'permessage-deflate': inflate } })
  const messages: string[] = []
  const all = new Promise<void>((resolve) => receiver.on('message', (data: Buffer) => { if (messages.push(data.toString()) === count) resolve() }))
  for (const bytes of written) receiver.write(bytes)
  await all
  return messages
}

t.test('what comes is handed on', async (t) => {
  const { told, speak } = connect()
  speak()
  t.strictSame(told, ['arrival', 'message text', 'arrival', 'message bytes', 'control', 'control'])
})

const ends: Record<string, [end: (connection: ReturnType<typeof connect>) => void, told: string[]]> = {
  'an error': [({ ws }) => ws.emit('error', new Error('unreadable')), ['error unreadable']],
  'its end': [({ ws }) => ws.emit('close', 1006, Buffer.alloc(0)), ['close 1006']],
  'a terminate of ours': [({ connection }) => connection.terminate(), []]
}

for (const [what, [end, expected]] of Object.entries(ends)) {
  t.test(`a receiver that goes on after ${what} is not listened to`, async (t) => {
    const connection = connect()
    end(connection)
    connection.speak()
    t.strictSame(connection.told, expected)
    t.equal(connection.counters.inboundMessages, 2, 'it is counted as traffic')
  })
}

t.test('what follows an error within a message that is handed on', async (t) => {
  const connection = connect()
  const { ws, told } = connection
  ws.once('message', () => { ws.emit('error', new Error('unreadable')) })
  connection.speak()
  t.strictSame(told, ['arrival', 'message text', 'error unreadable'])
  ws.emit('close', 1007, Buffer.alloc(0))
  t.strictSame(told.slice(3), ['close 1007'], 'its end is told')
})

t.test('a connection that is gone holds nothing', async (t) => {
  for (const [end] of Object.values(ends).slice(1)) {
    const connection = connect()
    connection.connection.hold(5_000)
    connection.connection.send('x'.repeat(1_000))
    t.equal(connection.holdings.total, 7_000)
    end(connection)
    t.equal(connection.holdings.total, 0)
  }
})

t.test('what is refused when it arrives is not read, and counts as traffic', async (t) => {
  const { told, refuse, speak, counters } = connect()
  refuse()
  speak()
  t.strictSame(told, ['arrival', 'arrival', 'control', 'control'])
  t.strictSame([counters.inboundMessages, counters.inboundBytes], [2, 9])
})

t.test('whatever a listener throws is a fault of the socket', async (t) => {
  const { ws, told, speak } = connect({ error: new Error('no') })
  speak()
  ws.emit('error', new Error('x'))
  ws.emit('close', 1006, Buffer.alloc(0))
  t.strictSame(told, ['arrival', 'fault Error: no', 'arrival', 'fault Error: no', 'control', 'fault Error: no', 'control', 'fault Error: no', 'error x', 'fault Error: no', 'close 1006', 'fault Error: no'])
})

const long = 'x'.repeat(40_000)
const sets: Record<string, Array<string | Buffer | SharedMessage>> = {
  'one text': ['a€'],
  'bytes alone': [Buffer.from('ab')],
  'one publication': [new SharedMessage('shared')],
  'publications only': [new SharedMessage('a'), new SharedMessage(Buffer.from('b'))],
  'everything mixed': ['a€', new SharedMessage('b'), Buffer.from('c'), new SharedMessage(Buffer.from('d')), 'e'],
  'more than is worth joining': [long, new SharedMessage(long), Buffer.from('end')],
  'publications that are more than is worth joining': [new SharedMessage(long), new SharedMessage(long)]
}
const text = (item: string | Buffer | SharedMessage): string => {
  const data = item instanceof SharedMessage ? item.data : item
  return `${typeof data === 'string' ? '' : 'bytes '}${data.toString()}`
}

for (const [what, items] of Object.entries(sets)) {
  for (const [how, setting] of Object.entries({ plain: {}, compressed: { extensions: 'permessage-deflate', deflate: new Deflate({ threshold: 10 }) } })) {
    t.test(`${what} of one turn, ${how}: one write, whole and in order`, async (t) => {
      const connection = connect(setting)
      for (const item of items) {
        if (item instanceof SharedMessage) connection.connection.publish(item, 'x', 'drop')
        else connection.connection.send(item)
      }
      await turn()
      t.equal(connection.connection.compressed, how === 'compressed')
      const total = connection.written.reduce((sum, { length }) => sum + length, 0)
      const joins = how === 'compressed' || total <= 65_536
      t.strictSame([connection.corked, connection.written.length], joins ? [0, 1] : [1, items.length])
      t.strictSame([connection.counters.outboundMessages, connection.counters.outboundBytes], [items.length, total])
      if (how === 'compressed') {
        const compressedOnes = items.filter((item) => text(item).length >= 10 + (text(item).startsWith('bytes ') ? 6 : 0)).length
        t.ok(compressedOnes === 0 || total < 1_000, `${total} bytes`)
      } else {
        t.strictSame(read(connection.written), items.map(text))
      }
    })
  }
}

t.test('without a stream ws sends, one after the other', async (t) => {
  for (const setting of [{ bare: true }, { extensions: 'another' }, { extensions: 'permessage-deflate' }]) {
    const { ws, connection, written, counters } = connect(setting)
    for (const item of sets['everything mixed']!) {
      if (item instanceof SharedMessage) connection.publish(item, 'x', 'drop')
      else connection.send(item)
    }
    await turn()
    t.strictSame(ws.did, [['a€'], ['bytes b', { binary: false }], ['bytes c'], ['bytes d', { binary: true }], ['bytes e'].map(() => 'e')])
    t.strictSame([written.length, counters.outboundMessages, counters.outboundBytes], [0, 5, 8])
    connection.send('one')
    await turn()
    t.strictSame(ws.did.at(-1), ['one'])
  }
})

t.test('what ws has not sent is its backlog', async (t) => {
  const { ws, connection, told } = connect({ bare: true })
  ws.bufferedAmount = 1_000_000
  t.equal(connection.bufferedBytes, 1_000_000)
  t.notOk(connection.publish(new SharedMessage('x'), 'a', 'latest'))
  t.strictSame(told, ['backlog'])
  const drained = ws.did.at(-1) as () => void
  ws.bufferedAmount = 0
  drained()
  await turn()
  t.strictSame(ws.did.at(-1), ['bytes x', { binary: false }])
})

t.test('what the stream has not taken is its backlog', async (t) => {
  const { connection, stream, told } = connect()
  stream.cork()
  connection.send('x'.repeat(1_000))
  await turn()
  t.equal(connection.bufferedBytes, 1_004)
  t.strictSame(told, ['congested'])
  stream.uncork()
  t.equal(connection.bufferedBytes, 0)
})

t.test('a close writes what is queued, then cuts its reason; a second one does nothing', async (t) => {
  const { ws, connection, written } = connect()
  connection.send('last')
  connection.close(1000, 'x'.repeat(200))
  connection.close(1001, 'again')
  t.strictSame(read(written), ['last'])
  t.strictSame(ws.did, [['close', 1000, 'x'.repeat(123)]])
  t.equal(connection.open, false)
})

t.test('when the client ended its side the connection has its time to be gone, and no more', async (t) => {
  const clock = new Clock(t)
  for (const how of ['gone', 'stays', 'gone before'] as const) {
    const { ws, connection } = connect()
    let terminated = 0
    ws.terminate = () => { terminated++ }
    ws.readyState = how === 'gone before' ? 3 : 2
    connection.send('a ping')
    connection.close(1000, '')
    connection.publish(new SharedMessage('shared'), 'x', 'drop')
    t.equal(clock.armed, how === 'gone before' ? 0 : 1, how)
    if (how === 'gone') ws.emit('close', 1006, Buffer.alloc(0))
    await clock.advance(1_999)
    t.equal(terminated, 0)
    await clock.advance(2)
    t.strictSame([terminated, clock.armed], [how === 'stays' ? 1 : 0, 0], how)
  }
})

t.test('reading stops and goes on', async (t) => {
  const { ws, connection } = connect()
  connection.pause()
  connection.resume()
  t.strictSame(ws.did, ['pause', 'resume'])
})

t.test('its end can be waited for, before and after', async (t) => {
  const { ws, connection } = connect()
  let ended = false
  const waiting = connection.closed.then(() => { ended = true })
  await turn()
  t.equal(ended, false)
  ws.readyState = 3
  ws.emit('close', 1000, Buffer.alloc(0))
  await waiting
  await connection.closed
})

t.test('a fault before anybody listens is nobody\'s', async (t) => {
  const connection = new WsConnection(new StandIn() as unknown as ws.WebSocket, undefined, new Flusher(), {} as never, new Holdings(0, () => {}), 0, 0)
  t.doesNotThrow(() => connection.fault(new Error('no')))
  const { connection: attached, told } = connect()
  attached.fault('text')
  t.strictSame(told, ['fault text'])
})

const place = { position: { epoch: 'e', offset: 3, check: '' }, previous: null }

t.test('a series of messages is written like its messages', async (t) => {
  const texts = ['one', 'two', 'x'.repeat(600)]
  for (const setting of [{}, { extensions: 'permessage-deflate', deflate: new Deflate({ threshold: 100 }) }, { bare: true, extensions: 'other' }]) {
    for (const first of [null, 'an answer']) {
      const { connection, counters, written, ws: { did } } = connect(setting)
      const series = new MessageSeries(texts.map((text) => new SharedMessage(text)), place)
      t.equal(series.bytes, 606)
      t.equal(series.count, 3)
      if (first !== null) connection.send(first)
      t.equal(connection.publish(series, 'room', 'resume'), true)
      await turn()
      const expected = first === null ? texts : [first, ...texts]
      const got = 'bare' in setting ? (did as unknown[][]).map(([data]) => String(data).replace('bytes ', '')) : await readDeflated(written, expected.length)
      t.strictSame(got, expected)
      t.equal(counters.outboundMessages, expected.length)
    }
  }
})

t.test('sockets that get the same series share its bytes', async (t) => {
  const series = new MessageSeries([new SharedMessage('one'), new SharedMessage('two')], place)
  const [a, b] = [connect(), connect()]
  for (const { connection } of [a, b]) connection.publish(series, 'room', 'resume')
  await turn()
  t.equal(a.written[0], b.written[0])
  t.strictSame(read(a.written), ['one', 'two'])
})
