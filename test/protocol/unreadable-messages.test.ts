// Messages that cannot be read as packets, or must not be.
import t from 'tap'
import { Attacked, attack, tolerance, publish, outcome } from '../helpers/attack.js'
import { type ServerName } from '../helpers/attacked-servers.js'

const attacked = await Attacked.start(t)

attack(t, attacked, [
  {
    what: 'an array whose first item fails',
    async run (t, clients) {
      const { publishes } = await attacked.stats('main')
      for (const first of [{ event: '#disconnect', data: { code: 4100 } }, { event: '#disconnect' }]) {
        const client = await clients.connect()
        client.send([first, publish('after'), { event: '#subscribe', data: 'after', cid: 'x' }, { event: 'echo', cid: 'y' }])
        await client.closed
        t.same(client.inbox.items.filter((packet) => packet.rid !== undefined), [])
      }
      t.equal((await attacked.stats('main')).publishes, publishes)
      const client = await clients.connect()
      client.send([5, null, 'text', [], [[{ event: 'echo', cid: 'nested' }]], { event: 7 }, { event: 'echo', data: 'good', cid: 'good' }])
      t.equal((await client.answer('good')).data, 'good', 'a bad item does not hide a good one')
      t.same(client.inbox.items.filter((packet) => packet.rid === 'nested'), [], 'arrays in arrays are no packets')
    }
  },
  {
    what: 'keys that could reach a prototype',
    async run (t, clients) {
      for (const data of ['{"__proto__":{"polluted":1}}', '{"a":[{"__proto__":1}]}', '{"constructor":{"prototype":{"polluted":1}}}', '[{"a":{"__proto__":null}}]']) {
        for (const message of [`{"event":"echo","data":${data},"cid":"x"}`, `{"event":"#publish","data":{"channel":"a","data":${data}},"cid":"x"}`]) {
          t.match(await outcome(clients, 'main', message), { error: { name: 'InvalidMessageError' } }, message)
        }
      }
      t.match(await outcome(clients, 'main', '{"event":"echo","data":{"constructor":1,"prototype":{}},"cid":"x"}'), { data: { constructor: 1 } }, 'plain keys of these names are data')
      const client = await clients.connect()
      for (let i = 0; i < 3; i++) client.send('{"__proto__":1}')
      t.equal((await client.closed).code, 4400, 'three in a row')
    }
  },
  {
    what: 'deep and many-valued messages',
    async run (t, clients) {
      const nested = (depth: number): string => '['.repeat(depth) + ']'.repeat(depth)
      const objects = (depth: number): string => '{"a":'.repeat(depth) + '1' + '}'.repeat(depth)
      for (const [server, data] of [['main', nested(33)], ['main', nested(1_000)], ['main', objects(5_000)], ['open', nested(200_000)], ['open', objects(100_000)], ['main', `[${'0,'.repeat(20_000)}0]`],
        ['main', `[${'{},'.repeat(15_000)}{}]`]] as Array<[ServerName, string]>) {
        t.match(await outcome(clients, server, `{"event":"echo","data":${data},"cid":"x"}`), { error: { name: 'InvalidMessageError' } }, data.slice(0, 20))
      }
      t.match(await outcome(clients, 'main', `{"event":"echo","data":${nested(30)},"cid":"x"}`), { data: [] }, 'depth that is allowed')
      const client = await clients.connect('open')
      await client.barrier()
      const before = (await attacked.report()).cpu
      const filler = `[${'{},'.repeat(9_000)}{}]`
      for (let i = 0; i < 50; i++) client.send(`{"event":"nobody","data":${filler}}`)
      await client.barrier()
      const each = ((await attacked.report()).cpu - before) / 50 / 1_000
      t.comment(`${each.toFixed(2)} ms for the worst message that is allowed`)
      t.ok(each < 5 * tolerance)
    }
  }
])
