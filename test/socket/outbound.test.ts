import t, { type Test } from 'tap'
import type { CodecEngine } from '../../types/protocol.js'
import { Deadlines } from '../../lib/deadlines.js'
import { jsonCodec } from '../../lib/protocol/codec.js'
import { Outbound, type Sender } from '../../lib/socket/outbound.js'
import { Clock } from '../helpers/clock.js'

const turn = async (): Promise<void> => new Promise((resolve) => setImmediate(resolve))

/** What JSON has no text for. */
const circle = (): object => {
  const value: Record<string, unknown> = {}
  value.self = value
  return value
}

/** An engine that marks what it wrote. */
const marking: CodecEngine = { encode: (packet) => `<${jsonCodec.encode(packet) as string}>`, decode: jsonCodec.decode }

function setUp ({ codec, ackTimeout = 0, pubSubBatchDuration = null }: { codec?: CodecEngine, ackTimeout?: number, pubSubBatchDuration?: number | null } = {}) {
  const sent: unknown[] = []
  /** Errors of the socket, faults, and what listeners threw. */
  const errors: unknown[] = []
  const faults: unknown[] = []
  const thrown: unknown[] = []
  const sender = {
    state: 'open',
    connection: { send (data: unknown) { sent.push(data) } },
    host: { options: { pubSubBatchDuration }, codec: codec ?? jsonCodec, plainJson: codec === undefined, ackDeadlines: new Deadlines(ackTimeout) },
    emitError (err: unknown) { errors.push(err) },
    onListenerError (err: unknown) { thrown.push(err) },
    fault (err: unknown) { faults.push(err) }
  }
  return { outbound: new Outbound(sender as never as Sender), sender, sent, errors, faults, thrown }
}

t.test('events and answers, as the codec writes them', async (t) => {
  const say = ({ outbound }: ReturnType<typeof setUp>): void => {
    outbound.event('a')
    outbound.event('b', { n: 1 })
    outbound.event('c', null, 7)
    outbound.ack(1, undefined)
    outbound.ack('x', [1])
    outbound.jsonAck(2, '{"n":1}')
    outbound.jsonAck(3, '')
    outbound.errorAck(4, Object.assign(new Error('no'), { name: 'OwnError' }))
    outbound.errorAck(5, 'text', { kept: true })
    outbound.packet({ any: 'object' })
    outbound.packet([1])
  }
  const expected = [
    { event: 'a' }, { event: 'b', data: { n: 1 } }, { event: 'c', data: null, cid: 7 }, { rid: 1 }, { rid: 'x', data: [1] }, { rid: 2, data: { n: 1 } }, { rid: 3 },
    { rid: 4, error: { name: 'OwnError', message: 'no' } }, { rid: 5, error: 'text', data: { kept: true } }, { any: 'object' }, [1]
  ]
  const plain = setUp()
  say(plain)
  t.strictSame(plain.sent.map((text) => JSON.parse(text as string)), expected)
  const own = setUp({ codec: marking })
  say(own)
  t.ok(own.sent.every((text) => /^<.*>$/.test(text as string)), 'an engine of the application writes all of them')
  t.strictSame(own.sent.map((text) => JSON.parse((text as string).slice(1, -1))), expected)
  t.strictSame([...plain.errors, ...own.errors], [])
})

t.test('data that cannot be encoded is an error of the socket, and of who waits for an answer', async (t) => {
  for (const codec of [undefined, marking]) {
    const { outbound, sent, errors } = setUp({ codec })
    const failure = { name: 'InvalidArgumentsError', code: 'SC_ERR_ENCODE', message: /circular/, cause: TypeError }
    const error = outbound.event('a', circle())
    t.match(error, failure)
    t.strictSame(errors.splice(0), [error])
    t.equal(outbound.event('a', 1), undefined, 'no error, nothing to tell')
    sent.length = 0
    outbound.ack(1, circle())
    t.match(errors.splice(0), [failure])
    t.match(sent.splice(0), [/"rid":1,"error":\{.*The data cannot be encoded/])
    outbound.errorAck(2, new Error('no'), circle())
    t.match(errors.splice(0), [failure])
    t.match(sent, [/"rid":2,"error":\{[^}]*"message":"no"/], 'the error goes without its data')
    outbound.packet(circle())
    t.match(errors, [failure])
  }
})

t.test('a client that cannot be told anything is not left to wait: the socket ends', async (t) => {
  const broken = new Error('broken')
  const { outbound, errors, faults } = setUp({ codec: { encode () { throw broken }, decode: jsonCodec.decode } })
  outbound.ack(1, 1)
  t.strictSame(faults, [broken])
  t.equal(errors.length, 2, 'the answer, and the error in its place')
})

t.test('a call is answered once, by callback or as a promise', async (t) => {
  const { outbound, sent } = setUp()
  const answers: unknown[] = []
  t.equal(outbound.settle(1, null, 'nobody asked'), false)
  t.equal(outbound.call('a', { n: 1 }, (...args) => { answers.push(args) }), 1)
  const promised = outbound.invoke('b', 2)
  const refused = outbound.invoke('c')
  t.strictSame(sent.map((text) => JSON.parse(text as string)), [{ event: 'a', data: { n: 1 }, cid: 1 }, { event: 'b', data: 2, cid: 2 }, { event: 'c', cid: 3 }])
  t.equal(outbound.settle(1, null, 'yes'), true)
  t.equal(outbound.settle(1, null, 'again'), false)
  t.equal(outbound.settle(9, null, 'unknown'), false)
  outbound.settle(2, undefined, 'two')
  outbound.settle(3, { name: 'OwnError', message: 'no' }, undefined)
  t.strictSame(answers, [[null, 'yes']])
  t.equal(await promised, 'two')
  await t.rejects(refused, { name: 'OwnError', message: 'no' })
})

t.test('a delivery says what went wrong, and never rejects', async (t) => {
  const { outbound } = setUp()
  const stored = outbound.delivery('#setAuthToken', { token: 'x' })
  const refused = outbound.delivery('#setAuthToken')
  outbound.settle(1, null, undefined)
  outbound.settle(2, { name: 'OwnError', message: 'full' }, undefined)
  t.equal(await stored, null)
  t.match(await refused, { name: 'OwnError', message: 'full' })
})

t.test('a call whose data cannot be encoded fails at once', async (t) => {
  const { outbound, errors } = setUp()
  await t.rejects(outbound.invoke('a', circle()), { code: 'SC_ERR_ENCODE' })
  t.equal(errors.length, 1)
  t.equal(outbound.settle(1, null, 'late'), false, 'nothing is kept of it')
})

t.test('names of the server\'s own events cannot be called', async (t) => {
  const { outbound, sent } = setUp()
  await t.rejects(outbound.invoke('disconnect'), { code: 'SC_ERR_EVENT_RESERVED', message: /"disconnect"/ })
  t.strictSame(sent, [])
})

t.test('a call on a closed socket fails at once, and a callback that throws is told', async (t) => {
  const { outbound, sender, sent, thrown } = setUp()
  sender.state = 'closed'
  const error = new Error('of the callback')
  const answers: unknown[] = []
  t.equal(outbound.call('a', 1, (err) => { answers.push(err); throw error }), undefined)
  t.match(answers, [{ name: 'BadConnectionError', message: /'a'/, type: 'disconnect', code: 1001, reason: 'Socket was disconnected' }])
  t.strictSame(thrown, [error])
  await t.rejects(outbound.invoke('a', 1, 10), { name: 'BadConnectionError' })
  t.strictSame(sent, [])
})

t.test('what a callback of an answered call throws is told', async (t) => {
  const { outbound, thrown } = setUp()
  const error = new Error('of the callback')
  outbound.call('a', 1, () => { throw error })
  outbound.settle(1, null, 'yes')
  t.strictSame(thrown, [error])
})

async function timeouts (t: Test, ackTimeout: number, own: number | undefined): Promise<{ clock: Clock, outbound: Outbound, outcome: () => unknown }> {
  const clock = new Clock(t)
  const { outbound } = setUp({ ackTimeout })
  let outcome: unknown = 'waiting'
  outbound.invoke('slow', 1, own).then((answer) => { outcome = answer }, (err) => { outcome = err })
  return { clock, outbound, outcome: () => outcome }
}

t.test('a call that is not answered ends by its own timeout or by that of all calls, whichever is first', async (t) => {
  for (const [all, own, expected] of [[100, undefined, 100], [100, 20, 20], [20, 100, 20], [0, 50, 50], [100, 0, 0]] as const) {
    const { clock, outcome } = await timeouts(t, all, own)
    if (expected > 0) await clock.advance(expected - 1)
    if (expected > 0) t.equal(outcome(), 'waiting', `${all} and ${own}`)
    await clock.advance(1)
    t.match(outcome(), { name: 'TimeoutError', code: 'SC_ERR_ACK_TIMEOUT', message: /'slow'/ })
  }
})

t.test('a call has a timer only for a timeout of its own, and none when it failed already', async (t) => {
  const clock = new Clock(t)
  const { outbound, sender } = setUp()
  outbound.invoke('a')
  t.equal(clock.armed, 0)
  sender.state = 'closed'
  await t.rejects(outbound.invoke('a', 1, 1_000), { name: 'BadConnectionError' })
  t.equal(clock.armed, 0)
})

t.test('an answer in time leaves no timer behind', async (t) => {
  const { clock, outbound, outcome } = await timeouts(t, 0, 50)
  t.equal(clock.armed, 1)
  outbound.settle(1, null, 'yes')
  t.equal(clock.armed, 0)
  await turn()
  t.equal(outcome(), 'yes')
})

t.test('packets that come soon after each other go out as one array', async (t) => {
  const clock = new Clock(t)
  const { outbound, sent } = setUp({ pubSubBatchDuration: 50 })
  outbound.packet({ n: 1 }, true)
  outbound.packet({ n: 2 }, true)
  outbound.packet({ n: 3 })
  t.strictSame(sent.splice(0), ['{"n":3}'], 'at once')
  await clock.advance(49)
  t.strictSame(sent, [])
  await clock.advance(1)
  t.strictSame(sent.splice(0), ['[{"n":1},{"n":2}]'])
  outbound.packet({ n: 4 }, true)
  outbound.flush()
  t.strictSame(sent.splice(0), ['[{"n":4}]'], 'the connection is about to be closed')
  await clock.advance(100)
  t.strictSame(sent, [], 'and not again')
})

t.test('one packet of a batch that cannot be encoded does no harm to the others', async (t) => {
  const { outbound, sent, errors } = setUp()
  outbound.packet({ n: 1 }, true)
  outbound.packet(circle(), true)
  outbound.packet({ n: 2 }, true)
  await turn()
  t.strictSame(sent, ['{"n":1}', '{"n":2}'])
  t.match(errors, [{ code: 'SC_ERR_ENCODE' }])
  t.equal(errors.length, 1)
})

t.test('when the connection is gone calls fail, and what is gathered is dropped', async (t) => {
  const { outbound, sent } = setUp()
  const call = outbound.invoke('a')
  sent.length = 0
  outbound.packet({ n: 1 }, true)
  outbound.end('connectAbort', 4009, 'why')
  await t.rejects(call, { name: 'BadConnectionError', type: 'connectAbort', code: 4009, reason: 'why' })
  await turn()
  t.strictSame(sent, [])
  t.doesNotThrow(() => setUp().outbound.end('disconnect', 1000, ''), 'also of a socket that never said anything')
  t.doesNotThrow(() => setUp().outbound.flush())
})
