// Names of channels, of every kind and type.
import t from 'tap'
import { Attacked, attack, publish } from '../helpers/attack.js'
import { RawClient } from '../helpers/raw.js'
import { serve } from '../helpers/serve.js'

const attacked = await Attacked.start(t)

attack(t, attacked, [
  {
    what: 'channel names',
    async run (t, clients) {
      const client = await clients.connect('open')
      const wrong: unknown[] = [{}, [], ['a'], 5, true, null, '', 'x'.repeat(256), 'é'.repeat(128), 'x'.repeat(1_000_000), '\ud800', 'a\udc00b', 'a\u0000', 'a\r\nb', '\u007f', { toString: 'a' }]
      for (const channel of wrong) {
        for (const [event, data] of [['#subscribe', { channel }], ['#unsubscribe', { channel }], ['#publish', { channel, data: 1 }], ['#subscribe', channel], ['#unsubscribe', channel]] as const) {
          if (data === channel && typeof channel === 'object' && channel !== null) continue
          t.match(await client.call(event, data), { error: { name: 'InvalidActionError' } }, `${event} ${JSON.stringify(channel).slice(0, 40)}`)
        }
      }
      const plain = ['__proto__', 'constructor', 'a.*', '>', '*', '$SYS.x', 'a/b', ' ', 'x'.repeat(255), 'é'.repeat(127), '🔑', '{a}', '%s', '#x']
      for (const channel of plain) t.notOk('error' in await client.call('#subscribe', { channel }), channel.slice(0, 20))
      for (const channel of ['a.b', 'SYS.x', 'a.c.d']) await client.call('#publish', { channel, data: 'for nobody' })
      t.same(client.inbox.items, [], 'nothing is a wildcard')
      for (const channel of plain) {
        client.send(publish(channel, channel))
        t.equal(await client.publication(channel), channel)
      }
    }
  },
  {
    what: 'unsubscribing from what is not subscribed',
    async run (t, clients) {
      const client = await clients.connect()
      await client.call('#subscribe', 'one')
      for (const channel of ['two', '__proto__', 'constructor', 'one ']) t.match(await client.call('#unsubscribe', channel), { error: { name: 'InvalidActionError' } })
      await client.call('#unsubscribe', 'one')
      for (let i = 0; i < 5; i++) t.match(await client.call('#unsubscribe', 'one'), { error: { name: 'InvalidActionError' } })
    }
  }
])

t.test('types are checked before any middleware runs', async (t) => {
  const asked: string[] = []
  const { port, sc, nextSocket } = await serve(t, { inboundRate: 0 })
  sc.addMiddleware('subscribe', ({ channel }, next) => {
    asked.push(typeof channel)
    if (channel === 'secret') next(new Error('not for you'))
    else next()
  })
  sc.addMiddleware('publishIn', ({ channel }, next) => {
    asked.push(typeof channel)
    if (channel === 'secret') next(new Error('not for you'))
    else next()
  })
  const opening = nextSocket()
  const client = await RawClient.connect(t, port)
  const socket = await opening
  const wrong: unknown[] = [undefined, null, 0, 1, true, [], ['secret'], {}, { toString: 'secret' }, { channel: 'secret' }, [['secret']], '', 'x'.repeat(256), 'a\u0000b', 'a\r\nb', '\ud800']
  for (const channel of wrong) {
    for (const [event, data] of [['#subscribe', { channel }], ['#publish', { channel, data: 1 }], ['#unsubscribe', { channel }]] as const) {
      t.match(await client.call(event, data), { error: { name: 'InvalidActionError' } }, `${event} ${JSON.stringify(data)}`)
    }
    if (typeof channel === 'object' && channel !== null && !Array.isArray(channel)) continue
    for (const event of ['#subscribe', '#unsubscribe']) {
      t.match(await client.call(event, channel), { error: { name: 'InvalidActionError' } }, `${event} ${JSON.stringify(channel)}`)
    }
  }
  t.match(await client.call('#publish', 'text'), { error: { name: 'InvalidActionError' } })
  t.match(await client.call('#publish', null), { error: { name: 'InvalidActionError' } })
  t.same(asked, [])
  t.equal(socket.channelSubscriptionsCount, 0)
  t.match(await client.call('#subscribe', 'secret'), { error: { message: 'not for you' } }, 'the bare name passes the same check')
  t.match(await client.call('#subscribe', { channel: 'secret' }), { error: { message: 'not for you' } })
  t.match(await client.call('#publish', { channel: 'secret' }), { error: { message: 'not for you' } })
  t.same(asked, ['string', 'string', 'string'])
})
