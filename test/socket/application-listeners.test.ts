// Listeners of an application, on a socket.
import { once } from 'node:events'
import jwt from 'jsonwebtoken'
import t from 'tap'
import { RawClient } from '../helpers/raw.js'
import { authKey, serve } from '../helpers/serve.js'

t.test("only the application removes the application's listeners", async (t) => {
  const { port, sc, nextSocket } = await serve(t)
  const opening = nextSocket()
  const client = await RawClient.connect(t, port)
  const socket = await opening
  const heard: string[] = []
  const listen = (): void => {
    for (const event of ['word', '#publish', 'subscribe', 'unsubscribe', 'disconnect', 'close']) {
      socket.on(event, (_data: unknown, res: unknown) => {
        heard.push(event)
        if (event === 'word') (res as () => void)()
      })
    }
  }
  listen()
  socket.off()
  t.equal(socket.hasListeners('word'), false)
  t.match(await client.call('word'), { error: { name: 'InvalidActionError' } })
  t.notOk('error' in await client.call('#subscribe', 'a'), 'the library goes on without them')
  t.same(heard, [])
  listen()
  let authenticated = 0
  socket.on('authenticate', () => authenticated++)
  await client.call('#authenticate', jwt.sign({}, authKey))
  socket.deauthenticate()
  await client.call('#authenticate', jwt.sign({}, authKey))
  t.equal(authenticated, 2, 'deauthenticating removes none')
  await client.call('word')
  await client.call('#publish', { channel: 'a' })
  await client.call('#unsubscribe', 'a')
  const own = (): void => {}
  sc.exchange.subscribe('mine')
  sc.exchange.watch('mine', own)
  sc.exchange.unsubscribe('mine')
  t.same(sc.exchange.watchers('mine'), [own])
  const closed = once(sc, 'closure')
  await client.close()
  await closed
  t.same(heard, ['word', '#publish', 'unsubscribe', 'disconnect', 'close'])
  t.equal(socket.listeners('word').length, 1, 'they are there after the close')
  t.ok(sc.listenerCount('warning') > 0)
})

t.test('a listener that wants to be called once is, also when another listener causes the same event', async (t) => {
  const { port, nextSocket } = await serve(t)
  const opening = nextSocket()
  const client = await RawClient.connect(t, port)
  const socket = await opening
  const heard: string[] = []
  socket.once('unsubscribe', (channel: string) => {
    heard.push(`first ${channel}`)
    socket.kickOut('b')
  })
  socket.once('unsubscribe', (channel: string) => { heard.push(`second ${channel}`) })
  await client.call('#subscribe', 'a')
  await client.call('#subscribe', 'b')
  socket.kickOut('a')
  t.strictSame(heard, ['first a', 'second b'])
  t.notOk(socket.hasListeners('unsubscribe'))
})

t.test('a socket that a listener ends because of its bad token is never open', async (t) => {
  const { port, sc } = await serve(t)
  const told: string[] = []
  for (const event of ['connection', 'connectionAbort', 'disconnection'] as const) sc.on(event, () => { told.push(event) })
  sc.on('handshake', (socket) => { socket.on('deauthenticate', () => { socket.disconnect(4111) }) })
  const client = await RawClient.open(t, port)
  client.send({ event: '#handshake', data: { authToken: 'bad' }, cid: 1 })
  t.equal((await client.closed).code, 4111)
  t.strictSame([told, sc.clientsCount, sc.stats().connects], [['connectionAbort'], 0, 0])
})
