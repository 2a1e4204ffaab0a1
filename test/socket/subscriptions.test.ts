import t from 'tap'
import type { SubscriptionOptions } from '../../types/server.js'
import { memorySize } from '../../lib/memory-size.js'
import { Subscriptions, type Subscribed } from '../../lib/socket/subscriptions.js'
import { SharedMessage } from '../../lib/transport/shared-message.js'

const message = (text: string): SharedMessage => new SharedMessage(text)
const guarded = ({ data }: SubscriptionOptions): boolean => data !== undefined
const turn = async (): Promise<void> => new Promise((resolve) => setImmediate(resolve))

/** A socket whose connection has room for so many bytes. */
function setUp (room = Infinity) {
  const log: unknown[] = []
  const connection = {
    holdings: { bytes: 0, add (bytes: number) { this.bytes += bytes } },
    held: 0,
    hold (bytes: number) { connection.held += bytes },
    release (bytes: number) { connection.held -= bytes },
    hasRoom: (bytes: number) => connection.held + bytes <= room,
    awaitRoom () {},
    takeLatest (channel: string) { log.push(`take latest ${channel}`); return undefined },
    publish (sent: SharedMessage, channel: string, policy: string) { log.push(`${channel} ${String(sent.data)} ${policy}`); return policy !== 'drop' }
  }
  const owner = {
    socket: {},
    connection,
    host: {
      fire (event: string, socket: unknown, channel: string) { log.push([event, socket === owner.socket, channel]) },
      hub: { serial: 0, leave (channel: string, who: unknown) { log.push(`hub leave ${channel} ${who === owner}`) } }
    },
    fireLocal (event: string, channel: string) { log.push([event, channel]) },
    fault (err: unknown) { log.push(err) },
    overrun (_message: unknown, _channel: string, policy: string) { log.push(`overrun ${policy}`) },
    slow () { log.push('slow') }
  }
  const subscriptions = new Subscriptions(owner as never as Subscribed)
  return { subscriptions, owner, connection, log, take: () => log.splice(0) }
}

t.test('a socket in no channel', async (t) => {
  const { subscriptions, log } = setUp()
  t.strictSame([subscriptions.size, subscriptions.names, subscriptions.has('a'), subscriptions.get('a'), subscriptions.dataBytes, subscriptions.anyWithheld, subscriptions.waitingDeliveries], [0, [], false, undefined, 0, false, 0])
  subscriptions.leave('a')
  subscriptions.resume('a', 'drop')
  subscriptions.leaveAll()
  subscriptions.letGo()
  t.strictSame(subscriptions.withhold(() => true), [])
  t.strictSame(log, [])
})

t.test('joining and leaving, with what is told of it', async (t) => {
  const { subscriptions, take } = setUp()
  const options = { channel: 'a' }
  subscriptions.join(options)
  subscriptions.join({ channel: 'b' })
  t.strictSame([subscriptions.size, subscriptions.names, subscriptions.has('a'), subscriptions.has('c')], [2, ['a', 'b'], true, false])
  t.strictSame(subscriptions.get('a'), { ...options, serial: 0 })
  t.strictSame(take(), [])
  subscriptions.leave('a')
  t.strictSame(take(), ['take latest a', 'hub leave a true', ['unsubscribe', 'a'], ['unsubscription', true, 'a']])
  t.strictSame([subscriptions.size, subscriptions.names, subscriptions.get('a')], [1, ['b'], undefined])
  subscriptions.leave('a')
  t.strictSame(take(), [], 'it was not in it any more')
})

t.test('the data of subscriptions counts as memory for as long as it is kept', async (t) => {
  const { subscriptions, connection } = setUp()
  const data = { room: 'x'.repeat(100) }
  subscriptions.join({ channel: 'a', data })
  subscriptions.join({ channel: 'b', data: 'text' })
  subscriptions.join({ channel: 'c' })
  const [a, b] = [memorySize(data), memorySize('text')]
  t.match(subscriptions.get('a'), { channel: 'a', data, dataBytes: a })
  t.strictSame([subscriptions.dataBytes, connection.holdings.bytes], [a + b, a + b])
  subscriptions.leave('a')
  subscriptions.leave('c')
  t.strictSame([subscriptions.dataBytes, connection.holdings.bytes], [b, b])
  subscriptions.leave('b')
  t.strictSame([subscriptions.dataBytes, connection.holdings.bytes], [0, 0])
})

t.test('a socket that is closed leaves all channels, also those after one that cannot be left', async (t) => {
  const { subscriptions, owner, take } = setUp()
  for (const channel of ['a', 'b', 'c']) subscriptions.join({ channel })
  const error = new Error('no')
  const { leave } = owner.host.hub
  owner.host.hub.leave = (channel, who) => {
    if (channel === 'b') throw error
    leave(channel, who)
  }
  subscriptions.leaveAll()
  t.equal(subscriptions.size, 0)
  t.strictSame(take().filter((line) => line === error || String(line).startsWith('hub')), ['hub leave a true', error, 'hub leave c true'])
})

t.test('a publication goes to the connection, which says whether it was queued', async (t) => {
  const { subscriptions, take } = setUp()
  subscriptions.join({ channel: 'a' })
  t.equal(subscriptions.deliver(message('1'), 'a', 'latest'), true)
  t.equal(subscriptions.deliver(message('2'), 'a', 'drop'), false)
  t.strictSame(take(), ['a 1 latest', 'a 2 drop'])
})

t.test('what is held back: guarded channels keep their messages until they go out, all others go on', async (t) => {
  const { subscriptions, connection, take } = setUp()
  subscriptions.join({ channel: 'open' })
  subscriptions.join({ channel: 'guarded', data: 1 })
  subscriptions.join({ channel: 'other', data: 1 })
  const { turn } = subscriptions
  t.strictSame(subscriptions.withhold(guarded), ['guarded', 'other'])
  t.equal(subscriptions.turn, turn + 1, 'a check that began before counts no more')
  t.equal(subscriptions.anyWithheld, true)
  take()
  t.equal(subscriptions.deliver(message('1'), 'open', 'latest'), true)
  t.equal(subscriptions.deliver(message('2'), 'guarded', 'drop'), true)
  t.equal(subscriptions.deliver(message('3'), 'guarded', 'drop'), true)
  t.strictSame(take(), ['open 1 latest'])
  t.equal(connection.held, 2)
  t.strictSame(subscriptions.withhold(guarded), ['guarded', 'other'], 'a second change of the token')
  t.equal(connection.held, 2, 'keeps what was kept')
  subscriptions.resume('guarded', 'disconnect')
  t.strictSame(take(), ['guarded 2 disconnect', 'guarded 3 disconnect'])
  t.strictSame([connection.held, subscriptions.anyWithheld], [0, true])
  subscriptions.resume('other', 'disconnect')
  t.equal(subscriptions.anyWithheld, false)
  subscriptions.deliver(message('4'), 'guarded', 'latest')
  t.strictSame(take(), ['guarded 4 latest'])
})

t.test('of a suspended channel nothing is delivered, until it is allowed again', async (t) => {
  const { subscriptions, connection, take } = setUp()
  subscriptions.join({ channel: 'a', data: 1 })
  subscriptions.withhold(guarded)
  subscriptions.deliver(message('kept'), 'a', 'drop')
  subscriptions.suspend('a')
  t.equal(connection.held, 0)
  t.equal(subscriptions.deliver(message('dropped'), 'a', 'drop'), false)
  take()
  subscriptions.withhold(guarded)
  t.equal(subscriptions.deliver(message('dropped too'), 'a', 'drop'), false, 'it stays suspended while it is asked again')
  subscriptions.resume('a', 'latest')
  subscriptions.deliver(message('again'), 'a', 'latest')
  t.strictSame(take(), ['a again latest'])
  subscriptions.suspend('b')
  t.equal(subscriptions.anyWithheld, true, 'also when nothing was held back before')
})

t.test('what was held back is let go with the channel', async (t) => {
  const { subscriptions, connection, take } = setUp()
  subscriptions.join({ channel: 'a', data: 1 })
  subscriptions.withhold(guarded)
  subscriptions.deliver(message('1'), 'a', 'drop')
  t.equal(connection.held, 1)
  subscriptions.leave('a')
  t.equal(connection.held, 0)
  take()
  subscriptions.resume('a', 'drop')
  t.strictSame(take(), [])
})

t.test('a backlog without room for what is held back is an overrun', async (t) => {
  const { subscriptions, take } = setUp(3)
  subscriptions.join({ channel: 'a', data: 1 })
  subscriptions.withhold(guarded)
  take()
  t.equal(subscriptions.deliver(message('123'), 'a', 'disconnect'), true)
  t.equal(subscriptions.deliver(message('4'), 'a', 'disconnect'), false)
  t.strictSame(take(), ['overrun disconnect'])
})

t.test('a publication waits for those before it on its channel, and counts as backlog meanwhile', async (t) => {
  const { subscriptions, connection, log } = setUp()
  let decide!: () => void
  t.equal(subscriptions.deliverInOrder('a', 'json', () => new Promise((resolve) => { decide = resolve })), true)
  t.equal(subscriptions.deliverInOrder('a', 'longer json', () => { log.push('second') }), true)
  t.equal(subscriptions.deliverInOrder('b', 'json', () => { log.push('other channel') }), true)
  t.strictSame(log, ['other channel'])
  t.strictSame([subscriptions.waitingDeliveries, connection.held], [2, (4 + 11) * 2 + 2 * 512])
  decide()
  await turn()
  t.strictSame(log, ['other channel', 'second'])
  t.strictSame([subscriptions.waitingDeliveries, connection.held], [0, 0])
})

t.test('no more wait than the backlog has room for, and never more than 1,024', async (t) => {
  const narrow = setUp(1_000)
  t.equal(narrow.subscriptions.deliverInOrder('a', 'x'.repeat(2_000), async () => {}), true, 'the first waits for nobody')
  narrow.connection.held = 0
  t.equal(narrow.subscriptions.deliverInOrder('a', 'x'.repeat(245), () => {}), false, '1,002 bytes')
  t.equal(narrow.subscriptions.deliverInOrder('a', 'x'.repeat(244), () => {}), true, '1,000 bytes')
  const wide = setUp()
  for (let i = 0; i < 1_024; i++) if (!wide.subscriptions.deliverInOrder('a', '', () => new Promise(() => {}))) t.fail(`delivery ${i}`)
  t.equal(wide.subscriptions.deliverInOrder('a', '', () => {}), false)
  t.equal(wide.subscriptions.deliverInOrder('b', '', () => {}), false, 'of all channels together')
})

t.test('when the connection is gone nothing waits, and nothing is held back', async (t) => {
  const { subscriptions, connection, take } = setUp()
  subscriptions.join({ channel: 'a', data: 1 })
  subscriptions.withhold(guarded)
  let decide!: () => void
  subscriptions.deliverInOrder('b', '', () => new Promise((resolve) => { decide = resolve }))
  subscriptions.deliverInOrder('b', '', () => { t.fail('nothing begins any more') })
  t.equal(subscriptions.waitingDeliveries, 2)
  subscriptions.letGo()
  t.equal(subscriptions.anyWithheld, false)
  t.equal(subscriptions.waitingDeliveries, 1, 'what is under way ends by itself')
  decide()
  await turn()
  t.strictSame([subscriptions.waitingDeliveries, connection.held], [0, 0])
  t.strictSame(take().filter((line) => line instanceof Error), [])
  subscriptions.resume('a', 'drop')
  t.strictSame(take(), [])
})

t.test('a message that the history does not keep does not overtake those that are delivered later', async (t) => {
  const { subscriptions, take } = setUp()
  const position = { epoch: 'e', offset: 1, check: '' }
  t.equal(subscriptions.deliver(message('now'), 'a', 'resume'), true)
  take()
  subscriptions.lag('a', { position: { ...position, offset: 2 }, previous: position })
  t.strictSame(take(), ['slow'])
  t.equal(subscriptions.deliver(message('kept by nobody'), 'a', 'resume'), false)
  t.strictSame(take(), [])
  t.equal(subscriptions.deliver(message('of another channel'), 'b', 'resume'), true)
  subscriptions.skipTo('a', null)
  t.equal(subscriptions.deliver(message('later'), 'a', 'resume'), true)
})

t.test('what a publication is for: the subscription of now, and what it does not have from the history', async (t) => {
  const { subscriptions, owner } = setUp()
  const hub = owner.host.hub as { serial: number }
  const position = (offset: number, epoch = 'e') => ({ epoch, offset, check: '' })
  const expects = (serial: number, at: ReturnType<typeof position> | null = null) => subscriptions.expects({ channel: 'a', serial, position: at })
  t.equal(expects(1), false, 'no subscription')
  hub.serial = 5
  subscriptions.join({ channel: 'a' })
  t.strictSame([expects(5), expects(6), expects(5, position(9)), expects(6, position(9))], [false, true, false, true], 'what was published since it began')
  subscriptions.leave('a')
  hub.serial = 7
  subscriptions.join({ channel: 'a' }, { rights: null, reached: position(10) })
  t.strictSame([expects(7), expects(8)], [false, true], 'messages of the history, and those that it does not keep')
  t.strictSame([expects(8, position(10)), expects(7, position(11))], [false, true], 'the position counts')
  t.strictSame([expects(7, position(99, 'older')), expects(8, position(1, 'newer'))], [false, true], 'but not that of another epoch')
  hub.serial = 20
  subscriptions.lag('a', { position: position(12), previous: position(11) })
  subscriptions.skipTo('a', position(15))
  t.equal(subscriptions.lagOf('a'), undefined)
  t.strictSame([expects(21, position(15)), expects(20, position(16)), expects(20), expects(20, position(99, 'older')), expects(21, position(1, 'newer'))], [false, true, false, false, true])
  subscriptions.withhold(() => true)
  subscriptions.skipTo('a', position(3))
  t.match(subscriptions.lagOf('a'), { position: position(3), state: 'idle' }, 'what follows is withheld')
  t.equal(expects(21, position(4)), true, 'after a loss positions may begin anew')
})
