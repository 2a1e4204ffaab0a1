import t from 'tap'
import { Envelope } from '../../../../lib/broker/remote/envelope.js'
import { indexesOf, readKept, withoutRepeats } from '../../../../lib/broker/remote/history/repeats.js'
import { Inbox } from '../../../../lib/broker/remote/inbox.js'

t.test('the indexes of messages that do not count precede the frame', (t) => {
  t.strictSame(readKept('-0 sc1 m n1 1\n1'), { frame: 'sc1 m n1 1\n1', repeats: [0] })
  t.strictSame(readKept('-3,12,63 rest'), { frame: 'rest', repeats: [3, 12, 63] })
  for (const text of ['sc1 m n1 1\n1', '', '-', '- x', '-1,,2 x', '-1', '-123 x', '-1, x', ' -1 x']) t.strictSame(readKept(text), { frame: text, repeats: [] }, text)
  t.strictSame([indexesOf(''), indexesOf('5'), indexesOf('0,12')], [[], [5], [0, 12]])
  t.strictSame(withoutRepeats(['a', 'b', 'c'], [0, 2]), ['b'])
  t.strictSame(withoutRepeats(['a', 'b'], [7]), ['a', 'b'])
  t.end()
})

for (const keys of [undefined, [Buffer.from('a key of brokers that has more than thirty-two bytes')]]) {
  t.test(`a frame keeps its signature, and this node knows its own frames: ${keys === undefined ? 'without' : 'with'} a key`, (t) => {
    const envelope = new Envelope({ id: 'n1', prefix: 'sc', keys })
    const dropped: string[] = []
    const inbox = new Inbox({
      nodeId: 'n1',
      ownTopic: 'own',
      allTopic: 'all',
      envelope,
      topics: { channelOf: () => 'a' },
      sink: { publication () {}, control () {}, dropped: (reason) => { dropped.push(reason) } },
      history: null,
      probeReturned () {}
    }, { framesIn: 0, messagesIn: 0, framesDropped: 0 })
    const text = envelope.close('c:a', 'm', ['1', '2', '3'], true)
    t.strictSame(inbox.openKept('c:a', `-1 ${text}`), { messages: ['1', '3'], trusted: true })
    t.equal(inbox.openKept('c:a', `-x ${text}`), null)
    t.equal(dropped.length, 1)
    t.end()
  })
}
