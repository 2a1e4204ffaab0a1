// What subscribers get of a publication.
import t from 'tap'
import { type ScServerSocket } from '../../lib/index.js'
import { Attacked, attack } from '../helpers/attack.js'
import { RawClient } from '../helpers/raw.js'
import { serve } from '../helpers/serve.js'

const attacked = await Attacked.start(t)

attack(t, attacked, [
  {
    what: 'broken publications from the broker',
    versions: [2],
    async run (t, clients) {
      const client = await clients.connect('open')
      await client.call('#subscribe', 'injected')
      for (const text of ['', '1', 'null', '"text"', '[]']) {
        await attacked.ask({ ask: 'inject', channel: 'injected', text })
        t.same(await client.publication('injected'), text === '' ? undefined : JSON.parse(text))
      }
      for (const channel of ['nobody is there', '__proto__', '']) await attacked.ask({ ask: 'inject', channel, text: '{}' })
      await client.barrier()
      t.same(client.inbox.items, [])
    }
  }
])

t.test('what publishOut edits is seen by that recipient alone', async (t) => {
  const { port, sc, nextSocket } = await serve(t)
  sc.addMiddleware('publishOut', (request, next) => {
    if (request.socket.data === 'edited') request.data.list.push(request.socket.id)
    else if (request.socket.data === 'replaced') request.data = { own: true }
    next()
  })
  const clients: RawClient[] = []
  const sockets: ScServerSocket[] = []
  for (const data of ['edited', 'plain', 'edited', 'replaced', 'plain']) {
    const opening = nextSocket()
    const client = await RawClient.connect(t, port)
    const socket = await opening
    socket.data = data
    await client.call('#subscribe', 'news')
    clients.push(client)
    sockets.push(socket)
  }
  const watched: any[] = []
  sc.exchange.subscribe('news').watch((data) => {
    watched.push(structuredClone(data))
    data.list.push('watcher')
  })
  const published = { list: [0] }
  await sc.exchange.publish('news', published)
  t.same(await Promise.all(clients.map((client) => client.publication('news'))), [
    { list: [0, sockets[0]!.id] }, { list: [0] }, { list: [0, sockets[2]!.id] }, { own: true }, { list: [0] }
  ])
  t.same(watched, [{ list: [0] }])
  t.same(published, { list: [0] })
})
