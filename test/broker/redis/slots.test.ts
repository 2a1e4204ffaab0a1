import t from 'tap'
import { readSlots, slotOf } from '../../../lib/broker/redis/slots.js'

t.test('slots of a Redis Cluster', (t) => {
  t.equal(slotOf('123456789'), 0x31c3)
  t.equal(slotOf('{user1000}.following'), slotOf('user1000'))
  t.equal(slotOf('foo{{bar}}zap'), slotOf('{bar'))
  t.not(slotOf('foo{}{bar}'), slotOf('bar'), 'empty braces count as text')
  const map = readSlots([[0, 8191, ['', 7000, 'x']], [8192, 16383, ['10.0.0.2', 7001, 'y'], ['10.0.0.3', 7002, 'z']]], { host: 'seed', port: 1 }, (address) => address)
  t.strictSame(map.masters, [{ host: 'seed', port: 7000 }, { host: '10.0.0.2', port: 7001 }])
  t.strictSame([map.owner[0], map.owner[8191], map.owner[8192], map.owner[16383]], [0, 0, 1, 1])
  t.throws(() => readSlots([[0, 100, ['h', 1, 'x']]], { host: 'seed', port: 1 }, (address) => address), { message: /101 of 16384/ })
  t.end()
})
