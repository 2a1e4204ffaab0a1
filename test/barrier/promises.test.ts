import { setTimeout as sleep } from 'node:timers/promises'
import t from 'tap'
import type { CodecEngine, ScPluginOptions, ScServerSocket } from '../../lib/index.js'
import { RawClient } from '../helpers/raw.js'
import { serve, type Served } from '../helpers/serve.js'

async function pair (t: any, options: ScPluginOptions = {}): Promise<Served & { client: RawClient, socket: ScServerSocket }> {
  const served = await serve(t, options)
  const opening = served.nextSocket()
  const client = await RawClient.connect(t, served.port)
  return { ...served, client, socket: await opening }
}

const unhandled: unknown[] = []
process.on('unhandledRejection', (err) => { unhandled.push(err) })

t.test('a client that leaves while its token is on the way', async (t) => {
  const { socket, client, warnings } = await pair(t)
  const loop = (async () => {
    for await (const data of socket.receiver('login')) await socket.setAuthToken({ sub: data })
    return 'ended'
  })()
  socket.on('login', async (sub: string) => { await socket.setAuthToken({ sub }) })
  await sleep(1)
  client.send({ event: 'login', data: 'ann' })
  await client.event('#setAuthToken')
  const resolved = socket.setAuthToken({ sub: 'bob' })
  const asked = socket.setAuthToken({ sub: 'bob' }, { rejectOnFailedDelivery: true })
  const byCallback = new Promise((resolve) => socket.setAuthToken({ sub: 'bob' }, null, resolve))
  const removed = socket.deauthenticate()
  const removal = socket.deauthenticate({ rejectOnFailedDelivery: true })
  const removalByCallback = new Promise((resolve) => { resolve(socket.deauthenticate((err) => t.match(err, { name: 'BadConnectionError' }))) })
  client.ws.terminate()
  t.equal(await resolved, undefined, 'it resolves, as in SocketCluster 20')
  await t.rejects(asked, { name: 'AuthError', code: 'SC_ERR_TOKEN_DELIVERY' })
  t.match(await byCallback, { name: 'BadConnectionError' }, 'a callback gets the error, as in SocketCluster 14')
  t.equal(await removed, undefined)
  await t.rejects(removal, { name: 'BadConnectionError' })
  t.equal(await removalByCallback, undefined)
  t.equal(await loop, 'ended')
  t.equal(await socket.kickOut(), undefined)
  t.notOk(warnings.some((err) => err?.message === undefined))
  t.same(unhandled, [])
})

t.test('promises that are left alone', async (t) => {
  const { sc, socket, client, warnings } = await pair(t)
  socket.invoke('x', undefined, { timeout: 1 })
  socket.invoke(5 as any)
  socket.setAuthToken('text' as any)
  socket.setAuthToken(new Proxy({}, { getPrototypeOf () { throw new Error('no') } }))
  socket.setAuthToken({ f () {} })
  socket.kickOut(5 as any)
  socket.deauthenticate(5 as any)
  socket.receiver('x').once(1)
  sc.exchange.publish(5 as any)
  sc.exchange.publish('a', 1n)
  sc.exchange.channel('a').invokePublish(1n)
  sc.revoke({})
  sc.revoke(null as any)
  sc.disconnectSockets({}, 7)
  sc.kickOut({}, 5 as any)
  sc.kickOut('text' as any, 'a')
  sc.close(5 as any)
  await sleep(30)
  t.same(unhandled, [])
  for (const code of ['SC_ERR_TOKEN_PAYLOAD', 'SC_ERR_ARGUMENT', 'SC_ERR_FILTER', 'SC_ERR_CLOSE_CODE', 'SC_ERR_CHANNEL_TYPE', 'SC_ERR_ENCODE']) t.ok(warnings.some((err) => err.code === code), `${code} is a warning`)
  t.equal(socket.state, 'open', 'none of that ends the socket')
  t.ok(await client.call('nobody'))
})

t.test('raw data', async (t) => {
  const { socket, client } = await pair(t)
  const next = (): Promise<any> => client.inbox.take(() => true, 'raw data')
  for (const [data, want] of [['text', 'text'], [5, 5], [-0.5, -0.5], [NaN, 'NaN']] as const) {
    socket.send(data)
    t.same(await next(), want, String(data))
  }
  const bytes = Buffer.from([1, 2, 3, 4])
  const shared = new SharedArrayBuffer(4)
  new Uint8Array(shared).set(bytes)
  for (const data of [bytes, new Uint8Array(bytes), new Uint8Array(bytes).buffer, shared, new DataView(new Uint8Array([0, 1, 2, 3, 4]).buffer, 1), new Uint16Array(new Uint8Array(bytes).buffer), [1, 2, 3, 4]]) {
    socket.send(data)
    t.same(await next(), bytes, data.constructor.name)
  }
  for (const data of [true, false, null, undefined, {}, 1n, Symbol('x'), () => {}, new Date(), new Map(), Object.create(Buffer.prototype), Promise.resolve()]) {
    t.throws(() => socket.send(data as any), { name: 'InvalidArgumentsError', code: 'SC_ERR_ARGUMENT' }, typeof data)
  }
  t.throws(() => socket.send({} as any), { message: 'send expects text, a number or bytes, got object' })
  socket.on('echo raw', (data: any) => { socket.send(data) })
  client.send({ event: 'echo raw', data: { an: 'object' } })
  t.match(await client.call('nobody'), { error: { code: 'SC_ERR_EVENT_UNKNOWN' } }, 'it is the handler that fails')
})

t.test('a codec that decodes to BigInt', async (t) => {
  const codecEngine: CodecEngine = {
    encode: (packet) => JSON.stringify(packet, (_key, value: unknown) => typeof value === 'bigint' ? `${value}n` : value),
    decode: (text) => JSON.parse(text.toString() || 'null', (_key, value: unknown) => typeof value === 'string' && /^\d+n$/.test(value) ? BigInt(value.slice(0, -1)) : value)
  }
  const { port, sc } = await serve(t, { codecEngine }, (app) => {
    app.scChannel('small', { maxMessageBytes: 10, subscribe: () => {} })
  })
  const client = await RawClient.connect(t, port)
  t.equal((await client.call('#subscribe', { channel: 'small', data: { id: '5n' }, waitForAuth: false })).error, undefined, 'in the data of a subscription')
  t.equal((await client.call('#publish', { channel: 'small', data: `${'9'.repeat(30)}n` })).error.code, 'SC_ERR_MESSAGE_SIZE', 'where a message is measured')
  t.equal((await client.call('#publish', { channel: 'small', data: '5n' })).error.code, 'SC_ERR_ENCODE', 'publications are JSON')
  t.ok((await client.call('#unsubscribe', { channel: 'small' })).rid)
  t.equal(sc.stats().faults, 0)
})

t.test('calls that nobody can use throw at once', async (t) => {
  const { socket, sc } = await pair(t)
  const bad = { name: 'InvalidArgumentsError', code: 'SC_ERR_ARGUMENT' }
  for (const call of [
    () => socket.emit(5 as any), () => socket.transmit(null as any), () => socket.emit('x', 1, 5 as any), () => socket.on(5 as any, () => {}), () => socket.on('x', 5 as any), () => socket.once('x', {} as any),
    () => socket.off(5 as any), () => socket.off('x', 5 as any), () => socket.listener(5 as any), () => socket.receiver({} as any), () => socket.procedure(null as any), () => socket.receiver('x').once('soon' as any),
    () => sc.listener(5 as any), () => sc.setAuthEngine({} as any), () => sc.setCodecEngine({ encode () {} } as any), () => sc.exchange.watch('a', 5 as any), () => sc.exchange.listener(5 as any), () => sc.exchange.on(5 as any, () => {})
  ]) t.throws(call, bad, String(call))
  await t.rejects(socket.invoke('x', 1, { timeout: NaN }), bad)
  await t.rejects(sc.exchange.publish('a', 1, 5 as any), bad)
})
