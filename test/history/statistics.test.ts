// What `stats()` and the diagnostics channel `sc:recovery` tell of clients that came back, and of those that lost messages.
import { subscribe, unsubscribe } from 'node:diagnostics_channel'
import t from 'tap'
import { TcpProxy } from '../helpers/proxy.js'
import { RawClient } from '../helpers/raw.js'
import { serve } from '../helpers/serve.js'
import { until } from '../helpers/waiting.js'

t.test('each outcome of a recovery is counted and published', async (t) => {
  const published: any[] = []
  const listener = (message: unknown): void => { published.push(message) }
  subscribe('sc:recovery', listener)
  t.teardown(() => unsubscribe('sc:recovery', listener))
  const { port, sc } = await serve(t, { maxBufferedBytes: 65_536 }, (app) => {
    app.scChannel('room', { history: { size: 10 }, recover: { limit: 5 }, subscribe: (context) => { if (context.data === 'refuse me') context.recover = false } })
  })
  const none = { recovered: 0, messages: 0, unknown: 0, trimmed: 0, limit: 0, refused: 0, losses: 0 }
  t.strictSame(sc.stats().recovery, none)
  const client = await RawClient.connect(t, port)
  const { data: { pos: begin } } = await client.call('#subscribe', { channel: 'room' })
  t.strictSame(sc.stats().recovery, none, 'a client that subscribes for the first time recovers nothing')
  const again = async (since: string, data?: string): Promise<void> => {
    await client.call('#unsubscribe', 'room')
    await client.call('#subscribe', { channel: 'room', since, data })
  }
  for (let n = 1; n <= 3; n++) await sc.exchange.publish('room', n)
  await again(begin)
  for (let n = 4; n <= 8; n++) await sc.exchange.publish('room', n)
  await again(begin)
  await again(begin, 'refuse me')
  await again('another.1.')
  for (let n = 9; n <= 20; n++) await sc.exchange.publish('room', n)
  await again(begin)
  t.strictSame(sc.stats().recovery, { recovered: 1, messages: 3, unknown: 1, trimmed: 1, limit: 1, refused: 1, losses: 0 })
  const [socket] = Object.values(sc.clients)
  t.ok(published.every((message) => message.socket === socket && message.channel === 'room'))
  t.strictSame(published.map(({ recovered, count, reason }) => [recovered, count, reason]), [
    [true, 3, null], [false, 0, 'limit'], [false, 0, 'refused'], [false, 0, 'unknown'], [false, 0, 'trimmed']
  ])

  // One that reads too slowly for what is kept.
  await client.close()
  const proxy = await new TcpProxy(port).listen()
  t.teardown(() => proxy.close())
  const slow = await RawClient.connect(t, proxy.port)
  await slow.call('#subscribe', { channel: 'room' })
  proxy.stall()
  for (let n = 21; sc.stats().slowConsumers === 0; n++) await sc.exchange.publish('room', `${n}${'x'.repeat(50_000)}`)
  for (let n = 0; n < 20; n++) await sc.exchange.publish('room', n)
  proxy.flow()
  await until('the notice', () => sc.stats().recovery.losses === 1)
  t.match(await slow.event('#recovery'), { data: { channel: 'room', recovered: false, reason: 'trimmed' } })
  t.match(published.at(-1), { recovered: false, count: 0, reason: 'trimmed' })
  t.equal(published.length, 6)
})
