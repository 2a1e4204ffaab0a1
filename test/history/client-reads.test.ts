// Clients read histories by `#history` from a process that shares them with others.
import t, { type Test } from 'tap'
import { redisBroker } from '../../lib/broker/redis/index.js'
import { RawClient } from '../helpers/raw.js'
import { serve } from '../helpers/serve.js'
import { startRedis } from '../helpers/servers.js'
import { until } from '../helpers/waiting.js'

const numbers = ({ data }: any): unknown[] => data.messages.map((message: any) => message.data)

function node (t: Test, port: number) {
  return serve(t, { broker: redisBroker({ url: `redis://127.0.0.1:${port}` }), brokerPrefix: 'history', inboundRate: 0 }, (app) => {
    app.scChannel('room', { history: { size: 1_000 }, recover: true })
  })
}

t.test('what clients read with #history over Redis, with messages that come meanwhile', async (t) => {
  const redis = await startRedis(t)
  if (redis === null) return t.plan(0, 'redis-server is not installed')
  const [served, publisher] = [await node(t, redis.port), await node(t, redis.port)]
  for (let n = 1; n <= 50; n++) await publisher.sc.exchange.publish('room', n)
  const client = await RawClient.connect(t, served.port)
  await client.call('#subscribe', { channel: 'room' })
  const { data: { pos, messages } } = await client.call('#history', { channel: 'room', limit: 5 })
  t.same(messages.map(({ data }: any) => data), [46, 47, 48, 49, 50])
  for (let round = 0; round < 20; round++) {
    const from = 51 + round * 10
    const published = Promise.all(Array.from({ length: 10 }, (_, i) => publisher.sc.exchange.publish('room', from + i)))
    const answer = await client.call('#history', { channel: 'room', limit: 3, ...(round % 2 === 0 ? {} : { since: messages[0].pos }) })
    await published
    const live = client.inbox.items.splice(0).filter(({ event }) => event === '#publish').map(({ data }) => data.data)
    while ((live.at(-1) ?? from - 1) < from + 9) live.push(await client.publication('room') as number)
    t.same(live, Array.from({ length: 10 }, (_, i) => from + i))
    t.equal(answer.error, undefined)
    if (round % 2 === 0) t.equal(answer.data.messages.length, 3)
    else t.same(numbers(answer), [47, 48, 49])
  }
  const all: unknown[] = []
  for (let since = pos, gap = 'limit'; gap === 'limit';) {
    const answer = await client.call('#history', { channel: 'room', since, limit: 90 })
    all.push(...numbers(answer))
    ;({ pos: since, gap } = answer.data)
  }
  t.same(all, Array.from({ length: 200 }, (_, i) => 51 + i))
  await redis.kill()
  await until('the outage', () => served.sc.stats().broker.state === 'down')
  t.match(await client.call('#history', { channel: 'room' }), { error: { name: 'BrokerError' } })
})
