// More packets than may come, one by one and in arrays.
import t from 'tap'
import { Attacked, attack } from '../helpers/attack.js'
import { RawClient } from '../helpers/raw.js'
import { serve } from '../helpers/serve.js'

const attacked = await Attacked.start(t)

attack(t, attacked, [
  {
    what: 'ten times the rate, and arrays that are too long',
    async run (t, clients) {
      const client = await clients.connect()
      for (let cid = 1_000; cid < 1_500; cid++) client.send({ event: 'echo', cid })
      const limited = await client.inbox.take((packet) => packet.error?.name === 'RateLimitError', 'a RateLimitError')
      t.ok(limited.error.retryAfter > 0, `retryAfter ${limited.error.retryAfter} ms`)
      const timer = setInterval(() => { for (let i = 0; i < 10 && client.ws.readyState === 1; i++) client.send({ event: 'echo' }) }, 10)
      t.equal((await client.closed).code, 4429)
      clearInterval(timer)
      const { publishes } = await attacked.stats('main')
      const other = await clients.connect()
      other.send(Array(1_300).fill({ event: '#publish', data: { channel: 'm' } }))
      t.equal((await other.closed).code, 4413)
      t.equal((await attacked.stats('main')).publishes, publishes, 'none of them counts')
      const authenticating = await clients.connect()
      for (let i = 0; i < 10; i++) authenticating.send({ event: '#authenticate', data: 'bad', cid: 100 + i })
      t.equal((await authenticating.closed).code, 4429, '#authenticate has a limit of its own')
    }
  }
])

t.test('arrays have a limit', async (t) => {
  const { port, sc } = await serve(t, { maxBatchItems: 10 })
  const publish = { event: '#publish', data: { channel: 'a', data: 1 } }
  const client = await RawClient.connect(t, port)
  client.send(Array(10).fill(publish))
  await client.barrier()
  t.equal(sc.stats().publishes, 10)
  client.send(Array(11).fill(publish))
  t.equal((await client.closed).code, 4413)
  t.equal(sc.stats().publishes, 10, 'not one of them counts')
  const other = await RawClient.connect(t, port)
  other.send([publish, { event: '#disconnect', data: { code: 4100 } }, publish, publish])
  t.equal((await other.closed).code, 4100)
  t.equal(sc.stats().publishes, 11)
})
