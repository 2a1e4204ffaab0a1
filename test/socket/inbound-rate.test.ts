import fc from 'fast-check'
import t, { type Test } from 'tap'
import type { Packet } from '../../types/protocol.js'
import { Deadlines } from '../../lib/deadlines.js'
import { InboundRate, type RatePort } from '../../lib/socket/inbound-rate.js'
import type { Session } from '../../lib/socket/session.js'
import { Clock } from '../helpers/clock.js'

const defaults = { inboundRate: 10, inboundBurst: 5, inboundByteRate: 1_000, inboundByteBurst: 2_000, maxPayload: 3_000, socketChannelLimit: 2 }

/** What a message counts besides its bytes, without compression and with it. */
const overhead = 64
const compressedOverhead = 1_024

const subscribe: Packet = { kind: 'event', event: '#subscribe', data: {}, cid: 1 }
const event: Packet = { kind: 'event', event: 'x', data: null, cid: 7 }

function setUp (t: Test, options: Partial<typeof defaults> = {}, compressed = false) {
  const clock = new Clock(t)
  /** What the client, the connection and the server notice. */
  const seen: unknown[] = []
  let paused = false
  let shared = 0
  const session = {
    state: 'open',
    lastSeen: clock.now,
    host: { options: { ...defaults, ...options } },
    connection: { compressed },
    activity: {
      get overRate () { return paused },
      set overRate (over: boolean) { paused = over }
    },
    outbound: { errorAck (cid: unknown, error: Error & { code: string, retryAfter: number, stack?: string }) { seen.push({ cid, code: error.code, retryAfter: error.retryAfter }); if (!error.message.includes(` ${error.retryAfter} `)) seen.push(error.message) } },
    end (code: number) { this.state = 'closed'; seen.push(code) },
    fault (err: unknown) { seen.push(err) }
  }
  const port: RatePort = {
    monitor: { rateLimited (_session, retryAfter) { seen.push(`limited ${retryAfter}`) } },
    rates: { take: () => shared },
    pauses: new Deadlines(100)
  }
  const rate = new InboundRate(session as unknown as Session, port)
  return {
    clock,
    session,
    rate,
    seen,
    share (retryAfter: number) { shared = retryAfter },
    get paused () { return paused },
    /** The bytes of a message, with what each counts besides. */
    bytes: (bytes: number) => rate.takeBytes(bytes - (compressed ? compressedOverhead : overhead), clock.now),
    packet (packet: Packet) {
      session.lastSeen = clock.now
      return rate.takePacket(packet)
    },
    take () { return seen.splice(0) }
  }
}

t.test('over the rate of bytes reading pauses, until what is owed has come back', async (t) => {
  const way = setUp(t)
  t.ok(way.bytes(2_000))
  t.notOk(way.paused, 'the burst')
  t.equal(way.clock.armed, 0)
  t.ok(way.bytes(1))
  t.ok(way.paused, 'one byte more')
  t.ok(way.bytes(299), 'what had been read already')
  t.equal(way.clock.armed, 1, 'one pause, however much comes meanwhile')
  await way.clock.advance(200)
  t.ok(way.paused, '100 bytes are owed')
  await way.clock.advance(100)
  t.notOk(way.paused)
  await way.clock.advance(10_000)
  t.equal(way.clock.armed, 0)
  t.ok(way.bytes(2_000))
  t.notOk(way.paused, 'no more than a burst is saved up')
  way.bytes(1)
  t.ok(way.paused)
  t.strictSame(way.seen, [], 'nobody is refused anything')
})

t.test('a message weighs more on a connection with compression', async (t) => {
  const plain = setUp(t)
  plain.rate.takeBytes(2_000 - overhead, plain.clock.now)
  t.notOk(plain.paused)
  plain.rate.takeBytes(0, plain.clock.now)
  t.ok(plain.paused, 'an empty one counts')
  const compressed = setUp(t, {}, true)
  compressed.rate.takeBytes(2_000 - compressedOverhead, compressed.clock.now)
  t.notOk(compressed.paused)
  compressed.rate.takeBytes(0, compressed.clock.now)
  t.ok(compressed.paused)
})

t.test('who sends on while nothing is read is ended, but for one message that is larger than a burst', async (t) => {
  const way = setUp(t)
  t.ok(way.bytes(2_000 + 3_000), 'a burst, and the largest message')
  t.ok(way.bytes(1), 'just as much is owed as may be')
  t.notOk(way.bytes(1))
  way.rate.endForBytes()
  t.strictSame(way.take(), ['limited 3002', 4429])
})

t.test('without a rate of bytes reading never pauses', async (t) => {
  const way = setUp(t, { inboundByteRate: 0 })
  for (let i = 0; i < 100; i++) t.ok(way.bytes(1_000_000))
  t.notOk(way.paused)
})

t.test('a message over the rate is counted, and a call is answered; after a second the client is ended', async (t) => {
  const way = setUp(t, { inboundRate: 8 })
  for (let i = 0; i < 5; i++) t.ok(way.packet(event))
  t.notOk(way.packet(event))
  t.strictSame(way.take(), ['limited 125', { cid: 7, code: 'SC_ERR_RATE', retryAfter: 125 }])
  t.notOk(way.packet({ kind: 'invalid', reason: 'x', cid: 'a' }))
  t.strictSame(way.take(), ['limited 125', { cid: 'a', code: 'SC_ERR_RATE', retryAfter: 125 }])
  t.notOk(way.packet({ kind: 'raw' }))
  t.notOk(way.packet({ kind: 'ack', rid: 1, error: null, data: null }))
  t.notOk(way.packet({ kind: 'event', event: 'x', data: null, cid: undefined }))
  t.strictSame(way.take(), ['limited 125', 'limited 125', 'limited 125'], 'no call, no answer')
  // It goes on as it began: what comes back is used up at once.
  for (let i = 0; i < 7; i++) {
    await way.clock.advance(125)
    t.ok(way.packet(event))
    t.notOk(way.packet(event))
  }
  await way.clock.advance(62.5)
  way.take()
  t.notOk(way.packet(event))
  t.strictSame(way.take(), ['limited 63', { cid: 7, code: 'SC_ERR_RATE', retryAfter: 63 }], 'the patience is not over')
  await way.clock.advance(62.5)
  t.ok(way.packet(event))
  t.notOk(way.packet(event))
  t.strictSame(way.take(), ['limited 125', 4429], 'no answer any more')
})

t.test('who slows down until half of the burst is there is forgiven', async (t) => {
  const way = setUp(t, { inboundRate: 8, inboundBurst: 8 })
  const useUp = (): void => { for (let i = 0; i < 100 && way.packet(event); i++) ; }
  useUp()
  await way.clock.advance(500)
  t.ok(way.packet(event), 'three are left of eight')
  useUp()
  await way.clock.advance(625)
  t.ok(way.packet(event), 'four are left of eight')
  useUp()
  for (const pause of [375, 375, 249]) {
    await way.clock.advance(pause)
    useUp()
    t.equal(way.session.state, 'open', 'a new second began')
  }
  await way.clock.advance(1)
  useUp()
  t.equal(way.session.state, 'closed')
})

t.test('without a rate of messages any number of them may come', async (t) => {
  const way = setUp(t, { inboundRate: 0 })
  for (let i = 0; i < 1_000; i++) if (!way.packet(event)) t.fail(`message ${i}`)
  t.strictSame(way.seen, [])
})

t.test('what throws when reading goes on is a fault of the socket', async (t) => {
  const way = setUp(t)
  way.bytes(2_001)
  const error = new Error('no')
  Object.defineProperty(way.session.activity, 'overRate', { get: () => true, set () { throw error } })
  await way.clock.advance(100)
  t.strictSame(way.seen, [error])
})

t.test('a rate that is shared counts with a rate of its own, and without one; then two seconds without a refusal forgive', async (t) => {
  for (const inboundRate of [10, 0]) {
    const way = setUp(t, { inboundRate })
    way.share(250)
    t.notOk(way.packet(event))
    t.strictSame(way.take(), ['limited 250', { cid: 7, code: 'SC_ERR_RATE', retryAfter: 250 }])
    await way.clock.advance(999)
    t.notOk(way.packet(event))
    t.equal(way.session.state, 'open')
  }
  const way = setUp(t, { inboundRate: 0 })
  way.share(250)
  way.packet(event)
  way.share(0)
  await way.clock.advance(2_000)
  t.ok(way.packet(event))
  way.share(250)
  t.notOk(way.packet(event))
  t.equal(way.session.state, 'open', 'forgiven')
  way.share(0)
  await way.clock.advance(1_999)
  t.ok(way.packet(event))
  way.share(250)
  t.notOk(way.packet(event))
  t.equal(way.session.state, 'closed')
})

t.test('as many subscribes as a socket may have channels are free, once it is open', async (t) => {
  const way = setUp(t, { inboundBurst: 1 })
  way.session.state = 'connecting'
  t.ok(way.packet(subscribe), 'it counts before the handshake')
  t.notOk(way.packet(subscribe))
  way.session.state = 'open'
  t.equal(way.rate.countOf([subscribe, event, subscribe, null, 1, subscribe]), 4)
  t.equal(way.rate.countOf([event, event, { event: '#publish' }, null]), 4)
  t.ok(way.packet(subscribe))
  t.equal(way.rate.countOf([subscribe, event, subscribe]), 2)
  t.ok(way.packet(subscribe))
  t.equal(way.rate.countOf([subscribe, event, subscribe]), 3)
  t.notOk(way.packet(subscribe), 'the third')
  t.notOk(way.rate.takeMessage(undefined))
  const unlimited = setUp(t, { inboundBurst: 1, socketChannelLimit: 0 })
  for (let i = 0; i < 10_000; i++) if (!unlimited.packet(subscribe)) t.fail(`subscribe ${i}`)
  t.ok(unlimited.packet(subscribe), 'the burst')
  t.notOk(unlimited.packet(subscribe))
})

t.test('whatever comes when: what gets through is within the rate, and who keeps to it is never refused', async (t) => {
  const way = fc.record({
    rate: fc.integer({ min: 1, max: 1_000 }),
    burst: fc.integer({ min: 1, max: 50 }),
    steps: fc.array(fc.record({ pause: fc.integer({ min: 0, max: 900 }), messages: fc.integer({ min: 0, max: 60 }) }), { maxLength: 30 })
  })
  fc.assert(fc.property(way, ({ rate: inboundRate, burst: inboundBurst, steps }) => {
    const { rate, session, clock } = setUp(t, { inboundRate, inboundBurst })
    const began = clock.now
    let through = 0
    for (const { pause, messages } of steps) {
      session.lastSeen = clock.now += pause
      for (let i = 0; i < messages; i++) if (rate.takeMessage(undefined)) through++
      if (through > inboundBurst + (clock.now - began) * inboundRate / 1_000 + 1e-6) return false
    }
    const polite = setUp(t, { inboundRate, inboundBurst })
    for (let i = 0; i < 100; i++) {
      polite.session.lastSeen = polite.clock.now += 1_000 / inboundRate + 1e-6
      if (!polite.rate.takeMessage(undefined)) return false
    }
    return polite.seen.length === 0
  }), { numRuns: 60 })
  t.pass('held')
})
