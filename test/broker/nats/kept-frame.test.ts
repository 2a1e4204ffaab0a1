import t from 'tap'
import { keptText, newHistory, publishedText, readKept } from '../../../lib/broker/nats/kept-frame.js'
import { readPositioned } from '../../../lib/broker/remote/history/positioned.js'

t.test('a frame keeps its number of messages beside what nodes read', (t) => {
  const text = keptText({ seq: 4, epoch: 'abc', last: 9, time: 5 }, 3, 'chk', 1_700, 'sc1 m n 1,1,1\n123')
  t.match(readKept(text, 17), { seq: 17, epoch: 'abc', first: 10, last: 12, count: 3, check: 'chk', time: 1_700, text: 'sc1 m n 1,1,1\n123' })
  t.match(readPositioned(publishedText(text)!), { epoch: 'abc', first: 10, check: 'chk', frame: 'sc1 m n 1,1,1\n123' })
  t.end()
})

t.test('the start of a history has an epoch of its own and no message', (t) => {
  const start = newHistory()
  t.not(start.epoch, newHistory().epoch)
  const text = keptText(start, 0, '', 1_700, '')
  t.match(readKept(text, 1), { seq: 1, epoch: start.epoch, first: 1, last: 0, count: 0, check: '', text: '' })
  t.end()
})

t.test('other texts are no frames of the stream', (t) => {
  for (const text of ['', 'sc1 m n 1\n1', 'sc2 abc 1 chk 1 f', '1', '1 ', '1 sc1 m n 1\n1', '100 sc2 abc 1 chk 1 f', 'x sc2 abc 1 chk 1 f']) t.equal(readKept(text, 1), null, JSON.stringify(text))
  t.end()
})
