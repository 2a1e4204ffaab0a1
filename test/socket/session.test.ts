import t from 'tap'
import type { ScServerSocket } from '../../lib/index.js'
import { dialects } from '../../lib/protocol/dialects.js'
import { SharedMessage } from '../../lib/transport/shared-message.js'
import { lonelySession } from '../helpers/session.js'

/** The local events of a socket, with what they carry. */
const ends = ['disconnect', 'connectAbort', 'close', 'error'] as const

t.test('a session from its upgrade to its handshake', async (t) => {
  const { session, log, sent } = lonelySession({}, { open: false })
  t.equal(session.state, 'connecting')
  t.not(session.handshake, null)
  t.equal(session.protocolVersion, null, 'nobody knows it yet')
  t.strictSame([session.remoteAddress, session.bytesReceived, session.closing, session.authToken], ['192.0.2.1', 0, false, null])
  session.opened()
  t.equal(session.state, 'open')
  t.equal(session.handshake, null)
  t.strictSame([log, sent], [[], []])
  t.equal(lonelySession({ protocolVersion: 1 }).session.protocolVersion, 1)
  t.equal(lonelySession({ protocolVersion: 2 }).session.dialect, dialects[2])
})

t.test('its log is a child of the request\'s, made once and only when something is logged', async (t) => {
  const { session, children } = lonelySession()
  t.strictSame(children, [])
  t.equal(session.log, session.log)
  t.strictSame(children, [{ socketId: 'an id' }])
})

t.test('it ends once, with all that follows from that', async (t) => {
  const { session, socket, take, warnings, sent } = lonelySession({ protocolVersion: 2 })
  const events: unknown[] = []
  for (const event of ends) socket.on(event, (...args: unknown[]) => { events.push([event, ...args]) })
  session.disconnect(4321, { why: 'x' })
  t.equal(session.state, 'closed')
  t.strictSame(take(), [
    'released with 4321', ['disconnection', true, 4321, { why: 'x' }], ['closure', true, 4321, { why: 'x' }], ['connection closed', 4321, '{"why":"x"}']
  ])
  t.match(events, [['disconnect', 4321, { why: 'x' }], ['close', 4321, { why: 'x' }], ['error', { name: 'SocketProtocolError', code: 4321, message: 'Socket connection closed with status code 4321 and reason: {"why":"x"}' }]])
  t.equal(events.length, 3)
  t.equal(warnings.length, 1)
  session.disconnect(4322)
  session.finish(1006, '')
  t.strictSame(take(), [])
  t.equal(events.length, 3)
  t.strictSame(sent, [], 'version 2 has no packet for it')
})

t.test('the error of an end that is not ordinary says what the code means', async (t) => {
  const texts: unknown[] = []
  for (const [code, data] of [[1000, 'bye'], [1001, undefined], [4001, 'x'], [4500, undefined], [4500, '']] as const) {
    const { session, warnings } = lonelySession()
    session.finish(code, data)
    texts.push(warnings.map(({ message }) => message))
  }
  t.strictSame(texts, [[], [], ['Client pong timed out'], ['Socket connection closed with status code 4500'], ['Socket connection closed with status code 4500']])
})

t.test('the error of an end that nobody would hear of is not made', async (t) => {
  const silent = lonelySession()
  silent.host.hears = () => false
  silent.session.finish(1006, undefined)
  t.strictSame([silent.warnings, silent.children], [[], []], 'nor a logger')
  for (const listen of [
    (socket: ScServerSocket) => { socket.on('error', () => {}) },
    (socket: ScServerSocket) => { socket.listener('error').once() }
  ]) {
    const heard = lonelySession()
    heard.host.hears = () => false
    listen(heard.socket)
    heard.session.finish(1006, undefined)
    t.match(heard.warnings, [{ code: 1006 }])
  }
})

t.test('before the handshake an end is an abort', async (t) => {
  const { session, socket, take } = lonelySession({ protocolVersion: 2 }, { open: false })
  const events: unknown[] = []
  for (const event of ends) socket.on(event, (...args: unknown[]) => { events.push([event, ...args]) })
  const call = session.outbound.invoke('question')
  session.end(1000, 'early')
  t.strictSame(take(), ['released with 1000', ['connectionAbort', true, 1000, 'early'], ['closure', true, 1000, 'early'], ['connection closed', 1000, 'early']])
  t.strictSame(events, [['connectAbort', 1000, 'early'], ['close', 1000, 'early']])
  t.equal(session.handshake, null, 'nobody waits for it any more')
  await t.rejects(call, { name: 'BadConnectionError', type: 'connectAbort', code: 1000, reason: 'early' })
})

t.test('clients of version 1, and those that may be, are told of a close by a packet', async (t) => {
  for (const options of [{ protocolVersion: 1 }, {}]) {
    const { session, packets } = lonelySession(options)
    session.disconnect(4321, 'bye')
    t.strictSame(packets(), [{ event: '#disconnect', data: { code: 4321, data: 'bye' } }])
    session.disconnect(4321, 'bye')
    t.strictSame(packets(), [], 'once')
  }
  const { session, packets } = lonelySession({ protocolVersion: 1 })
  session.end(4321)
  t.strictSame(packets(), [], 'unless it is ended without a word')
})

t.test('calls that wait for an answer fail when it ends', async (t) => {
  const { session } = lonelySession()
  const call = session.outbound.invoke('question')
  session.finish(4500, { why: 'x' })
  await t.rejects(call, { name: 'BadConnectionError', type: 'disconnect', code: 4500, reason: '{"why":"x"}' })
})

t.test('work that nobody needs when it ends is aborted, unless it was done', async (t) => {
  const { session, socket } = lonelySession()
  const [open, kept] = [new AbortController(), new AbortController()]
  session.keepFromAbort(kept)
  session.abortAtClose(open)
  session.abortAtClose(kept)
  session.keepFromAbort(kept)
  socket.off()
  session.end(1000)
  t.strictSame([open.signal.aborted, kept.signal.aborted], [true, false])
})

t.test('a close code that nobody may send becomes 1000', async (t) => {
  const { session, log, warnings } = lonelySession()
  session.disconnect(1006)
  t.match(warnings, [{ code: 'SC_ERR_CLOSE_CODE', message: /got 1006$/ }])
  t.match(log.at(-1), ['connection closed', 1000, ''])
  const ordinary = lonelySession()
  ordinary.session.disconnect()
  t.match(ordinary.log.at(-1), ['connection closed', 1000, ''])
})

t.test('what was gathered goes out before the close', async (t) => {
  const { session, packets } = lonelySession({ protocolVersion: 2 })
  session.outbound.packet({ n: 1 }, true)
  session.end(1000)
  t.strictSame(packets(), [[{ n: 1 }]])
})

t.test('a server that cannot forget it is at fault, and the end goes on', async (t) => {
  const { session, host, take, faults } = lonelySession()
  const error = new Error('no')
  host.release = () => { throw error }
  session.end(1000)
  t.strictSame(faults, [error])
  t.equal(take().length, 3)
  t.equal(session.state, 'closed')
})

t.test('terminating drops the connection and what waited for it', async (t) => {
  const { session, take } = lonelySession()
  session.activity.hold('data')
  session.queue.run('a', () => new Promise(() => {}), null)
  session.queue.run('a', () => { t.fail('this waited, and is not begun') }, null)
  session.subscriptions.suspend('b')
  t.equal(session.queue.pending, 2)
  session.terminate()
  t.strictSame(take(), ['terminated'], 'its end is told when the connection says so')
  t.equal(session.activity.ended, true)
  t.equal(session.queue.pending, 1, 'what is under way')
  t.equal(session.subscriptions.anyWithheld, false)
  t.equal(session.state, 'open')
  session.finish(1006, undefined)
  t.equal(take()[0], 'released with 1006')
})

t.test('what it holds, and what waits', async (t) => {
  const { session, connection } = lonelySession()
  connection.bufferedBytes = 1_000
  connection.queuedMessages = 3
  session.subscriptions.join({ channel: 'a', data: 'x'.repeat(100) })
  const { dataBytes } = session.subscriptions
  t.ok(dataBytes > 0)
  t.equal(session.heldBytes, 1_000 + dataBytes)
  session.activity.holdBytes(500)
  t.equal(session.heldBytes, 1_500 + dataBytes)
  t.equal(session.bufferedAmount, 1_000)
  t.strictSame([session.waitingInbound, session.waitingOutbound], [0, 3])
  session.activity.beginOwing()
  session.queue.run('a', () => new Promise(() => {}), null)
  t.equal(session.waitingInbound, 2)
  session.deliverInOrder('a', '', () => new Promise(() => {}))
  t.equal(session.waitingOutbound, 4)
})

t.test('publications are for it while it is open and in the channel', async (t) => {
  const published = (channel: string) => ({ channel, serial: 1, position: null })
  const { session, take } = lonelySession({}, { open: false })
  session.subscriptions.join({ channel: 'a' })
  t.equal(session.receives(published('a')), false)
  session.opened()
  t.strictSame([session.receives(published('a')), session.receives(published('b')), session.isSubscribed('a'), session.isSubscribed('b')], [true, false, true, false])
  t.equal(session.deliver(new SharedMessage('text'), 'a', 'latest'), true)
  t.strictSame(take(), [['publish', 'a', 'text', 'latest']])
  t.equal(session.overrun(new SharedMessage('text'), 'a', 'drop'), false)
  t.strictSame(take(), ['overrun drop'])
  session.end(1000)
  t.equal(session.receives(published('a')), false)
})

t.test('kicking it out of a channel that it is in tells the client', async (t) => {
  const { session, packets, take } = lonelySession()
  session.kickOut('a', 'no such channel')
  t.strictSame([take(), packets()], [[], []])
  session.subscriptions.join({ channel: 'a' })
  session.kickOut('a', 'enough')
  t.strictSame(take(), ['hub leave a', ['unsubscription', true, 'a']])
  t.strictSame(packets(), [{ event: '#kickOut', data: { message: 'enough', channel: 'a' } }])
})

t.test('deauthenticating tells the client to drop the token, unless a listener gave it another one', async (t) => {
  const { session, socket, packets } = lonelySession()
  session.auth.replace({ sub: 'ann' }, 'signed')
  session.deauthenticateSelf()
  t.equal(session.authToken, null)
  t.strictSame(packets(), [], 'only here')
  session.auth.replace({ sub: 'ann' }, 'signed')
  session.deauthenticate()
  t.strictSame(packets(), [{ event: '#removeAuthToken' }])
  session.auth.replace({ sub: 'ann' }, 'signed')
  socket.once('deauthenticate', () => { session.auth.replace({ sub: 'bob' }, 'signed') })
  session.deauthenticate()
  t.match(session.authToken, { sub: 'bob' })
  t.strictSame(packets(), [])
})

t.test('an error is an event of the socket and a warning of the server, whatever it is', async (t) => {
  const { session, socket, warnings, take, faults } = lonelySession()
  const seen: unknown[] = []
  socket.on('error', (err: unknown) => { seen.push(err) })
  const error = new Error('no')
  session.emitError(error, 'close' as never)
  t.strictSame([seen, warnings, take()], [[error], [error], ['warning of kind close']])
  session.onListenerError(error)
  t.strictSame([seen, warnings], [[error], [error, error]], 'what a listener threw is only a warning')
  session.fault(error)
  t.strictSame(faults, [error])
})

t.test('who listens is asked for only where an event costs something', async (t) => {
  const { session, socket } = lonelySession()
  t.equal(session.observes('message'), false)
  const listener = (): void => {}
  socket.on('message', listener)
  t.equal(session.observes('message'), true)
  socket.off('message', listener)
  const loop = socket.listener('message')[Symbol.asyncIterator]()
  t.equal(session.observes('message'), true)
  await loop.return!()
  t.equal(session.observes('message'), false)
})

t.test('listeners of the wire are called for the socket; one that throws is a warning', async (t) => {
  const { session, socket, warnings } = lonelySession()
  const seen: unknown[] = []
  socket.on('wire', function (this: unknown, data: unknown) { seen.push(this === socket, data) })
  session.fireWire('wire', 1)
  t.strictSame(seen, [true, 1])
  const visited: unknown[] = []
  session.eachListener('wire', (listener) => { visited.push(listener) })
  t.strictSame(visited, socket.listeners('wire'))
  const error = new Error('no')
  socket.on('other', () => { throw error })
  session.fireWire('other', 1)
  t.strictSame(warnings, [error])
})

t.test('when the connection is gone, loops over the client\'s messages drop what they have not read; those over events read on', async (t) => {
  const { session, socket } = lonelySession()
  const values = async (stream: AsyncIterable<unknown>): Promise<unknown[]> => {
    const seen: unknown[] = []
    for await (const value of stream) {
      seen.push(value)
      await new Promise((resolve) => setImmediate(resolve))
    }
    return seen
  }
  const loops = [socket.receiver('a'), socket.procedure('b'), socket.listener('message'), socket.listener('raw'), socket.listener('subscribe'), socket.listener('close')].map(values)
  for (let i = 0; i < 3; i++) {
    session.activeReceiver('a')!.write(i, null)
    session.activeProcedure('b')!.write(i as never, null)
    session.fireLocal('message', String(i))
    session.fireLocal('raw', String(i))
    session.fireLocal('subscribe', String(i), { channel: String(i) })
  }
  t.equal(session.streamBackpressure, 2)
  session.end(1000, 'bye')
  const seen = await Promise.all(loops)
  t.strictSame(seen.map(({ length }) => length), [1, 1, 1, 1, 3, 1])
  t.strictSame(seen.at(-1), [{ code: 1000, reason: 'bye' }])
  t.strictSame(await values(socket.receiver('a')), [], 'a loop that begins later ends at once')
  t.strictSame(await values(socket.listener('close')), [])
})

t.test('how far the slowest loop is behind, over whichever of its streams', async (t) => {
  const kinds = {
    receiver: (at: ReturnType<typeof lonelySession>) => { at.socket.receiver('x')[Symbol.asyncIterator](); return () => at.session.activeReceiver('x')!.write(1, null) },
    procedure: (at: ReturnType<typeof lonelySession>) => { at.socket.procedure('x')[Symbol.asyncIterator](); return () => at.session.activeProcedure('x')!.write(1 as never, null) },
    listener: (at: ReturnType<typeof lonelySession>) => { at.socket.listener('raw')[Symbol.asyncIterator](); return () => at.session.fireLocal('raw', 'x') }
  }
  for (const [kind, begin] of Object.entries(kinds)) {
    const at = lonelySession()
    t.equal(at.session.streamBackpressure, 0)
    const write = begin(at)
    t.equal(at.session.streamBackpressure, 0)
    write()
    write()
    t.equal(at.session.streamBackpressure, 2, kind)
    t.equal(at.socket.getBackpressure(), 2)
  }
  const idle = lonelySession().session
  t.strictSame([idle.activeReceiver('x'), idle.activeProcedure('x')], [undefined, undefined])
})

t.test('what waits for slow loops holds up reading, as what waits for handlers does', async (t) => {
  const { session, socket, take } = lonelySession({ inboundQueueBytes: 1_000 })
  const loop = socket.receiver('a')[Symbol.asyncIterator]()
  const stream = session.activeReceiver('a')!
  stream.write('x', 'x'.repeat(300))
  t.strictSame(take(), [])
  stream.write('y', 'y'.repeat(300))
  t.strictSame(take(), ['pause'])
  await loop.next()
  const { heldBytes } = session.activity
  await loop.next()
  t.equal(session.activity.heldBytes, heldBytes / 2, 'the value that a loop is busy with counts too')
  await loop.return!()
  t.strictSame(take(), ['resume'])
  t.equal(session.activity.heldBytes, 0)
})

t.test('a loop that is too far behind is a warning', async (t) => {
  const { session, socket, warnings } = lonelySession()
  socket.receiver('a')[Symbol.asyncIterator]()
  for (let i = 0; i < 10_001; i++) session.activeReceiver('a')!.write(i, null)
  t.match(warnings, [{ code: 'SC_ERR_STREAM_BEHIND' }])
})

t.test('pings and silence', async (t) => {
  const { session, sent, take } = lonelySession()
  session.ping()
  t.strictSame(sent, ['#1', ''])
  session.pingTimedOut()
  t.equal(take()[0], 'released with 4001')
})

t.test('a session is printed as its socket', async (t) => {
  const { session } = lonelySession()
  t.strictSame(Object.keys(JSON.parse(JSON.stringify(session))), ['socket'])
})
