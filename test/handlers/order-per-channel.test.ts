// What concerns one channel takes effect in the order in which it came.
import { once } from 'node:events'
import { setTimeout as sleep } from 'node:timers/promises'
import t from 'tap'
import { RawClient } from '../helpers/raw.js'
import { serve } from '../helpers/serve.js'
import { gate, slowBroker } from '../helpers/slow-broker.js'
import { until } from '../helpers/waiting.js'

t.test('order per channel, however slow a hook is', async (t) => {
  const broker = slowBroker()
  const gates = new Map<string, ReturnType<typeof gate>>()
  const { port, sc, nextSocket } = await serve(t, { broker }, (app) => {
    const wait = async ({ channel, data }: { channel: string, data?: any }): Promise<void> => {
      await gates.get(channel)?.opened
      if (typeof data === 'number') await sleep(data)
    }
    app.scHook('subscribe', wait)
    app.scHook('publishIn', wait)
  })
  const opening = nextSocket()
  const client = await RawClient.connect(t, port)
  const socket = await opening
  socket.on('word', (_data: unknown, res: () => void) => res())
  const events: string[] = []
  sc.on('subscription', (_socket, channel) => events.push(`+${channel}`))
  sc.on('unsubscription', (_socket, channel) => events.push(`-${channel}`))

  t.test('subscribe, publish, unsubscribe take effect as they came; others do not wait', async (t) => {
    const slow = gate()
    gates.set('slow', slow)
    client.send([
      { event: '#subscribe', data: { channel: 'slow' }, cid: 1001 },
      { event: '#publish', data: { channel: 'slow', data: 'first' }, cid: 1002 },
      { event: '#unsubscribe', data: 'slow', cid: 1003 },
      { event: '#publish', data: { channel: 'slow', data: 'second' }, cid: 1004 },
      { event: '#subscribe', data: 'slow', cid: 1005 },
      { event: '#subscribe', data: 'quick', cid: 1006 },
      { event: 'word', cid: 1007 }
    ])
    for (const rid of [1007, 1006]) t.notOk('error' in await client.answer(rid))
    t.same(client.inbox.items, [], 'nothing of the slow channel is done')
    t.notOk(socket.isSubscribed('slow'))
    slow.open()
    gates.delete('slow')
    const order: unknown[] = []
    for (let i = 0; i < 6; i++) {
      const packet = await client.inbox.take(() => true, 'an answer')
      t.notOk('error' in packet, JSON.stringify(packet))
      order.push(packet.rid ?? packet.data.data)
    }
    t.same(order, [1001, 'first', 1002, 1003, 1004, 1005], 'the first is received, the second is not')
    t.same(events.filter((event) => event.endsWith('slow')), ['+slow', '-slow', '+slow'])
    t.ok(socket.isSubscribed('slow'))
  })

  t.test('a slow message is not overtaken by a quick one', async (t) => {
    await client.call('#subscribe', 'talk')
    for (const [i, delay] of [30, 0, 15, 1, 8].entries()) client.send({ event: '#publish', data: { channel: 'talk', data: delay }, cid: 2000 + i })
    const got: unknown[] = []
    for (let i = 0; i < 5; i++) got.push(await client.publication('talk'))
    t.same(got, [30, 0, 15, 1, 8])
  })

  t.test('a subscription does not come to life after the unsubscribe or the close', async (t) => {
    for (const [where, how] of [['hook', 'unsubscribe'], ['hook', 'close'], ['broker', 'close'], ['hook', 'terminate'], ['broker', 'terminate']] as const) {
      const opening = nextSocket()
      const ghost = await RawClient.connect(t, port)
      const ghostSocket = await opening
      const held = gate()
      if (where === 'hook') gates.set('ghost', held)
      else broker.hold = held.opened
      ghost.send({ event: '#subscribe', data: 'ghost' })
      await ghost.barrier()
      events.length = 0
      if (how === 'unsubscribe') {
        ghost.send({ event: '#unsubscribe', data: 'ghost' })
      } else {
        const closed = once(sc, 'closure')
        if (how === 'close') await ghost.close()
        else ghost.ws.terminate()
        await closed
      }
      held.open()
      gates.delete('ghost')
      broker.hold = null
      if (how === 'unsubscribe') await until('both events', () => events.length === 2)
      // What went on then has come to its end when others were served.
      else for (let i = 0; i < 2; i++) await client.barrier()
      t.notOk(ghostSocket.isSubscribed('ghost'), `${where}, ${how}`)
      t.same(events, how === 'unsubscribe' ? ['+ghost', '-ghost'] : [])
      sc.exchange.publish('ghost', 'anybody?')
      t.notOk(ghost.inbox.items.some((packet) => packet.event === '#publish'))
      if (how === 'unsubscribe') await ghost.close()
      await until('the channel to be gone from the server', () => sc.stats().channels === socket.channelSubscriptionsCount)
    }
  })
})
