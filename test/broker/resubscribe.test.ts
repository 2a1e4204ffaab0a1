import type { AddressInfo } from 'node:net'
import Fastify from 'fastify'
import t, { type Test } from 'tap'
import { natsBroker } from '../../lib/broker/nats/index.js'
import { redisBroker } from '../../lib/broker/redis/index.js'
import { scPlugin, type ScPluginOptions } from '../../lib/index.js'
import { generations } from '../helpers/app.js'
import { RawClient } from '../helpers/raw.js'
import { authKey, serve } from '../helpers/serve.js'
import { startNats, startRedis, type TestServer } from '../helpers/servers.js'
import { until } from '../helpers/waiting.js'

const quick = { autoReconnect: true, autoReconnectOptions: { initialDelay: 20, randomness: 20, multiplier: 1, maxDelay: 100 }, connectTimeout: 30_000, ackTimeout: 30_000 }

async function restart (t: Test, port: number, options: ScPluginOptions = {}) {
  const app = Fastify()
  await app.register(scPlugin, { authKey, closeTimeout: 500, ...options })
  await app.listen({ port, host: '127.0.0.1' })
  t.teardown(() => app.close())
  return app
}

for (const [generation, connect] of generations) {
  // Only clients of the newer generation can send what they have at a handshake in arrays.
  for (const batch of generation === 14 ? [false] : [false, true]) {
    t.test(`client ${generation}${batch ? ', its packets in arrays' : ''}: a thousand channels come back after a restart, and each receives`, async (t) => {
      let app = await restart(t, 0)
      const { port } = app.server.address() as AddressInfo
      const client = await connect(t, { port }, { ...quick, ...(batch ? { batchOnHandshake: true, batchOnHandshakeDuration: 300, batchInterval: 50, pubSubBatchDuration: 50 } : {}) })
      const names = Array.from({ length: 1_000 }, (_, i) => `room/${i}`)
      const failures: unknown[] = []
      for (const name of names) client.subscribe(name).catch((err: unknown) => failures.push(err))
      for (let round = 0; round < 3; round++) {
        await until('a thousand subscriptions', () => app.scServer.stats().subscriptions === 1_000 && names.every((name) => client.isSubscribed(name)))
        await Promise.all(names.map((name) => app.scServer.exchange.publish(name, { round })))
        for (const name of names) t.strictSame(await client.next(name), { round }, { diagnostic: false })
        t.strictSame(failures, [])
        if (round === 2) break
        await app.close()
        app = await restart(t, port)
      }
      await client.close()
    })
  }
}

t.test('subscribes are free up to the limit of channels, and not beyond', async (t) => {
  const { port, sc } = await serve(t, { socketChannelLimit: 300, inboundRate: 0.01, inboundBurst: 10, maxBatchItems: 20 })
  const client = await RawClient.connect(t, port)
  // In one array, and one by one.
  client.send(Array.from({ length: 100 }, (_, i) => ({ event: '#subscribe', data: { channel: `a${i}` }, cid: 1_000 + i })))
  for (let i = 0; i < 100; i++) t.equal((await client.answer(1_000 + i)).error, undefined, { diagnostic: false })
  for (let i = 0; i < 199; i++) client.send({ event: '#subscribe', data: { channel: `b${i}` }, cid: 2_000 + i })
  for (let i = 0; i < 199; i++) t.equal((await client.answer(2_000 + i)).error, undefined, { diagnostic: false })
  t.equal(sc.stats().subscriptions, 299)
  // Churn: from the 300th subscribe on they count, and unsubscribes always did.
  let limited = 0
  for (let i = 0; i < 12 && limited === 0; i++) {
    const answers = [await client.call('#unsubscribe', 'b0'), await client.call('#subscribe', 'b0')]
    limited += answers.filter(({ error }) => error?.name === 'RateLimitError').length
  }
  t.ok(limited > 0, 'who subscribes and unsubscribes all the time meets the rate')
})

t.test('an array of other packets is as long as maxBatchItems says', async (t) => {
  const { port } = await serve(t, { maxBatchItems: 20, socketChannelLimit: 50 })
  const subscribes = (count: number): unknown[] => Array.from({ length: count }, (_, i) => ({ event: '#subscribe', data: { channel: `a${i}` } }))
  const others = (count: number): unknown[] => Array.from({ length: count }, () => ({ event: 'x' }))
  const good = await RawClient.connect(t, port)
  good.send([...subscribes(50), ...others(20)])
  await good.barrier()
  for (const packets of [others(21), [...subscribes(50), ...others(21)], subscribes(71)]) {
    const client = await RawClient.connect(t, port)
    client.send(packets)
    t.equal((await client.closed).code, 4413)
  }
})

for (const engine of ['redis', 'nats'] as const) {
  t.test(engine, async (t) => {
    const server = await (engine === 'redis' ? startRedis(t) : startNats(t))
    if (server === null) return t.plan(0, `${engine} is not installed`)
    const broker = (server: TestServer) => engine === 'redis'
      ? redisBroker({ url: `redis://127.0.0.1:${server.port}`, maxRetryDelay: 100 })
      : natsBroker({ servers: `127.0.0.1:${server.port}`, maxRetryDelay: 100 })
    const state = (sc: { brokerState: string }, wanted: string) => until(`the state ${wanted}`, () => sc.brokerState === wanted)

    await t.test('stock clients that subscribe while it is killed are subscribed when it is back', async (t) => {
      const { port, sc, warnings } = await serve(t, { broker: broker(server), subscribeTimeout: 25_000 })
      const clients = await Promise.all(generations.map(([, connect]) => connect(t, { port }, quick)))
      await server.kill()
      // Some while its end is being noticed, some later.
      const names = Array.from({ length: 200 }, (_, i) => `room/${i}`)
      const subscribing = names.slice(0, 50).flatMap((name) => clients.map((client) => client.subscribe(name)))
      await state(sc, 'down')
      subscribing.push(...names.slice(50).flatMap((name) => clients.map((client) => client.subscribe(name))))
      for (const client of clients) await t.rejects(client.publish('elsewhere', 'lost'), { name: 'BrokerError' }, 'it is read on, and a publish fails at once')
      t.equal(sc.stats().subscriptions, 0)
      await server.restart()
      await Promise.all(subscribing)
      t.equal(sc.stats().subscriptions, 400)
      await Promise.all(names.map((name) => sc.exchange.publish(name, name)))
      for (const client of clients) for (const name of names) t.equal(await client.next(name), name, { diagnostic: false })
      t.strictSame(warnings.filter(({ code }) => code === 'SC_ERR_BROKER'), [], 'nobody was told of a failure')
      for (const client of clients) await client.close()
    })

    await t.test('order, giving up, the end of the time, and the end of the connection', async (t) => {
      const { port, sc } = await serve(t, { broker: broker(server), subscribeTimeout: 25_000 })
      const short = await serve(t, { broker: broker(server), subscribeTimeout: 1_500 })
      const noWait = await serve(t, { broker: broker(server), subscribeTimeout: 0 })
      const [client, gone, waiting, impatient] = [await RawClient.connect(t, port), await RawClient.connect(t, port), await RawClient.connect(t, short.port), await RawClient.connect(t, noWait.port)]
      await server.kill()
      await Promise.all([sc, short.sc, noWait.sc].map((sc) => state(sc, 'down')))
      t.match((await impatient.call('#subscribe', 'a')).error, { name: 'BrokerError' }, 'without a time to wait it fails at once')
      // The end of the time; more wait than may wait on hooks, and reading goes on.
      const late = Array.from({ length: 100 }, (_, i) => waiting.call('#subscribe', `late${i}`))
      await waiting.barrier()
      for (const { error } of await Promise.all(late)) t.match(error, { name: 'BrokerError', message: /^Failed to subscribe socket to the late/ }, { diagnostic: false })
      t.equal(short.sc.stats().subscriptions, 0)
      // Given up, alone and in one array; each is answered, at once.
      const given = client.call('#subscribe', 'given up')
      await client.barrier()
      t.equal((await client.call('#unsubscribe', 'given up')).error, undefined)
      t.match((await given).error, { name: 'BrokerError', message: /unsubscribed meanwhile/ })
      client.send([
        { event: '#subscribe', data: 'twice', cid: 901 }, { event: '#unsubscribe', data: 'twice', cid: 902 },
        { event: '#subscribe', data: 'twice', cid: 903 }, { event: '#unsubscribe', data: 'twice', cid: 904 },
        { event: '#subscribe', data: 'twice', cid: 905 }
      ])
      t.match([await client.answer(901), await client.answer(902), await client.answer(903), await client.answer(904)], [{ error: Object }, { error: undefined }, { error: Object }, { error: undefined }])
      // The end of the connection: its subscription does not come to life.
      gone.call('#subscribe', 'gone').catch(() => {})
      await gone.barrier()
      await gone.close()
      await server.restart()
      t.equal((await client.answer(905)).error, undefined, 'the last word was to subscribe')
      await state(sc, 'up')
      t.equal(sc.stats().subscriptions, 1)
      await sc.exchange.publish('twice', 1)
      t.equal(await client.publication('twice'), 1)
      t.match((await client.call('#unsubscribe', 'gone')).error, { code: 'SC_ERR_NOT_SUBSCRIBED' })
    })
  })
}
