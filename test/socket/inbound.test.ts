import { subscribe, unsubscribe } from 'node:diagnostics_channel'
import t, { type Test } from 'tap'
import type { EventPacket } from '../../types/protocol.js'
import { Deadlines } from '../../lib/deadlines.js'
import { diagnostics } from '../../lib/diagnostics.js'
import { dialects } from '../../lib/protocol/dialects.js'
import { Inbound, type InboundPort } from '../../lib/socket/inbound.js'
import { Clock } from '../helpers/clock.js'
import { lonelySession } from '../helpers/session.js'

const turn = async (): Promise<void> => new Promise((resolve) => setImmediate(resolve))

/** Time stands still: what takes too long waits for the next turn, and a busy machine must not decide that. */
const clocks = new WeakMap<Test, Clock>()
function clockOf (t: Test): Clock {
  let clock = clocks.get(t)
  if (clock === undefined) clocks.set(t, clock = new Clock(t))
  return clock
}

/** The way in of a session, with what it asks of the server and of the session, in order. */
function setUp (t: Test, options: Record<string, unknown> = {}, how: Parameters<typeof lonelySession>[1] = {}) {
  clockOf(t)
  const lonely = lonelySession({ protocolVersion: 2, ...options }, how)
  const { session, log } = lonely
  const dispatched: EventPacket[] = []
  const invalid: any[] = []
  let dispatch: (packet: EventPacket) => void | Promise<void> = () => {}
  const port: InboundPort = {
    dispatch (_session, packet) { dispatched.push(packet); return dispatch(packet) },
    tokens: { dropExpired () { log.push('token looked at'); return undefined } },
    monitor: {
      countInvalid (_session, error) { invalid.push(error()) },
      message (_session, bytes) { log.push(`message of ${bytes}`) },
      rateLimited (_session, retryAfter) { log.push(`limited ${retryAfter}`) }
    },
    connections: {
      backlog (_session, bytes, policy) { log.push(`backlog ${bytes} ${policy}`) },
      congested () { log.push('congested') },
      gone () { log.push('gone') }
    },
    rates: { take: () => 0 },
    pauses: new Deadlines(100)
  }
  const inbound = new Inbound(session, port)
  return {
    ...lonely,
    inbound,
    dispatched,
    invalid,
    /** What dispatching does from now on. */
    dispatch: (action: typeof dispatch) => { dispatch = action },
    /** A message as the connection hands it over. */
    receive (message: unknown) {
      const data = typeof message === 'string' || Buffer.isBuffer(message) ? message : JSON.stringify(message)
      if (inbound.onArrival(data.length)) inbound.onMessage(data, data.length)
    },
    events: () => dispatched.splice(0).map(({ event }) => event)
  }
}

/** The code that a session was closed with, if it was. */
const closedWith = ({ log }: { log: unknown[] }): unknown => (log as unknown[][]).find(([what]) => what === 'connection closed')?.[1]

t.test('events are dispatched, in order and each with its call id', async (t) => {
  const { receive, dispatched, session, invalid } = setUp(t)
  receive({ event: 'a', data: 1 })
  receive([{ event: 'b', data: { x: 1 }, cid: 7 }, { event: 'c', data: null }])
  receive(Buffer.from('{"event":"d"}'))
  t.strictSame(dispatched.map(({ event, data, cid }) => [event, data, cid]), [['a', 1, undefined], ['b', { x: 1 }, 7], ['c', null, undefined], ['d', undefined, undefined]])
  t.strictSame([session.state, invalid], ['open', []])
  t.equal(session.bytesReceived, '{"event":"a","data":1}'.length + '[{"event":"b","data":{"x":1},"cid":7},{"event":"c","data":null}]'.length + '{"event":"d"}'.length)
})

t.test('everything that comes shows that the client is there', async (t) => {
  const clock = clockOf(t)
  const { inbound, session } = setUp(t)
  clock.now = 20_000
  t.equal(inbound.onArrival(10), true)
  t.equal(session.lastSeen, 20_000)
  clock.now = 30_000
  inbound.onControl(0)
  t.equal(session.lastSeen, 30_000)
  session.end(1000)
  clock.now = 40_000
  t.equal(inbound.onArrival(10), false, 'unless it is closed')
  t.equal(session.lastSeen, 30_000)
})

t.test('who listens to messages gets each as it came, and diagnostics its size', async (t) => {
  const { receive, socket, take } = setUp(t)
  const seen: unknown[] = []
  receive('before')
  t.strictSame(take(), [])
  socket.on('message', (message: unknown) => { seen.push(message) })
  receive('text')
  receive('')
  t.strictSame(seen, ['text', ''])
  take()
  const subscriber = (): void => {}
  subscribe(diagnostics.message.name, subscriber)
  t.teardown(() => { unsubscribe(diagnostics.message.name, subscriber) })
  receive('text')
  t.strictSame(take(), ['message of 4'])
})

t.test('a pong is no message: it tells the version, and the token is looked at', async (t) => {
  const { receive, session, take, socket, dispatched } = setUp(t, { protocolVersion: 'auto' })
  let raw = 0
  socket.on('raw', () => { raw++ })
  receive('#2')
  t.strictSame(take(), ['token looked at'])
  t.equal(session.dialect, dialects[1])
  receive('#1')
  t.equal(raw, 1, 'any other text is one')
  t.strictSame([take(), dispatched], [[], []])
  const early = setUp(t, { strictHandshake: false }, { open: false })
  early.receive('#2')
  t.strictSame(early.take(), [], 'before the handshake there is nothing to ping for')
})

t.test('pongs, pings and empty arrays count as messages', async (t) => {
  const { receive, inbound, take, session } = setUp(t, { inboundRate: 1, inboundBurst: 3 })
  receive('')
  receive([])
  inbound.onControl(0)
  t.notMatch(take(), /limited/)
  inbound.onControl(0)
  receive([])
  t.strictSame(take().map((line) => String(line).split(' ')[0]), ['limited', 'limited'])
  receive('')
  t.match(take(), [/^limited/], 'and the token is not looked at then')
  t.equal(session.state, 'open')
})

t.test('who sends more bytes than a pause of reading can hold up is ended', async (t) => {
  const way = setUp(t, { inboundByteRate: 1_000, inboundByteBurst: 1_000, maxPayload: 1_000 })
  way.receive('x'.repeat(900))
  t.strictSame(way.take(), [])
  way.receive('x'.repeat(900))
  t.strictSame(way.take(), ['pause'])
  way.receive('x'.repeat(900))
  way.receive('x'.repeat(900))
  t.equal(way.inbound.onArrival(1), false)
  t.equal(closedWith(way), 4429)
})

t.test('a message is not read any more when too much of others waits', async (t) => {
  const way = setUp(t, { inboundQueueBytes: 1_000 })
  way.session.activity.holdBytes(1_000 + 1_048_576)
  way.receive({ event: 'a' })
  t.strictSame(way.events(), ['a'], 'as much as may be')
  way.session.activity.holdBytes(1)
  way.receive({ event: 'a' })
  t.strictSame([way.events(), closedWith(way)], [[], 4429])
})

t.test('answers settle calls, and cost nothing; those that nobody waits for do', async (t) => {
  const { receive, session, take } = setUp(t, { inboundRate: 1, inboundBurst: 1 })
  const answers = ['a', 'b', 'c'].map((event) => session.outbound.invoke(event))
  receive([{ rid: 1, data: 'one' }, { rid: 2, error: { name: 'OwnError', message: 'no' } }])
  receive({ rid: 3, data: 'three' })
  t.equal(await answers[0], 'one')
  await t.rejects(answers[1]!, { name: 'OwnError' })
  t.equal(await answers[2], 'three')
  t.strictSame(take(), [])
  receive({ rid: 3, data: 'again' })
  t.strictSame(take(), [])
  receive({ rid: 9, data: 'never asked' })
  t.match(take(), [/^limited/])
})

t.test('what is no packet is a raw message for who listens', async (t) => {
  const { receive, socket, dispatched, invalid } = setUp(t)
  const seen: unknown[] = []
  socket.on('raw', (data: unknown) => { seen.push(data) })
  for (const data of ['text', '{"no":"packet"}', '[1]', Buffer.from('bytes')]) receive(data)
  t.strictSame(seen, ['text', '{"no":"packet"}', '[1]', Buffer.from('bytes')])
  t.strictSame([dispatched, invalid], [[], []])
})

t.test('events that clients may not send, and those without a name, are answered where they are calls', async (t) => {
  const { receive, packets, invalid, dispatched } = setUp(t)
  receive({ event: 'disconnect', cid: 1 })
  receive({ event: 'disconnect' })
  receive({ event: 5, cid: 2 })
  receive({ event: 'x'.repeat(21), cid: 3 })
  t.match(packets(), [{ rid: 1, error: { message: /may not send the "disconnect" event/ } }, { rid: 2, error: { message: /a name of type string/ } }, { rid: 3, error: { message: /1 to 20 characters/ } }])
  t.strictSame(invalid.map(({ code }) => code), ['SC_ERR_EVENT_NOT_ALLOWED', 'SC_ERR_EVENT_NOT_ALLOWED', 'SC_ERR_MESSAGE', 'SC_ERR_MESSAGE'])
  t.strictSame(dispatched, [])
})

t.test('a socket that the server is about to close begins nothing new, and goes on answering calls', async (t) => {
  const { receive, session, dispatched } = setUp(t)
  const asked = session.outbound.invoke('a')
  session.closing = true
  receive([{ event: 'b' }, { rid: 1, data: 'yes' }])
  t.equal(await asked, 'yes')
  t.strictSame(dispatched, [])
})

t.test('nothing counts that comes in an array after the packet that ended the socket', async (t) => {
  for (const end of ['end', 'terminate'] as const) {
    const { receive, session, dispatch, events } = setUp(t)
    dispatch(({ event }) => { if (event === 'b') session[end](1000) })
    receive([{ event: 'a' }, { event: 'b' }, { event: 'c' }])
    t.strictSame(events(), ['a', 'b'], end)
  }
})

t.test('what comes while it is decided who the socket is waits for that', async (t) => {
  const { receive, session, socket, dispatch, events } = setUp(t)
  const raw: unknown[] = []
  socket.on('raw', (data: unknown) => { raw.push(data) })
  let decided!: () => void
  dispatch(({ event }) => event === 'login' ? new Promise<void>((resolve) => { decided = resolve }) : undefined)
  receive({ event: 'login' })
  receive({ event: 'a' })
  receive('text')
  receive({ event: 'login' })
  receive({ event: 'b' })
  t.strictSame([events(), raw, session.waitingInbound], [['login'], [], 5])
  decided()
  await turn()
  t.strictSame([events(), raw, session.waitingInbound], [['a', 'login'], ['text'], 2])
  const answer = session.outbound.invoke('question')
  receive({ rid: 1, data: 'yes' })
  t.equal(await answer, 'yes', 'answers wait for nobody: who decides may have asked')
  receive('')
  decided()
  await turn()
  t.strictSame([events(), session.waitingInbound], [['b'], 0])
  receive('more text')
  receive({ event: 'c' })
  t.strictSame([raw, events()], [['text', 'more text'], ['c']], 'and at once again')
})

t.test('what waited for a decision is not begun on a closed socket', async (t) => {
  const { receive, session, socket, dispatch, events } = setUp(t)
  let raw = 0
  socket.on('raw', () => { raw++ })
  let decided!: () => void
  dispatch(() => new Promise<void>((resolve) => { decided = resolve }))
  receive({ event: 'login' })
  receive({ event: 'a' })
  receive('text')
  session.state = 'closed'
  decided()
  await turn()
  t.strictSame([events(), raw], [['login'], 0])
})

t.test('each limit of a message has its error, which a call is answered with', async (t) => {
  const { receive, packets, invalid, warnings, dispatched, session } = setUp(t, { maxDepth: 3, maxNodes: 20, maxKeys: 6 })
  receive({ event: 'a', data: { b: { c: 1 } }, cid: 1 })
  receive({ event: 'a', data: Array(21).fill(0), cid: 2 })
  receive('{"event":"a","data":{"__proto__":1},"cid":3}')
  t.strictSame(packets().map(({ rid, error }) => [rid, error.name]), [[2, 'InvalidMessageError'], [3, 'InvalidMessageError']])
  receive('{"event":"ok"}')
  receive({ event: 'a', data: { b: { c: { d: 1 } } }, cid: 4 })
  receive({ event: 'a', data: { one: 1, two: 2, three: 3, four: 4 }, cid: 5 })
  t.strictSame(packets().map(({ rid, error }) => [rid, error.name]), [[4, 'InvalidMessageError'], [5, 'InvalidMessageError']])
  t.strictSame(invalid.map(({ code }) => code), ['SC_ERR_MESSAGE_NODES', 'SC_ERR_MESSAGE_PROTO', 'SC_ERR_MESSAGE_DEPTH', 'SC_ERR_MESSAGE_KEYS'])
  t.match(invalid.map(({ message }) => message), [/more than 20 values/, /__proto__/, /deeper than 3 levels/, /more than 6 different keys/])
  t.strictSame(warnings, invalid, 'the application is told')
  t.strictSame(dispatched.map(({ event }) => event), ['a', 'ok'])
  t.equal(session.state, 'open')
})

t.test('limits that are off', async (t) => {
  const { receive, events, invalid } = setUp(t, { maxDepth: 0, maxNodes: 0, maxKeys: 0, maxBatchItems: 0 })
  let deep: unknown = 1
  for (let i = 0; i < 200; i++) deep = [deep]
  receive({ event: 'deep', data: deep })
  receive({ event: 'large', data: Array(1_000).fill(0) })
  receive({ event: 'keys', data: Object.fromEntries(Array.from({ length: 200 }, (_, i) => [`key ${i}`, i])) })
  receive(Array(30).fill({ event: 'each' }))
  t.strictSame([events().length, invalid], [33, []])
})

t.test('after three messages in a row that cannot be read the client is none of ours', async (t) => {
  const way = setUp(t)
  const unreadable = '{"__proto__":1}'
  way.receive(unreadable)
  way.receive(unreadable)
  way.receive({ event: 'readable' })
  way.receive(unreadable)
  way.receive(unreadable)
  t.equal(way.session.state, 'open')
  way.receive(unreadable)
  t.equal(closedWith(way), 4400)
  t.equal(way.invalid.length, 5)
})

t.test('messages that cannot be read count as messages', async (t) => {
  const { receive, take, warnings, packets } = setUp(t, { inboundRate: 1, inboundBurst: 1 })
  receive('{"__proto__":1,"event":"a","cid":1}')
  t.match(packets(), [{ rid: 1, error: { name: 'InvalidMessageError' } }])
  receive('{"__proto__":1,"event":"a","cid":2}')
  t.match(packets(), [{ rid: 2, error: { name: 'RateLimitError' } }])
  t.equal(warnings.length, 1)
  t.match(take(), [/^limited/])
})

t.test('before the handshake nothing else is heard', async (t) => {
  for (const message of [{ event: 'a' }, '{"__proto__":1}', 'text', []]) {
    const way = setUp(t, {}, { open: false })
    way.receive(message)
    t.equal(closedWith(way), 4009, JSON.stringify(message))
    t.strictSame(way.dispatched, [])
  }
  const strict = setUp(t, {}, { open: false })
  strict.receive({ event: '#handshake', data: {}, cid: 1 })
  t.strictSame(strict.events(), ['#handshake'])
  const lenient = setUp(t, { strictHandshake: false }, { open: false })
  lenient.receive('{"__proto__":1,"event":"a","cid":7}')
  t.match(lenient.packets(), [{ rid: 7 }])
  lenient.receive({ event: 'a' })
  t.strictSame([lenient.events(), lenient.session.state], [['a'], 'connecting'])
})

t.test('a codec of the application: what it throws is told to the application, not to the client', async (t) => {
  const codec = (decode: (message: unknown) => unknown): never => ({ encode: JSON.stringify, decode }) as never
  const cause = new Error('secret reason')
  const throwing = setUp(t, {}, { codec: codec(() => { throw cause }) })
  throwing.receive('x')
  t.match(throwing.warnings, [{ code: 'SC_ERR_MESSAGE_CODEC', cause, message: /secret reason/ }])
  t.strictSame(throwing.sent, [])
  const promising = setUp(t, {}, { codec: codec(async () => ({})) })
  promising.receive('x')
  t.match(promising.warnings, [{ code: 'SC_ERR_MESSAGE_CODEC', message: /to answer at once/ }])
  const own = setUp(t, { maxKeys: 1 }, { codec: codec((message) => ({ event: String(message).slice(1, 2) })) })
  own.receive(`<a>${'"key":1,'.repeat(50)}"other":2`)
  t.strictSame(own.events(), ['a'], 'its text is no JSON whose keys could be counted')
})

t.test('an array of more packets than may be is refused as a whole; subscribes of a client that comes back are free', async (t) => {
  const way = setUp(t, { maxBatchItems: 3, socketChannelLimit: 2 })
  way.receive(Array(3).fill({ event: 'a' }))
  t.equal(way.events().length, 3)
  way.receive([...Array(3).fill({ event: 'a' }), { event: '#subscribe' }, { event: '#subscribe' }])
  t.equal(way.events().length, 5)
  way.receive([...Array(3).fill({ event: 'a' }), { event: '#subscribe' }])
  t.strictSame([way.events(), closedWith(way)], [[], 4413])
  t.match(way.invalid, [{ code: 'SC_ERR_BATCH', message: /at most 3 packets, got 4/ }])
  t.match(way.warnings[0], { code: 'SC_ERR_BATCH' })
})

/** A machine on which each packet takes so many milliseconds. */
function busy (t: Test, milliseconds: number): { way: ReturnType<typeof setUp>, clock: Clock } {
  const clock = clockOf(t)
  const way = setUp(t)
  way.dispatch(() => { clock.now += milliseconds })
  return { way, clock }
}

t.test('many packets are worked on in slices, and what comes meanwhile waits behind them', async (t) => {
  const { way } = busy(t, 1)
  await turn()
  way.receive(Array.from({ length: 33 }, (_, i) => ({ event: `e${i}` })))
  const first = way.events().length
  t.ok(first < 33, `${first} at once`)
  t.ok(way.take().includes('pause'), 'reading pauses')
  way.receive({ event: 'behind' })
  way.receive('')
  t.strictSame(way.take(), ['token looked at'], 'a pong waits for nobody')
  t.strictSame(way.events(), [])
  const rest: string[] = []
  for (let i = 0; i < 40 && rest.at(-1) !== 'behind'; i++) {
    await turn()
    rest.push(...way.events())
  }
  t.strictSame(rest, [...Array.from({ length: 33 - first }, (_, i) => `e${first + i}`), 'behind'])
  t.ok(way.take().includes('resume'))
  t.equal(way.session.heldBytes, 0)
  way.receive({ event: 'at once' })
  t.strictSame(way.events(), ['at once'])
})

t.test('an array of many packets that waited behind another one is worked on in slices too, and in order', async (t) => {
  const { way } = busy(t, 1)
  await turn()
  const array = (name: string): object[] => Array.from({ length: 33 }, (_, i) => ({ event: `${name}${i}` }))
  way.receive(array('a'))
  way.receive(array('b'))
  way.receive({ event: 'end' })
  const seen = way.events()
  for (let i = 0; i < 80 && seen.at(-1) !== 'end'; i++) {
    await turn()
    const slice = way.events()
    t.ok(slice.length <= 5, `${slice.length} in a turn`)
    seen.push(...slice)
  }
  t.strictSame(seen, [...array('a'), ...array('b'), { event: 'end' }].map((packet) => (packet as { event: string }).event))
})

t.test('few packets are done at once, however long they take', async (t) => {
  const { way } = busy(t, 1)
  way.receive(Array(32).fill({ event: 'e' }))
  t.equal(way.events().length, 32)
  t.strictSame(way.take(), [])
})

t.test('many messages in one read are too much for a turn: the rest comes in the next ones', async (t) => {
  const { way } = busy(t, 1)
  await turn()
  for (let i = 0; i < 10; i++) way.receive({ event: `e${i}` })
  t.strictSame(way.events(), ['e0', 'e1', 'e2', 'e3'])
  t.ok(way.take().includes('pause'))
  const rest: string[] = []
  for (let i = 0; i < 40 && rest.at(-1) !== 'e9'; i++) {
    await turn()
    rest.push(...way.events())
  }
  t.strictSame(rest, ['e4', 'e5', 'e6', 'e7', 'e8', 'e9'])
  await turn()
  way.receive({ event: 'later' })
  t.strictSame(way.events(), ['later'], 'another turn has time of its own')
})

t.test('a client that closes in order is heard to the end; one whose connection is lost is not', async (t) => {
  for (const [code, expected] of [[1000, 33], [1006, 0]] as const) {
    const { way } = busy(t, 1)
    await turn()
    way.receive(Array(33).fill({ event: 'e' }))
    const first = way.events().length
    way.inbound.onClose(code, 'bye')
    t.ok(way.take().includes('gone'))
    t.equal(way.session.state, code === 1000 ? 'open' : 'closed')
    for (let i = 0; i < 40; i++) await turn()
    t.equal(way.events().length, expected === 0 ? 0 : expected - first)
    t.equal(way.session.state, 'closed')
  }
})

t.test('the end of a connection, with the reason that was given', async (t) => {
  for (const [reason, expected] of [['bye', 'bye'], ['', undefined]] as const) {
    const { inbound, log } = setUp(t)
    inbound.onClose(4321, reason)
    t.strictSame(log.slice(0, 3), ['gone', 'released with 4321', ['disconnection', true, 4321, expected]])
  }
})

t.test('what else the connection says is handed on', async (t) => {
  const { inbound, take, warnings, faults } = setUp(t)
  const error = new Error('of the connection')
  inbound.fault(error)
  inbound.onBacklog(1_000, 'drop')
  inbound.onCongested()
  t.strictSame([warnings, faults, take()], [[], [error], ['backlog 1000 drop', 'congested']])
})

t.test('a client that breaks the rules of websockets is closed at once', async (t) => {
  const { inbound, session, warnings, log } = setUp(t)
  const error = new Error('of the connection')
  inbound.onError(error)
  t.equal(session.state, 'closed')
  t.strictSame([warnings[0], log.slice(0, 3)], [error, ['warning of kind mistake', 'released with 1006', ['disconnection', true, 1006, undefined]]])
  const { length } = log
  inbound.onClose(1006, '')
  t.strictSame(log.slice(length), ['gone'], 'and once')
})
