import { once } from 'node:events'
import sc14 from 'socketcluster-client-14'
import sc20 from 'socketcluster-client'
import t from 'tap'
import { memoryBroker } from '../../lib/broker/memory.js'
import type { Broker, BrokerSink } from '../../types/broker.js'
import { RawClient } from '../helpers/raw.js'
import { serve } from '../helpers/serve.js'

/** A broker in the process whose gaps the test makes. */
function brokerWithGaps (): { broker: Broker, sink: () => BrokerSink } {
  const inner = memoryBroker()
  let sink: BrokerSink
  return {
    broker: {
      name: 'with gaps',
      shared: false,
      start (given, node) {
        sink = given
        return inner.start(given, node)
      },
      subscribe: (channels) => inner.subscribe(channels),
      unsubscribe: (channels) => inner.unsubscribe(channels),
      publish: (channel, data) => inner.publish(channel, data),
      control: (message, toNode) => inner.control(message, toNode),
      stop: () => inner.stop()
    },
    sink: () => sink
  }
}

t.test('clients are told of a gap, when the option names an event', async (t) => {
  const { broker, sink } = brokerWithGaps()
  const { port } = await serve(t, { broker, gapEvent: 'catch-up' })
  const old = sc14.create({ port, hostname: '127.0.0.1', autoReconnect: false, multiplex: false })
  t.teardown(() => old.destroy())
  const current = sc20.create({ port, hostname: '127.0.0.1', autoReconnect: false })
  t.teardown(() => current.disconnect())
  const stranger = await RawClient.connect(t, port)
  await Promise.all([once(old.subscribe('news'), 'subscribe'), current.subscribe('news').listener('subscribe').once(), current.subscribe('sports').listener('subscribe').once()])

  const toOld: any[] = []
  old.on('catch-up', (data: any) => toOld.push(data))
  const toCurrent: any[] = []
  const receiver = current.receiver('catch-up').createConsumer()
  const collect = async (): Promise<void> => {
    for (;;) {
      const { value, done } = await receiver.next()
      if (done) return
      toCurrent.push(value)
    }
  }
  collect()
  const barrier = async (): Promise<void> => {
    const seen = [new Promise<void>((resolve) => old.watch('news', () => resolve())), current.channel('news').once()]
    sink().publication('news', '"barrier"')
    await Promise.all(seen)
  }

  sink().gap('sports')
  await barrier()
  t.strictSame([toOld, toCurrent], [[], [{ channel: 'sports' }]], 'only those in the channel')
  sink().gap(null)
  await barrier()
  t.strictSame([toOld, toCurrent], [[{ channel: null }], [{ channel: 'sports' }, { channel: null }]], 'everybody who is in any, once')
  sink().gap('nobody is here')
  stranger.send({ event: 'x', cid: 77 })
  await stranger.answer(77)
  t.notOk(stranger.inbox.items.some((packet: any) => packet.event === 'catch-up'), 'who subscribes to nothing missed nothing')
})

t.test('by default they are not', async (t) => {
  const { broker, sink } = brokerWithGaps()
  const { sc, port } = await serve(t, { broker })
  const client = await RawClient.connect(t, port)
  await client.call('#subscribe', { channel: 'news' })
  const told = once(sc, 'gap')
  sink().gap(null)
  t.strictSame(await told, [null])
  await client.call('#subscribe', { channel: 'other' })
  t.notOk(client.inbox.items.some((packet: any) => packet.event !== undefined))
})

t.test('the name of the event is checked', async (t) => {
  for (const gapEvent of ['', '#gap', true, 'x'.repeat(129)]) {
    await t.rejects(serve(null, { gapEvent: gapEvent as string }), { code: 'SC_ERR_OPTIONS', message: /gapEvent/ })
  }
})
