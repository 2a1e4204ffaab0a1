// Subscriptions: many of them, up to the limit, and taken away.
import t from 'tap'
import { Attacked, attack, publish } from '../helpers/attack.js'
import { RawClient } from '../helpers/raw.js'
import { serve } from '../helpers/serve.js'
import { slowBroker } from '../helpers/slow-broker.js'

const attacked = await Attacked.start(t)

attack(t, attacked, [
  {
    what: 'floods and churn of subscriptions',
    async run (t, clients) {
      const client = await clients.connect('open')
      const flood = 20_000
      let answered = 0
      let accepted = 0
      for (let i = 0; i < flood; i += 50) {
        client.send(Array.from({ length: 50 }, (_, j) => ({ event: '#subscribe', data: `flood ${i + j}`, cid: `s${i + j}` })))
        // One that reads no answers would be ended by its own backlog.
        if (i % 1_000 !== 950) continue
        const last = await client.answer(`s${i + 49}`)
        t.match(last, { error: { name: 'InvalidActionError', message: /socketChannelLimit/ } })
        const answers = client.inbox.items.splice(0)
        answered += answers.length + 1
        accepted += answers.filter((packet) => !('error' in packet)).length
      }
      t.equal(answered, flood, 'each is answered')
      t.equal(accepted, 50)
      const others = await Promise.all(Array.from({ length: 4 }, () => clients.connect('open')))
      for (let i = 0; i < 500; i++) {
        for (const other of others) other.send([{ event: '#subscribe', data: 'churn' }, { event: '#unsubscribe', data: 'churn' }, { event: '#subscribe', data: 'churn' }])
      }
      await Promise.all(others.map((other) => other.barrier()))
      const report = await attacked.report()
      t.equal(report.doubleSubscribes, 0, 'the broker sees at most one subscribe per channel')
      for (const other of others) other.send(publish('churn', 'all'))
      await Promise.all(others.map((other) => other.publication('churn')))
    }
  }
])

t.test('kickOut', async (t) => {
  const { port, sc, nextSocket } = await serve(t)
  const opening = nextSocket()
  const client = await RawClient.connect(t, port)
  const socket = await opening
  const local: string[] = []
  const server: string[] = []
  socket.on('unsubscribe', (channel) => local.push(channel))
  sc.on('unsubscription', (_socket, channel) => server.push(channel))
  for (const channel of ['a', 'b', 'c']) await client.call('#subscribe', channel)
  await socket.kickOut('unknown')
  await socket.kickOut('__proto__')
  t.equal(socket.channelSubscriptionsCount, 3)
  await socket.kickOut('b', 'because')
  t.same((await client.event('#kickOut')).data, { channel: 'b', message: 'because' })
  t.same(socket.subscriptions(), ['a', 'c'])
  await socket.kickOut('b')
  t.equal(socket.channelSubscriptionsCount, 2)
  let told = false
  await socket.kickOut(undefined, 'all', () => { told = true })
  t.same((await client.event('#kickOut')).data, { channel: 'a', message: 'all' })
  t.same((await client.event('#kickOut')).data, { channel: 'c', message: 'all' })
  t.ok(told)
  t.equal(socket.channelSubscriptionsCount, 0)
  t.same(local, ['b', 'a', 'c'])
  t.same(server, ['b', 'a', 'c'])
  for (const channel of ['a', 'b', 'c']) sc.exchange.publish(channel, 'still there?')
  await client.barrier()
  t.same(client.inbox.items, [], 'nothing is delivered any more')
  t.equal(sc.stats().channels, 0)
  t.match(await client.call('#unsubscribe', 'a'), { error: { name: 'InvalidActionError' } })
  t.equal(socket.channelSubscriptionsCount, 0)
})

t.test('socketChannelLimit counts distinct channels', async (t) => {
  const broker = slowBroker()
  const { port, sc, nextSocket } = await serve(t, { socketChannelLimit: 3, broker })
  const opening = nextSocket()
  const client = await RawClient.connect(t, port)
  const socket = await opening
  const events: string[] = []
  socket.on('subscribe', (channel) => events.push(channel))
  sc.on('subscription', (_socket, channel) => events.push(channel))
  for (let i = 0; i < 6; i++) t.notOk('error' in await client.call('#subscribe', 'a'), 'a repeated subscribe is acked')
  t.same(events, ['a', 'a'], 'and fires nothing twice')
  t.equal(socket.channelSubscriptionsCount, 1)
  for (const channel of ['b', 'c']) t.notOk('error' in await client.call('#subscribe', channel))
  t.match(await client.call('#subscribe', 'd'), { error: { name: 'InvalidActionError', message: /socketChannelLimit/ } })
  t.notOk('error' in await client.call('#subscribe', 'b'), 'a repeated one is still acked at the limit')
  await client.call('#unsubscribe', 'c')
  broker.failNext.push('d')
  t.match(await client.call('#subscribe', 'd'), { error: { name: 'BrokerError' } })
  t.same(socket.subscriptions(), ['a', 'b'])
  broker.failNext.push('a')
  t.notOk('error' in await client.call('#subscribe', 'a'))
  t.ok(socket.isSubscribed('a'), 'a failure would leave the first one alone')
  sc.exchange.publish('a', 'there')
  t.equal(await client.publication('a'), 'there')
  broker.failNext.length = 0
  // Many at once, none of them decided yet.
  client.send(['p', 'q', 'r', 's'].map((channel) => ({ event: '#subscribe', data: channel, cid: channel })))
  const outcomes = await Promise.all(['p', 'q', 'r', 's'].map((cid) => client.answer(cid)))
  t.equal(outcomes.filter((answer) => !('error' in answer)).length, 1, 'the limit holds for those under way together')
  t.equal(socket.channelSubscriptionsCount, 3)
})
