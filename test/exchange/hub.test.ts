// Who of a process is in which channel, and what becomes of a publication there.
import { subscribe, unsubscribe } from 'node:diagnostics_channel'
import t from 'tap'
import type { Subscriber } from '../../lib/exchange/deliver.js'
import { slices } from '../../lib/slices.js'
import { ManualBroker } from '../broker/manual-broker.js'
import { Clock } from '../helpers/clock.js'
import { matchEach } from '../helpers/match-each.js'
import { Recipient, declared, publication, setUpHub } from './parts.js'

const nothing = (): void => {}

/** A broker whose answers the test gives, and a hub on it. */
function manual () {
  const broker = new ManualBroker()
  const set = setUpHub({ broker })
  broker.sink.state('up')
  return { ...set, broker, answer: (err?: Error) => broker.answerLast(err) }
}

t.test('publications reach who is in the channel, and nobody else', async (t) => {
  const { hub, link } = setUpHub()
  const [ada, bob, eve] = [new Recipient('ada'), new Recipient('bob'), new Recipient('eve')]
  const entered: string[] = []
  t.equal(hub.join('a', declared(), ada, () => { entered.push('ada') }), undefined)
  t.equal(hub.join('a', declared(), bob, () => { entered.push('bob') }), undefined)
  hub.join('b', declared(), eve, nothing)
  t.strictSame(entered, ['ada', 'bob'])
  t.strictSame([hub.channelCount, [...hub.channels()], hub.memberCount('a'), hub.memberCount('b'), hub.memberCount('c')], [2, ['a', 'b'], 2, 1, 0])
  link.publish('a', '1')
  link.publish('a', '')
  t.strictSame(ada.got, [publication('a', 1), publication('a', undefined)])
  t.strictSame(ada.how, ['a drop', 'a drop'])
  t.equal(ada.messages[0], bob.messages[0], 'encoded once for all')
  t.strictSame(eve.got, [])
  t.strictSame([hub.deliveries, hub.dropped], [4, 0])
})

t.test('the broker is asked once for a channel that is held', async (t) => {
  const { hub, link } = setUpHub()
  const held: string[] = []
  const { hold } = link
  link.hold = (channel) => { held.push(channel); return hold.call(link, channel) }
  for (const id of ['ada', 'bob']) hub.join('a', declared(), new Recipient(id), nothing)
  hub.watch('a', declared(), { receive: nothing })
  t.strictSame([held, hub.memberCount('a')], [['a'], 2])
})

t.test('a channel is let go with the last who is in it, and not before', async (t) => {
  const { hub, link } = setUpHub()
  const released: string[] = []
  link.release = (channel) => { released.push(channel) }
  const [ada, bob] = [new Recipient('ada'), new Recipient('bob')]
  const watcher = { receive: nothing }
  for (const each of [ada, bob]) hub.join('a', declared(), each, nothing)
  hub.watch('a', declared(), watcher)
  hub.leave('a', new Recipient('somebody else'))
  hub.leave('b', ada)
  hub.leave('a', ada)
  hub.leave('a', ada)
  hub.leave('a', bob)
  t.strictSame([released, hub.memberCount('a'), hub.channelCount], [[], 0, 1], 'the server itself is in it')
  hub.unwatch('a', { receive: nothing })
  hub.unwatch('b', watcher)
  t.equal(hub.channelCount, 1, 'only who watches can end it')
  hub.unwatch('a', watcher)
  t.strictSame([released, hub.channelCount], [['a'], 0])
  hub.unwatch('a', watcher)
  hub.join('a', declared(), ada, nothing)
  hub.watch('a', declared(), watcher)
  hub.unwatch('a', watcher)
  t.strictSame([released, hub.memberCount('a')], [['a'], 1], 'a client is in it')
  hub.leave('a', ada)
  t.strictSame(released, ['a', 'a'])
})

t.test('watchers get the JSON after the members, whatever becomes of those', async (t) => {
  const { hub, warnings } = setUpHub()
  const order: string[] = []
  const ada = new Recipient('ada')
  ada.deliver = () => { order.push('member'); return true }
  hub.watch('a', declared(), { receive: (json) => { order.push(`watcher ${json}`) } })
  hub.deliver('a', '[]')
  hub.deliver('nobody', '[]')
  hub.join('a', declared(), ada, nothing)
  hub.deliver('a', '1')
  hub.deliver('a', '')
  t.strictSame(order, ['watcher []', 'member', 'watcher 1', 'member', 'watcher '])
  t.strictSame(warnings, [])
})

t.test('while the broker is asked nothing is delivered; then who waited is in', async (t) => {
  const { hub, broker, answer } = manual()
  const [ada, bob] = [new Recipient('ada'), new Recipient('bob')]
  const joined: string[] = []
  const waiting = [ada, bob].map(async (each) => hub.join('a', declared(), each, () => { joined.push(each.id) }))
  hub.deliver('a', '1')
  t.strictSame([joined, ada.got, hub.memberCount('a'), hub.channelCount], [[], [], 0, 1])
  await answer()
  await Promise.all(waiting)
  t.strictSame(joined, ['ada', 'bob'])
  hub.deliver('a', '2')
  t.strictSame([ada.got, bob.got], [[publication('a', 2)], [publication('a', 2)]])
  t.equal(hub.join('a', declared(), new Recipient('eve'), () => { joined.push('eve') }), undefined, 'the broker delivers it already')
  t.strictSame(joined, ['ada', 'bob', 'eve'])
  t.strictSame(broker.calls, [], 'it was asked once')
})

t.test('a channel that the broker refuses is not kept, and may be asked for again', async (t) => {
  const { hub, link, answer } = manual()
  const released: string[] = []
  link.release = (channel) => { released.push(channel) }
  const ada = new Recipient('ada')
  const refused = hub.join('a', declared(), ada, () => { t.fail('she is in') }) as Promise<void>
  const failed = t.rejects(refused, { name: 'BrokerError', message: 'not today' })
  await answer(new Error('not today'))
  await failed
  t.strictSame([hub.channelCount, hub.memberCount('a'), released], [0, 0, []], 'what was never held is not released')
  const again = hub.join('a', declared(), ada, nothing)
  await answer()
  await again
  t.equal(hub.memberCount('a'), 1)
})

t.test('who waits for the broker keeps the channel, although others leave', async (t) => {
  const { hub, link } = setUpHub()
  const held: Array<{ resolve: () => void, reject: (err: Error) => void }> = []
  const released: string[] = []
  link.hold = () => new Promise<void>((resolve, reject) => { held.push({ resolve, reject }) })
  link.release = (channel) => { released.push(channel) }
  const [ada, bob] = [new Recipient('ada'), new Recipient('bob')]
  const first = hub.join('a', declared(), ada, nothing)
  const second = hub.join('a', declared(), bob, nothing) as Promise<void>
  held[0]!.resolve()
  await first
  hub.leave('a', ada)
  t.strictSame([hub.channelCount, released], [1, []], 'bob still waits')
  const failed = t.rejects(second, { message: 'gone' })
  held[1]!.reject(new Error('gone'))
  await failed
  t.strictSame([hub.channelCount, released], [0, ['a']])
})

t.test('a slow subscriber is counted, and one that fails robs nobody', async (t) => {
  const { hub } = setUpHub()
  const [ada, bob, eve] = [new Recipient('ada'), new Recipient('bob'), new Recipient('eve')]
  ada.broken = new Error('a bug')
  bob.keepsUp = false
  for (const each of [ada, bob, eve]) hub.join('a', declared({ slowConsumerPolicy: 'latest' }), each, nothing)
  hub.deliver('a', '1')
  t.strictSame([ada.faults, bob.faults], [[ada.broken], []])
  t.strictSame(eve.got, [publication('a', 1)])
  t.strictSame(eve.how, ['a latest'], 'with the policy that the channel declares')
  t.strictSame([hub.deliveries, hub.dropped], [1, 1])
  t.strictSame([hub.policyOf(declared()), hub.policyOf(declared({ slowConsumerPolicy: 'disconnect' }))], ['drop', 'disconnect'])
})

t.test('a gap is told once to each: of a channel, or of any', async (t) => {
  const { hub } = setUpHub()
  const [ada, bob, eve] = [new Recipient('ada'), new Recipient('bob'), new Recipient('eve')]
  for (const channel of ['a', 'b']) for (const each of [ada, bob]) hub.join(channel, declared(), each, nothing)
  hub.join('c', declared(), eve, nothing)
  ada.broken = new Error('a bug')
  hub.announceGap('gap', 'a')
  hub.announceGap('gap', 'nobody')
  hub.announceGap('gap', null)
  const [one, all] = ['a', null].map((channel) => JSON.stringify({ event: 'gap', data: { channel } }))
  t.strictSame([bob.got, eve.got], [[one, all], [all]])
  t.strictSame(bob.how, [' disconnect', ' disconnect'], 'who has no room for it must not believe that it missed nothing')
  t.strictSame(ada.faults, [ada.broken, ada.broken])
})

t.test('a codec of the application\'s gets publications and gaps as objects', async (t) => {
  const encoded: unknown[] = []
  const codec = { encode: (packet: unknown) => { encoded.push(packet); return `<${JSON.stringify(packet)}>` }, decode: nothing } as never
  const { hub } = setUpHub({ plainJson: false, codec })
  const ada = new Recipient('ada')
  hub.join('a', declared(), ada, nothing)
  hub.deliver('a', '{"n":1}')
  hub.deliver('a', '')
  hub.announceGap('gap', 'a')
  const packets = [
    { event: '#publish', data: { channel: 'a', data: { n: 1 } } },
    { event: '#publish', data: { channel: 'a' } },
    { event: 'gap', data: { channel: 'a' } }
  ]
  t.strictSame(encoded, packets)
  t.strictSame(ada.got, packets.map((packet) => `<${JSON.stringify(packet)}>`))
})

t.test('what is published is told to diagnostics, with its bytes', async (t) => {
  const told: unknown[] = []
  const listener = (message: unknown): void => { told.push(message) }
  const { hub } = setUpHub()
  hub.join('a', declared(), new Recipient('ada'), nothing)
  hub.deliver('a', '1')
  subscribe('sc:publish', listener)
  t.teardown(() => { unsubscribe('sc:publish', listener) })
  hub.deliver('a', '1')
  t.strictSame(told, [{ channel: 'a', bytes: publication('a', 1).length }])
})

t.test('whom hooks leave out, and whose hooks take too long, the server is told of', async (t) => {
  const clock = new Clock(t)
  const { hub, leftOut } = setUpHub({ hookTimeout: 50 })
  const error = new Error('not for her')
  const [ada, bob] = [new Recipient('ada'), new Recipient('bob')]
  const hook = (request: any): unknown => { if (request.socket.id === 'ada') throw error; return new Promise(() => {}) }
  for (const each of [ada, bob]) hub.join('a', declared({ publishOut: [hook] }), each, nothing)
  hub.deliver('a', '1')
  slices.finish()
  await clock.advance(1_000)
  await bob.running
  matchEach(t, leftOut, [['ada', 'a', { thrown: error }], ['bob', 'a', { thrown: { code: 'SC_ERR_HOOK_TIMEOUT' } }]])
  t.strictSame([ada.got, bob.got, hub.deliveries, hub.dropped], [[], [], 0, 0])
})

t.test('publications for hooked recipients wait within bounds: beyond them the hooks are asked at once', async (t) => {
  const clock = new Clock(t)
  const { hub } = setUpHub()
  let asked = 0
  /** One call takes the whole slice of a turn. */
  const slow = (): void => {
    asked++
    clock.now += 5
  }
  await new Promise(setImmediate)
  const members = ['ada', 'bob', 'eve'].map((id) => new Recipient(id))
  for (const each of members) hub.join('a', declared({ publishOut: [slow] }), each, nothing)
  const half = JSON.stringify('x'.repeat(512 * 1024 - 2))
  hub.deliver('a', half)
  t.equal(asked, 1, 'the others wait for another turn')
  hub.deliver('a', half)
  t.equal(asked, 1, 'exactly as much as may wait')
  hub.deliver('a', '1')
  t.equal(asked, 9)
  for (const each of members) t.strictSame(each.got.map((text) => text.length), [half, half, '1'].map((json) => publication('a', 0).length + json.length - 1), 'in order')
  // What was worked off waits no more.
  await new Promise(setImmediate)
  asked = 0
  hub.deliver('a', half)
  t.equal(asked, 1)
  await new Promise<void>((resolve) => { members[2]!.deliver = () => { resolve(); return true } })
  t.equal(asked, 3)
})

t.test('a hooked recipient that fails robs nobody', async (t) => {
  const { hub } = setUpHub()
  const [ada, bob] = [new Recipient('ada'), new Recipient('bob')]
  const broken = new Error('a bug')
  ada.deliverInOrder = (): boolean => { throw broken }
  for (const each of [ada, bob] as Subscriber[]) hub.join('a', declared({ publishOut: [nothing] }), each, nothing)
  hub.deliver('a', '1')
  slices.finish()
  t.strictSame([ada.faults, bob.faults], [[broken], []])
  t.strictSame(bob.got, [publication('a', 1)])
})

t.test('the one whose data are as they were gets the message that all get', async (t) => {
  const { hub } = setUpHub()
  const edit = (request: any): void => { request.data = request.socket.id === 'ada' ? { n: 1 } : { n: 2 } }
  const [ada, bob, eve] = [new Recipient('ada'), new Recipient('bob'), new Recipient('eve')]
  for (const each of [ada, bob]) hub.join('a', declared({ publishOut: [edit] }), each, nothing)
  hub.deliver('a', '{"n":1}')
  slices.finish()
  t.strictSame([ada.got, bob.got], [[publication('a', { n: 1 })], [publication('a', { n: 2 })]])
  const max = new Recipient('max')
  hub.join('c', declared({ publishOut: [(request: any) => request.socket.id === 'max' ? request.data : undefined] }), max, nothing)
  hub.join('c', declared(), bob, nothing)
  hub.deliver('c', '{"n":1}')
  slices.finish()
  t.equal(max.messages[0], bob.messages[1], 'the very same')
  hub.join('b', declared({ publishOut: [(request: any) => { request.data = Object.assign(() => {}, {}) }] }), eve, nothing)
  hub.deliver('b', '1')
  slices.finish()
  t.strictSame(eve.got, [publication('b', undefined)], 'what has no JSON is no data')
})
