// What the methods of a socket ask of its session, and what they say of arguments that cannot be.
import { inspect } from 'node:util'
import t from 'tap'
import { ScServerSocket } from '../../lib/index.js'
import { lonelySession } from '../helpers/session.js'

const turn = async (): Promise<void> => new Promise((resolve) => setImmediate(resolve))

t.test('what it says of itself', async (t) => {
  const { session, socket, connection, host, request } = lonelySession()
  t.strictSame([socket.id, socket.data, socket.active, socket.state, socket.getState(), socket.protocolVersion], ['an id', undefined, true, 'open', 'open', null])
  t.strictSame([socket.authState, socket.authToken, socket.getAuthToken(), socket.signedAuthToken], ['unauthenticated', null, null, null])
  const token = { sub: 'ann' }
  session.auth.replace(token, 'signed')
  t.strictSame([socket.authState, socket.authToken, socket.getAuthToken(), socket.signedAuthToken], ['authenticated', token, token, 'signed'])
  t.equal(socket.server as unknown, host.server)
  t.equal(socket.exchange as unknown, host.exchange)
  t.equal(socket.fastifyRequest as unknown, request)
  t.equal(socket.request as unknown, request.raw)
  t.equal(socket.log, session.log)
  t.strictSame([socket.remoteAddress, socket.remoteFamily, socket.remotePort], ['192.0.2.1', 'IPv4', 4321])
  session.bytesReceived = 7
  connection.bufferedBytes = 9
  connection.queuedMessages = 2
  session.activity.beginOwing()
  t.strictSame([socket.getBytesReceived(), socket.bufferedAmount], [7, 9])
  t.strictSame([socket.getInboundBackpressure(), socket.getOutboundBackpressure(), socket.getBackpressure()], [1, 2, 2])
  session.activity.beginOwing()
  session.activity.beginOwing()
  t.equal(socket.getBackpressure(), 3, 'the larger one')
})

t.test('without a connection below, as with light-my-request, there is no family and no port', async (t) => {
  const { socket } = lonelySession({}, { request: { raw: { headers: {} } } })
  t.strictSame([socket.remoteFamily, socket.remotePort, socket.forwardedForAddress], [undefined, undefined, undefined])
})

t.test('the address that a proxy forwarded for is the first that is named', async (t) => {
  const forwarded = (header: unknown): unknown => lonelySession({}, { request: { raw: { headers: { 'x-forwarded-for': header } } } }).socket.forwardedForAddress
  t.strictSame(['203.0.113.7', ' 203.0.113.7 , 10.0.0.1', ['203.0.113.8, 10.0.0.1', '10.0.0.2'], '', ' ', ',10.0.0.1', [], undefined].map(forwarded), ['203.0.113.7', '203.0.113.7', '203.0.113.8', undefined, undefined, undefined, undefined, undefined])
})

t.test('its channels', async (t) => {
  const { session, socket } = lonelySession()
  session.subscriptions.join({ channel: 'a' })
  session.subscriptions.join({ channel: '__proto__' })
  t.strictSame(Object.entries(socket.channelSubscriptions), [['a', true], ['__proto__', true]])
  t.equal(Object.getPrototypeOf(socket.channelSubscriptions), null)
  t.strictSame([socket.channelSubscriptionsCount, socket.subscriptions(), socket.isSubscribed('a'), socket.isSubscribed('b')], [2, ['a', '__proto__'], true, false])
})

t.test('the constants are on the class and on each socket, and cannot be changed', async (t) => {
  const { socket } = lonelySession()
  const expected = { CONNECTING: 'connecting', OPEN: 'open', CLOSED: 'closed', AUTHENTICATED: 'authenticated', UNAUTHENTICATED: 'unauthenticated' }
  for (const [name, value] of Object.entries(expected)) {
    t.equal((socket as any)[name], value)
    t.equal((ScServerSocket as any)[name], value)
    t.throws(() => { (socket as any)[name] = 'mine' }, TypeError)
  }
})

t.test('it is printed with what helps to find it, without keys and tokens', async (t) => {
  const { session, socket } = lonelySession()
  session.auth.replace({ sub: 'ann', secret: 'x' }, 'signed')
  session.subscriptions.join({ channel: 'a' })
  const shown = { id: 'an id', state: 'open', authState: 'authenticated', user: 'ann', remoteAddress: '192.0.2.1', protocolVersion: null, subscriptions: 1, bufferedAmount: 0 }
  t.strictSame(JSON.parse(JSON.stringify(socket)), shown)
  t.match(inspect(socket), /^ScServerSocket \{\s+id: 'an id'/)
  t.equal(JSON.parse(JSON.stringify(lonelySession().socket)).user, undefined)
})

t.test('listeners come and go', async (t) => {
  const { session, socket } = lonelySession()
  const seen: unknown[] = []
  const listener = (data: unknown): void => { seen.push(data) }
  t.equal(socket.on('a', listener), socket)
  t.equal(socket.once('a', listener), socket)
  t.strictSame([socket.listeners('a'), socket.hasListeners('a'), socket.hasListeners('b')], [[listener, listener], true, false])
  session.fireWire('a', 1)
  session.fireWire('a', 2)
  t.strictSame(seen, [1, 1, 2])
  t.equal(socket.removeListener('a', listener), socket)
  t.equal(socket.hasListeners('a'), false)
  socket.on('a', listener).on('b', listener)
  t.equal(socket.off('a'), socket)
  t.strictSame([socket.hasListeners('a'), socket.hasListeners('b')], [false, true])
  socket.off()
  t.equal(socket.hasListeners('b'), false)
})

t.test('emitting: to the client, with or without an answer', async (t) => {
  const { session, socket, packets } = lonelySession()
  socket.emit('a', 1)
  socket.emit('b', 2, null as never)
  socket.transmit('c', 3)
  t.strictSame(packets(), [{ event: 'a', data: 1 }, { event: 'b', data: 2 }, { event: 'c', data: 3 }])
  const answers: unknown[] = []
  socket.emit('d', 4, (...args) => { answers.push(args) })
  const invoked = socket.invoke('e', 5)
  t.strictSame(packets(), [{ event: 'd', data: 4, cid: 1 }, { event: 'e', data: 5, cid: 2 }])
  session.outbound.settle(1, null, 'yes')
  session.outbound.settle(2, null, 'too')
  t.strictSame(answers, [[null, 'yes']])
  t.equal(await invoked, 'too')
})

t.test('emitting an error is for the application, and names of the server\'s own events are refused', async (t) => {
  const { socket, warnings, sent } = lonelySession()
  const error = new Error('own')
  socket.emit('error', error)
  t.equal(warnings.pop(), error)
  socket.emit('disconnect', 1)
  t.match(warnings, [{ code: 'SC_ERR_EVENT_RESERVED', message: /"disconnect"/ }])
  t.strictSame(sent, [])
})

t.test('arguments that cannot be are named at the call', async (t) => {
  const { socket, warnings, sent } = lonelySession()
  const wrong = (message: RegExp) => ({ name: 'InvalidArgumentsError', message })
  t.throws(() => socket.emit(5 as never), wrong(/^emit expects the event to be a string, got number/))
  t.throws(() => socket.emit('a', 1, 'x' as never), wrong(/^emit expects the callback to be a function, got string/))
  await t.rejects(socket.invoke(5 as never), wrong(/^invoke expects the event to be a string, got number/))
  await t.rejects(socket.invoke('a', 1, 'x' as never), wrong(/^invoke expects the options to be an object, got string/))
  await t.rejects(socket.invoke('a', 1, { timeout: -1 }), wrong(/^invoke expects the timeout to be a number of milliseconds/))
  t.throws(() => socket.send('x', 'binary' as never), wrong(/^send expects the options to be an object, got string/))
  t.throws(() => socket.send({} as never), wrong(/^send expects text, a number or bytes, got object/))
  t.strictSame(warnings, [])
  for (const [call, message] of [
    [() => socket.setAuthToken({}, 5 as never), /^setAuthToken expects the options to be an object, got number/],
    [() => socket.setAuthToken({}, {}, 5 as never), /^setAuthToken expects the callback to be a function, got number/],
    [() => socket.deauthenticate(5 as never), /^deauthenticate expects the argument to be an object, got number/],
    [() => socket.kickOut(5 as never), /^kickOut expects the channel to be a string, got number/],
    [() => socket.kickOut('a', 'why', 5 as never), /^kickOut expects the callback to be a function, got number/]
  ] as const) {
    await t.rejects(call(), wrong(message))
    t.match(warnings.splice(0), [wrong(message)], 'nobody has to await it, so it is a warning too')
  }
  t.strictSame(sent, [])
})

t.test('text and bytes go out as they are, or as the other where it is wanted', async (t) => {
  const { socket, sent } = lonelySession()
  const send = (...args: Parameters<typeof socket.send>): unknown => { socket.send(...args); return sent.pop() }
  t.equal(send('text'), 'text')
  t.equal(send(5), '5')
  t.strictSame(send(Buffer.from('bytes')), Buffer.from('bytes'))
  t.strictSame(send(new Uint8Array([1, 2])), Buffer.from([1, 2]))
  t.equal(send('text', { binary: false }), 'text')
  t.strictSame(send('text', { binary: true }), Buffer.from('text'))
  t.equal(send(Buffer.from('bytes'), { binary: false }), 'bytes')
  t.strictSame(send(Buffer.from('bytes'), { binary: true }), Buffer.from('bytes'))
  t.equal(send('text', {}), 'text')
})

t.test('objects of any form go out, also gathered; the codec can be used by hand', async (t) => {
  const { socket, sent, packets } = lonelySession()
  socket.sendObject({ any: 1 })
  socket.sendObject({ any: 2 }, {})
  t.strictSame(packets(), [{ any: 1 }, { any: 2 }])
  socket.sendObject({ any: 3 }, { batch: true })
  t.strictSame(sent, [])
  await turn()
  t.strictSame(packets(), [[{ any: 3 }]])
  t.equal(socket.encode({ a: 1 }), '{"a":1}')
  t.strictSame(socket.decode('{"a":1}'), { a: 1 })
})

t.test('a token is delivered, or why it was not is told to who asked for that', async (t) => {
  const { socket, host, warnings, log } = lonelySession()
  await socket.setAuthToken({ sub: 'ann' }, { expiresIn: 5, rejectOnFailedDelivery: true })
  await socket.setAuthToken({ sub: 'ann' }, null)
  t.strictSame(log, [['set token', { sub: 'ann' }, { expiresIn: 5 }], ['set token', { sub: 'ann' }, {}]], 'the option of the delivery is none of the engine')
  const told: unknown[] = []
  await socket.setAuthToken({}, null, (err) => { told.push(err) })
  await turn()
  const failure = new Error('full')
  host.setAuthToken = async () => failure
  await socket.setAuthToken({}, {}, (err) => { told.push(err) })
  await turn()
  t.strictSame([told, warnings], [[null, failure], []])
  await t.rejects(socket.setAuthToken({}, { rejectOnFailedDelivery: true }), { code: 'SC_ERR_TOKEN_DELIVERY', message: /full/, cause: failure })
  t.match(warnings, [{ code: 'SC_ERR_TOKEN_DELIVERY' }])
  host.setAuthToken = async () => { throw failure }
  await t.rejects(socket.setAuthToken({}, {}, (err) => { told.push(err) }), failure)
  await turn()
  t.strictSame(told.slice(2), [failure], 'claims that cannot be signed')
})

t.test('deauthenticating: the promise and the callback say whether the client dropped its token', async (t) => {
  const { session, socket, packets, warnings } = lonelySession()
  const logIn = (): void => { session.auth.replace({ sub: 'ann' }, 'signed') }
  logIn()
  await socket.deauthenticate()
  t.strictSame(packets(), [{ event: '#removeAuthToken' }], 'nobody waits, so no answer is asked for')
  t.equal(socket.authToken, null)
  await socket.deauthenticate(null)
  await socket.deauthenticate({})
  t.strictSame(packets(), [{ event: '#removeAuthToken' }, { event: '#removeAuthToken' }])

  const told: unknown[] = []
  logIn()
  const asked = socket.deauthenticate((err) => { told.push(err) })
  t.equal(socket.authToken, null)
  t.strictSame(packets(), [{ event: '#removeAuthToken', cid: 1 }])
  session.outbound.settle(1, null, undefined)
  await asked
  await turn()
  t.strictSame(told, [null])

  logIn()
  const refused = socket.deauthenticate((err) => { told.push(err) })
  session.outbound.settle(2, { name: 'OwnError', message: 'no' }, undefined)
  await refused
  await turn()
  t.match(told[1], { message: 'no' })
  t.strictSame(warnings, [], 'who has a callback is told by that')

  logIn()
  const rejected = socket.deauthenticate({ rejectOnFailedDelivery: true })
  session.outbound.settle(3, { name: 'OwnError', message: 'no' }, undefined)
  await t.rejects(rejected, { name: 'OwnError', message: 'no' })
  t.match(warnings, [{ name: 'OwnError' }])
  logIn()
  const delivered = socket.deauthenticate({ rejectOnFailedDelivery: true })
  session.outbound.settle(4, null, undefined)
  await delivered
  t.equal(warnings.length, 1)
})

t.test('a listener that gives the socket another token while it is deauthenticated has the last word', async (t) => {
  const { session, socket, packets } = lonelySession()
  session.auth.replace({ sub: 'ann' }, 'signed')
  socket.once('deauthenticate', () => { session.auth.replace({ sub: 'bob' }, 'signed') })
  await socket.deauthenticate({ rejectOnFailedDelivery: true })
  t.match(socket.authToken, { sub: 'bob' })
  t.strictSame(packets(), [], 'the client is to keep it')
  socket.deauthenticateSelf()
  t.equal(socket.authToken, null)
  t.strictSame(packets(), [])
})

t.test('kicking out of one channel, or of all', async (t) => {
  const { session, socket, packets } = lonelySession()
  const join = (): void => { for (const channel of ['a', 'b']) session.subscriptions.join({ channel }) }
  const kicked = (): unknown => packets().map(({ event, data }) => [event, data.channel, data.message])
  join()
  await socket.kickOut('a', 'enough')
  t.strictSame([kicked(), socket.subscriptions()], [[['#kickOut', 'a', 'enough']], ['b']])
  await socket.kickOut('c')
  t.strictSame(kicked(), [])
  join()
  await socket.kickOut()
  t.strictSame(kicked(), [['#kickOut', 'b', undefined], ['#kickOut', 'a', undefined]])
  join()
  const told: unknown[] = []
  await socket.kickOut(null, 'all', (err) => { told.push(err) })
  t.strictSame(kicked(), [['#kickOut', 'a', 'all'], ['#kickOut', 'b', 'all']])
  await turn()
  t.strictSame(told, [null])
})

t.test('what a callback of these throws is a warning', async (t) => {
  const { socket, warnings } = lonelySession()
  const error = new Error('of the callback')
  await socket.kickOut('a', 'x', () => { throw error })
  await turn()
  t.strictSame(warnings, [error])
})

t.test('a promise that nobody awaits harms nobody', async (t) => {
  const rejections: unknown[] = []
  const onRejection = (err: unknown): void => { rejections.push(err) }
  process.on('unhandledRejection', onRejection)
  t.teardown(() => process.off('unhandledRejection', onRejection))
  const { socket, host } = lonelySession()
  host.setAuthToken = async () => { throw new Error('no') }
  socket.setAuthToken({})
  socket.kickOut(5 as never)
  socket.invoke(5 as never)
  socket.invoke('disconnect')
  await turn()
  await turn()
  t.strictSame(rejections, [])
})

t.test('closing', async (t) => {
  for (const [close, code, reason, active] of [
    [(socket) => socket.disconnect(), 1000, '', true],
    [(socket) => socket.disconnect(4321, 'bye'), 4321, 'bye', true],
    [(socket) => socket.destroy(), 1000, '', false],
    [(socket) => socket.destroy(4321, 'bye'), 4321, 'bye', false]
  ] as Array<[(socket: ScServerSocket) => void, number, string, boolean]>) {
    const { socket, log } = lonelySession()
    close(socket as ScServerSocket)
    t.strictSame(log.at(-1), ['connection closed', code, reason])
    t.strictSame([socket.state, socket.active], ['closed', active])
  }
  const { socket, log } = lonelySession()
  socket.terminate()
  t.strictSame(log, ['terminated'])
})
