// exchange.append(): publishes that resolve with the position of their message.
import t from 'tap'
import { Type } from 'typebox'
import { memoryBroker } from '../../lib/index.js'
import { serve } from '../helpers/serve.js'
import { startRedis } from '../helpers/servers.js'
import { engines } from './nodes.js'

t.test('with memory and with Redis', async (t) => {
  const redis = await startRedis(t)
  for (const [name, start] of engines(redis)) {
    await t.test(name, async (t) => {
      const [{ sc }, other] = await start(t, { 'room/:id': { history: { size: 100, ttl: 60_000 }, message: Type.Number() }, plain: {} })
      const positions = await Promise.all([1, 2, 3].map((n) => sc.exchange.append('room/1', n)))
      const { messages } = await other.sc.exchange.history('room/1')
      t.strictSame(messages.map(({ data, position }) => [data, position]), [1, 2, 3].map((n, i) => [n, positions[i]]))
      t.strictSame((await other.sc.exchange.history('room/1', { since: positions[1]! })).messages.map(({ data }) => data), [3])
      t.type(await sc.exchange.append('room/1', 4, { idempotencyKey: 'k' }), 'string')
      t.equal(await other.sc.exchange.append('room/1', 5, { idempotencyKey: 'k' }), null, 'a repeat')
      await other.sc.exchange.publish('room/1', 5, { idempotencyKey: 'k' })
      t.equal((await sc.exchange.history('room/1')).messages.length, 4, 'append and publish have the same keys')
      await t.rejects(sc.exchange.append('plain', 1), { code: 'SC_ERR_NO_HISTORY' })
      await t.rejects(sc.exchange.append('room/1', '1'), { name: 'ValidationError', statusCode: 500 })
      await t.rejects(sc.exchange.append('room/1', 1, { history: false } as never), { code: 'SC_ERR_NO_HISTORY' })
      await t.rejects(sc.exchange.append(5 as never, 1), { code: 'SC_ERR_CHANNEL_TYPE' })
      sc.exchange.append('plain', 1)
    })
  }
})

t.test('while a message is delivered, and after the end', async (t) => {
  const { app, sc } = await serve(null, {}, (app) => { app.scChannel('room/:id', { history: {} }) })
  const inner: Array<Promise<string | null>> = []
  const channel = sc.exchange.subscribe('room/1')
  channel.watch((n) => { if (n === 1) inner.push(sc.exchange.append('room/1', 2)) })
  const first = await sc.exchange.append('room/1', 1)
  const second = await inner[0]
  t.strictSame((await sc.exchange.history('room/1')).messages.map(({ position }) => position), [first, second])
  await app.close()
  await t.rejects(sc.exchange.append('room/1', 3), { name: 'BrokerError' })
})

t.test('a broker that does not tell positions', async (t) => {
  const broker = memoryBroker()
  const { append, ...history } = broker.history!
  Object.assign(broker, { history })
  const { sc } = await serve(t, { broker }, (app) => { app.scChannel('room/:id', { history: {} }) })
  t.type(append, 'function')
  await t.rejects(sc.exchange.append('room/1', 1), { code: 'SC_ERR_NO_POSITIONS', message: /memory/ })
})
