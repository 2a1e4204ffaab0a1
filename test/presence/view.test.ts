// The pace of messages, and words of nodes that are gone, with time that the test makes.
import t, { type Test } from 'tap'
import type { Delta } from '../../lib/presence/messages.js'
import type { BrokerState } from '../../types/broker.js'
import { Alarms } from '../../lib/presence/alarms.js'
import { OwnChannel, type OwnChannelPort } from '../../lib/presence/own-channel.js'
import { PostponedLeaves } from '../../lib/presence/postponed-leaves.js'
import { View } from '../../lib/presence/view.js'
import { SharedMessage } from '../../lib/transport/shared-message.js'
import { Clock } from '../helpers/clock.js'
import { lease, leaveDelay, Network } from './simulation.js'

function setUp (t: Test, limits: { members?: number, interval?: number } = {}, clock = new Clock(t), whenOthersAreKnown = (leave: () => void): void => leave()) {
  const sent: any[] = []
  const asked: string[] = []
  const alarms = new Alarms((err) => { throw err })
  const ownPort: OwnChannelPort = { alarms, stamp: () => 1, whenOthersAreKnown, changed: (_own, key) => view.touch([key]) }
  const own = new OwnChannel('room', ownPort)
  const view: View = new View('room', { members: 1_000, leaveDelay: 1_000, interval: 250, ...limits }, {
    alarms,
    codec: JSON as never,
    own: () => own,
    encode: (_channel, json) => new SharedMessage(json),
    send: (_channel, json) => { sent.push({ at: clock.now, ...JSON.parse(json) }) },
    isObserved: () => false,
    tell () {},
    ask: (node) => { asked.push(node) },
    whenOthersAreKnown
  })
  const enter = (count: number, from = 0): void => { for (let i = from; i < from + count; i++) own.enter({}, `user ${i}`, '') }
  return { alarms, asked, clock, enter, own, sent, view }
}

t.test('changes of one interval travel together, and larger rooms collect them longer', async (t) => {
  const { clock, enter, sent } = setUp(t)
  enter(3)
  await clock.advance(249)
  t.equal(sent.length, 0)
  await clock.advance(1)
  t.match(sent, [{ type: 'diff', total: 3 }])
  enter(900, 3)
  await clock.advance(250)
  t.equal(sent[1].total, 903)
  enter(1, 903)
  await clock.advance(1_249)
  t.equal(sent.length, 2, '250 ms and four times as much for 903 users')
  await clock.advance(1)
  t.equal(sent.length, 3)
})

t.test('who comes and leaves within an interval is not mentioned', async (t) => {
  const { clock, own, sent } = setUp(t)
  const socket = {}
  own.enter(socket, 'ada', '')
  own.exit(socket, 0)
  await clock.advance(5_000)
  t.same(sent, [])
})

t.test('above members there is at most one message in a second, with the number only', async (t) => {
  const { clock, enter, sent } = setUp(t, { members: 100, interval: 10 })
  enter(101)
  await clock.advance(10)
  for (let i = 0; i < 100; i++) {
    enter(10, 101 + i * 10)
    await clock.advance(50)
  }
  await clock.advance(1_000)
  t.ok(sent.every(({ type }) => type === 'count'))
  t.equal(sent.at(-1).total, 1_101)
  t.ok(sent.length <= 7, `${sent.length} messages in 6 seconds`)
  for (const [i, { at }] of sent.entries()) if (i !== 0) t.ok(at - sent[i - 1].at >= 1_000, `${at - sent[i - 1].at} ms`)
})

t.test('a list is encoded once, until it changes', async (t) => {
  const { clock, enter, view } = setUp(t)
  const { first } = view
  t.equal(view.first, first)
  enter(1)
  t.equal(view.first, first, 'a change that was not told')
  await clock.advance(250)
  t.not(view.first, first)
})

const delta = (fields: Partial<Delta>): Delta => ({ n: 'n2', p: 0, v: 1, j: [], l: [], ...fields })

t.test('a missing delta makes the node to be asked, once', async (t) => {
  const { asked, clock, sent, view } = setUp(t)
  view.take(delta({ v: 5, j: [['ada', 1, '']] }))
  view.take(delta({ p: 6, v: 7, j: [['bob', 1, '']] }))
  t.same(asked, ['n2'])
  view.asked('n2')
  view.take(delta({ p: 7, v: 8, l: ['ada'] }))
  view.learn('n2', 7, [['ada', 1, ''], ['bob', 1, ''], ['cem', 1, '']])
  t.same(asked, ['n2'])
  await clock.advance(250)
  t.match(sent, [{ joins: [{ key: 'bob' }, { key: 'cem' }], total: 2 }])
})

t.test('a delta that is lost between the question and its answer makes the node to be asked again', async (t) => {
  const { asked, view } = setUp(t)
  view.asked('n2')
  view.take(delta({ p: 8, v: 9, j: [['bob', 1, '']] }))
  view.learn('n2', 7, [['ada', 1, '']])
  t.same(asked, ['n2'])
})

t.test('an answer to no question changes nothing', async (t) => {
  const { asked, view } = setUp(t)
  view.take(delta({ v: 5, j: [['ada', 1, '']] }))
  view.unanswered('n2')
  view.learn('n2', 4, [])
  t.same(asked, ['n2'])
  t.same([...view.users.keys()], ['ada'])
})

t.test('a node that is back keeps its users, also when it is gone once more', async (t) => {
  const { clock, sent, view } = setUp(t)
  view.take(delta({ j: [['ada', 1, '']] }))
  view.gone('n2', 0)
  await clock.advance(900)
  view.back('n2')
  view.gone('n2', 0)
  await clock.advance(900)
  t.same([...view.users.keys()], ['ada'])
  await clock.advance(400)
  t.match(sent.at(-1), { leaves: ['ada'], total: 0 })
})

t.test('a node that reaches the engine again 7 seconds after this one keeps its users', async (t) => {
  const clock = new Clock(t)
  const alarms = new Alarms((err) => { throw err })
  const link = { broker: { shared: true }, state: 'up' as BrokerState }
  const leaves = new PostponedLeaves({ alarms, link })
  t.equal(leaves.up(), false, 'for the first time')
  const { view } = setUp(t, {}, clock, (leave) => leaves.run(leave))
  for (const n of ['n2', 'n3']) view.take(delta({ n, j: [[`user of ${n}`, 1, '']] }))
  // Heartbeats are missed before the engine is thought to be down.
  for (const n of ['n2', 'n3']) view.gone(n, 0)
  link.state = 'down'
  leaves.down()
  await clock.advance(60_000)
  t.equal(view.users.size, 2, 'nobody leaves during an outage')
  link.state = 'up'
  t.equal(leaves.up(), true)
  await clock.advance(7_500)
  view.back('n2')
  await clock.advance(2_000)
  t.equal(view.users.size, 2)
  await clock.advance(1_000)
  t.same([...view.users.keys()], ['user of n2'])
  alarms.stop()
})

t.test('of data from several nodes the newest count, and the same everywhere when they are equally old', async (t) => {
  const { view } = setUp(t)
  view.take(delta({ n: 'n2', j: [['ada', 5, '"old"']] }))
  view.take(delta({ n: 'n3', j: [['ada', 6, '"new"']] }))
  view.take(delta({ n: 'n4', j: [['ada', 6, '"also"']] }))
  t.same([...view.users], [['ada', '"new"']])
  view.end()
})

t.test('a node that did not answer is asked again later, also when nobody is there', async (t) => {
  const clock = new Clock(t)
  const network = new Network()
  network.start()
  network.start()
  const [node, other] = network.nodes
  network.loses = () => true
  network.watch(node!)
  await clock.advance(10)
  await clock.advance(20_000)
  network.loses = () => false
  t.same(await node!.presence.read('room'), { members: [], total: 0, complete: false })
  await clock.advance(15_000)
  t.same(await node!.presence.read('room'), { members: [], total: 0, complete: true })
  for (const { presence } of [node!, other!]) presence.stop()
})

t.test('who begins to look is shown also users of a node that is gone, and they leave at the same time everywhere', async (t) => {
  const clock = new Clock(t)
  const network = new Network()
  for (let i = 0; i < 3; i++) network.start()
  const [doomed, watching, late] = network.nodes
  network.watch(watching!)
  for (const user of ['ada', 'bob']) network.join(doomed!, user, 1)
  await clock.advance(1_000)
  network.kill(doomed!)
  await clock.advance(lease + 1_000)
  network.watch(late!)
  await clock.advance(10)
  await clock.advance(90)
  t.same([...late!.follower!.users.keys()], ['ada', 'bob'])
  network.join(late!, 'ada', 1)
  await clock.advance(leaveDelay - lease - 1_000 - 200)
  for (const { follower } of [watching!, late!]) t.same([...follower!.users.keys()], ['ada', 'bob'])
  await clock.advance(500)
  for (const { follower } of [watching!, late!]) {
    t.same([...follower!.users.keys()], ['ada'])
    t.same(follower!.leaves, ['bob'])
    t.same(follower!.mistakes, [])
  }
  t.equal(late!.follower!.joins, 0, 'nobody came who was there')
  for (const { presence } of [watching!, late!]) presence.stop()
  t.equal(clock.armed, 0)
})

t.test('what is told of a node that is gone is ignored by those who know better', async (t) => {
  const { clock, view } = setUp(t)
  view.take(delta({ j: [['ada', 1, '']] }))
  view.inherit('n2', 100, [['bob', 1, '']])
  t.same([...view.users.keys()], ['ada'], 'a node that is known')
  view.inherit('n3', 1_000, [['bob', 1, '']])
  t.same([...view.users.keys()], ['ada'], 'a node that was silent for longer than leaveDelay')
  view.inherit('n4', 100, [['cem', 1, '']])
  t.match(view.goneNodes, [{ id: 'n4', silence: 100 }])
  await clock.advance(500)
  t.match(view.goneNodes, [{ id: 'n4', silence: 600 }])
  view.back('n4')
  t.same(view.goneNodes, [])
  await clock.advance(1_000)
  t.same([...view.users.keys()], ['ada', 'cem'])
})

t.test('late words of a node that is gone do not bring its users back for good', async (t) => {
  const clock = new Clock(t)
  const network = new Network()
  network.start()
  const [node] = network.nodes
  network.watch(node!)
  await clock.advance(10)
  node!.presence.publication('\u0001presence:room', JSON.stringify(delta({ n: 'dead', j: [['ada', 1, '']] })))
  await clock.advance(200)
  t.same([...node!.follower!.users.keys()], ['ada'])
  await clock.advance(21_000)
  t.same([...node!.follower!.users.keys()], [])
  for (const text of ['', '{', '{}', JSON.stringify(delta({ n: 'x', j: [['ada', 1, '{']] })), JSON.stringify(delta({ n: '../x' }))]) node!.presence.publication('\u0001presence:room', text)
  node!.presence.publication('\u0001presence:elsewhere', '{')
  await clock.advance(200)
  t.same([...node!.follower!.users.keys()], [], 'what cannot be read is ignored')
  node!.presence.stop()
  t.equal(clock.armed, 0, 'no timer is left')
})
