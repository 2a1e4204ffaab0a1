import t from 'tap'
import { generations, startApp } from '../helpers/app.js'
import { Inbox } from '../helpers/raw.js'

// A server program as users of SocketCluster 15 to 20 write it: loops over streams, and nothing but them.

for (const [generation, connect] of generations) {
  t.test(`loops instead of listeners, client ${generation}`, async (t) => {
    const app = await startApp(t)
    const { sc } = app
    const told = new Inbox<string>()
    const ended: string[] = []

    const serve = async (socket: any): Promise<void> => {
      const loops = [
        (async () => {
          for await (const request of socket.procedure('login')) {
            if (request.data.username === 'mallory') {
              request.error(Object.assign(new Error('not you'), { name: 'LoginError' }))
              continue
            }
            await socket.setAuthToken({ username: request.data.username })
            request.end({ welcome: request.data.username })
            t.throws(() => request.end('again'), { name: 'InvalidActionError' })
          }
          ended.push('login')
        })(),
        (async () => {
          for await (const data of socket.receiver('typing')) told.push(`typing ${data}`)
          ended.push('typing')
        })(),
        (async () => {
          for await (const { authToken } of socket.listener('authenticate')) told.push(`authenticated ${authToken.username}`)
          ended.push('authenticate')
        })(),
        (async () => {
          for await (const { code, reason } of socket.listener('disconnect')) told.push(`disconnected ${code} ${reason ?? ''}`)
          ended.push('disconnect')
        })()
      ]
      await Promise.all(loops)
      told.push('all loops ended')
    }

    const connections = (async () => {
      for await (const { socket, isAuthenticated } of sc.listener('connection')) {
        told.push(`connected ${isAuthenticated}`)
        serve(socket)
      }
      ended.push('connections')
    })()
    const hall = (async () => {
      for await (const data of sc.exchange.subscribe('hall')) told.push(`hall ${data}`)
    })()

    const client = await connect(t, app)
    const says = (text: string) => told.take((line) => line === text, text)
    await says('connected false')
    const err = await client.call('login', { username: 'mallory' }).then(() => null, (err) => err)
    t.match(err, { name: 'LoginError', message: 'not you' })
    t.same(await client.call('login', { username: 'ann' }), { welcome: 'ann' })
    await says('authenticated ann')
    for (const n of [1, 2, 3]) client.emit('typing', n)
    await client.publish('hall', 'hello')
    await says('hall hello')
    t.same(told.items.splice(0), ['typing 1', 'typing 2', 'typing 3'], 'in order, and nothing twice')

    const [socket] = Object.values(sc.clients)
    // A loop takes no call that only transmits, and a receiver no call: each has its own.
    const transmitted = socket!.receiver('either').once(5_000)
    const called = socket!.procedure('either').once(5_000)
    client.emit('either', 'transmitted')
    t.equal(await transmitted, 'transmitted')
    const answer = client.call('either', 'called')
    const request = await called
    t.match({ data: request.data, procedure: request.procedure, sent: request.sent }, { data: 'called', procedure: 'either', sent: false })
    request.end()
    t.equal(request.sent, true)
    t.equal(await answer, undefined)

    await client.subscribe('hall')
    await sc.exchange.invokePublish('hall', 'from the server')
    t.equal(await client.next('hall'), 'from the server')
    client.on('double', (data, res) => res(null, data * 2))
    t.equal(await socket!.invoke('double', 21), 42)

    const closed = sc.listener('closure').once(5_000)
    await client.close()
    t.match(await closed, { socket: { id: socket!.id }, code: 1000 })
    await says('all loops ended')
    t.match(told.items.filter((line) => line.startsWith('disconnected')), [/^disconnected 1000/])
    t.same(ended.sort(), ['authenticate', 'disconnect', 'login', 'typing'])
    await app.app.close()
    await connections
    await hall
    t.ok(ended.includes('connections'), 'the close of the server ends its loops')
  })
}
