import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import t from 'tap'
import { Inbox } from '../../../lib/broker/remote/inbox.js'
import { Envelope } from '../../../lib/broker/remote/envelope.js'
import { encodeFrame } from '../../../lib/broker/remote/frames.js'

function start () {
  const counters = { framesIn: 0, messagesIn: 0, framesDropped: 0 }
  const seen: unknown[] = []
  const dropped: string[] = []
  const envelope = new Envelope({ id: 'n1', prefix: 'sc' })
  const inbox = new Inbox({
    nodeId: 'n1',
    ownTopic: 'own',
    allTopic: 'all',
    envelope,
    topics: { channelOf: (topic) => topic.startsWith('c:') ? topic.slice(2) : undefined },
    sink: {
      publication: (channel, data, known) => { seen.push([channel, data, known]) },
      control: (message, fromNode) => { seen.push(`${message} of ${fromNode}`) },
      dropped: (reason) => { dropped.push(reason) }
    },
    history: null,
    probeReturned: () => { seen.push('probe') }
  }, counters)
  return { inbox, envelope, seen, dropped, counters }
}

t.test('publications of a channel, one by one; what this node sent itself is known', (t) => {
  const { inbox, envelope, seen, counters } = start()
  const own = envelope.close('c:a', 'm', ['1', '2'], true)
  inbox.receive('c:a', own)
  inbox.receive('c:a', own)
  inbox.receive('c:a', encodeFrame('m', 'n2', ['3']))
  inbox.receive('c:b', encodeFrame('m', 'n1', ['4']))
  t.strictSame(seen, [['a', '1', true], ['a', '2', true], ['a', '1', false], ['a', '2', false], ['a', '3', false], ['b', '4', false]])
  t.strictSame(counters, { framesIn: 4, messagesIn: 6, framesDropped: 0 })
  t.end()
})

t.test('control messages of others, and probes of this node', (t) => {
  const { inbox, seen, counters } = start()
  inbox.receive('all', encodeFrame('c', 'n2', ['x', 'y']))
  inbox.receive('own', encodeFrame('c', 'n3', ['z']))
  inbox.receive('all', encodeFrame('c', 'n1', ['its own']))
  inbox.receive('own', encodeFrame('p', 'n1', ['']))
  t.strictSame(seen, ['x of n2', 'y of n2', 'z of n3', 'probe'])
  inbox.receive('of a channel that was left', encodeFrame('m', 'n2', ['1']))
  t.strictSame([seen.length, counters.framesDropped], [4, 0])
  t.end()
})

t.test('who is heard of is kept, and nothing else of the frame', (t) => {
  const kept: string[] = []
  const inbox = new Inbox({
    nodeId: 'n1',
    ownTopic: 'own',
    allTopic: 'all',
    envelope: new Envelope({ id: 'n1', prefix: 'sc' }),
    topics: { channelOf: () => undefined },
    sink: { publication () {}, control: (_message, fromNode) => { kept.push(fromNode) } },
    history: null,
    probeReturned () {}
  }, { framesIn: 0, messagesIn: 0, framesDropped: 0 })
  setFlagsFromString('--expose-gc')
  const gc = runInNewContext('gc') as () => void
  gc()
  const before = process.memoryUsage().heapUsed
  for (let i = 0; i < 64; i++) inbox.receive('all', encodeFrame('c', `a node with a long name ${i}`.replaceAll(' ', '-'), ['x'.repeat(1_000_000)]))
  gc()
  const more = process.memoryUsage().heapUsed - before
  t.equal(new Set(kept).size, 64)
  t.ok(more < 8_000_000, `${more} bytes more`)
  t.end()
})

t.test('what cannot be used is dropped, with the reason', (t) => {
  const { inbox, seen, dropped, counters } = start()
  const bad: Array<[topic: string, text: string, reason: RegExp]> = [
    ['c:a', 'anything', /cannot be read/],
    ['c:a', 'sc2 m n2 1\n1', /version/],
    ['c:a', encodeFrame('c', 'n2', ['x']), /kind.*channel/],
    ['c:a', encodeFrame('p', 'n1', ['']), /kind.*channel/],
    ['all', encodeFrame('p', 'n1', ['']), /kind.*node/],
    ['own', encodeFrame('p', 'n2', ['']), /kind.*node/],
    ['own', encodeFrame('m', 'n2', ['1']), /kind.*node/]
  ]
  for (const [topic, text] of bad) inbox.receive(topic, text)
  t.match(dropped, bad.map(([, , reason]) => reason))
  t.strictSame([seen, counters], [[], { framesIn: bad.length, messagesIn: 0, framesDropped: bad.length }])
  t.end()
})

t.test('fields of messages that are not known are said, and the messages delivered', (t) => {
  const { inbox, seen, dropped, counters } = start()
  inbox.receive('c:a', encodeFrame('m', 'n2', ['1', '2'], new Map([['later', ['x', '']]])))
  t.strictSame(seen, [['a', '1', false], ['a', '2', false]])
  t.match(dropped, [/fields.*later version/])
  t.equal(counters.framesDropped, 0)
  t.end()
})
