import t from 'tap'
import { WithheldChannels } from '../../lib/socket/withheld-channels.js'
import { SharedMessage } from '../../lib/transport/shared-message.js'

const message = (text: string): SharedMessage => new SharedMessage(text)

/** A connection that has room for so many bytes, and keeps the last of one channel. */
function setUp (room = Infinity) {
  const connection = {
    held: 0,
    latest: new Map<string, SharedMessage>(),
    hold (bytes: number) { connection.held += bytes },
    release (bytes: number) { connection.held -= bytes },
    hasRoom: (bytes: number) => connection.held + bytes <= room,
    takeLatest (channel: string) { const last = connection.latest.get(channel); connection.latest.delete(channel); return last }
  }
  return { connection, withheld: new WithheldChannels(connection as never) }
}

t.test('what comes of a kept channel is kept in order and counts as backlog, till it is taken', async (t) => {
  const { connection, withheld } = setUp()
  t.equal(withheld.isEmpty, true)
  withheld.keep('a')
  t.strictSame([withheld.isEmpty, withheld.has('a'), withheld.has('b')], [false, true, false])
  const messages = [message('1'), message('22')]
  for (const each of messages) t.equal(withheld.add('a', each, 'drop'), true)
  t.equal(connection.held, 3)
  withheld.keep('a')
  t.equal(connection.held, 3, 'keeping it again changes nothing')
  t.strictSame(withheld.take('a'), messages)
  t.strictSame([connection.held, withheld.isEmpty], [0, true])
  t.strictSame(withheld.take('a'), [])
})

t.test('so is what waits for room on the connection', async (t) => {
  const { connection, withheld } = setUp()
  const last = message('last')
  connection.latest.set('a', last)
  withheld.keep('a')
  t.strictSame([connection.held, connection.latest.size], [4, 0])
  const next = message('next')
  withheld.add('a', next, 'drop')
  t.strictSame(withheld.take('a'), [last, next])
  t.equal(connection.held, 0)
})

t.test('what comes of a suspended channel is dropped, and what was kept too', async (t) => {
  const { connection, withheld } = setUp()
  withheld.keep('a')
  withheld.add('a', message('1'), 'drop')
  withheld.suspend('a')
  t.strictSame([connection.held, withheld.has('a')], [0, true])
  t.equal(withheld.add('a', message('2'), 'drop'), false)
  t.strictSame(withheld.take('a'), [])
  withheld.suspend('b')
  withheld.keep('b')
  t.equal(withheld.add('b', message('3'), 'drop'), true, 'it may be kept again')
})

t.test('a channel that is not held back keeps nothing', async (t) => {
  const { withheld } = setUp()
  t.equal(withheld.add('a', message('1'), 'drop'), false)
})

t.test('without room the policy decides; "latest" makes room by what is older', async (t) => {
  const { connection, withheld } = setUp(3)
  withheld.keep('a')
  t.equal(withheld.add('a', message('12'), 'drop'), true)
  t.equal(withheld.add('a', message('34'), 'drop'), null)
  t.equal(connection.held, 2)
  t.equal(withheld.add('a', message('5'), 'disconnect'), true)
  const last = message('678')
  t.equal(withheld.add('a', last, 'latest'), true)
  t.equal(connection.held, 3)
  t.strictSame(withheld.take('a'), [last])
})

t.test('no more than 1,024 messages of a channel are kept', async (t) => {
  const { connection, withheld } = setUp()
  withheld.keep('a')
  for (let n = 0; n < 1_024; n++) t.equal(withheld.add('a', message('x'), 'drop'), true)
  t.equal(withheld.add('a', message('x'), 'drop'), null, 'the policy decides about the next, as about one that waits for hooks')
  t.equal(connection.held, 1_024)
  t.equal(withheld.take('a').length, 1_024)
})
