import t from 'tap'
import { ReadPositions } from '../../lib/exchange/read-positions.js'

const at = (offset: number) => ({ epoch: 'e', offset, check: '' })

t.test('the position is that of the message before those that wait', (t) => {
  const positions = new ReadPositions()
  t.equal(positions.get(0), null)
  for (let n = 1; n <= 5; n++) positions.add(at(n), n - 1)
  for (let waiting = 0; waiting < 5; waiting++) t.equal(positions.get(waiting)!.offset, 5 - waiting)
  positions.add(null, 5)
  t.equal(positions.get(0)!.offset, 5, 'a message without a position has that of the one before')
  t.equal(positions.get(1)!.offset, 5)
  t.equal(positions.get(2)!.offset, 4)
  positions.begin(at(9))
  t.equal(positions.get(0)!.offset, 9)
  t.equal(positions.get(2)!.offset, 4, 'loops that have not read all messages are still before it')
  t.end()
})

t.test('only as many positions are kept as messages wait', (t) => {
  const positions = new ReadPositions()
  let waiting = 0
  for (let n = 1; n <= 100_000; n++) {
    positions.add(at(n), waiting)
    waiting = n < 100 ? 0 : n % 100
    if (positions.get(waiting)!.offset !== n - waiting) t.fail(`${n} with ${waiting}`)
  }
  t.equal(positions.get(0)!.offset, 100_000)
  t.end()
})
