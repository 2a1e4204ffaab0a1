// Encoded messages of histories are shared, until there are too many or the codec changes.
import t from 'tap'
import { KeptMessages } from '../../lib/exchange/kept-messages.js'
import { SharedMessage } from '../../lib/transport/shared-message.js'

const codec = () => ({ encode: JSON.stringify, decode: JSON.parse })
const entry = (offset: number) => ({ position: { epoch: 'e', offset, check: '' }, time: 0, data: '' })

t.test('a message is encoded once, and anew for another codec', (t) => {
  const kept = new KeptMessages()
  const [first, second] = [entry(1), entry(2)]
  const [one, other] = [codec(), codec()]
  let encoded = 0
  const get = (which: typeof first, by: typeof one) => kept.get(which, by, () => new SharedMessage(String(++encoded)))
  t.equal(get(first, one), get(first, one))
  t.not(get(second, one), get(first, one))
  t.equal(encoded, 2)
  get(first, other)
  t.equal(encoded, 3)
  t.throws(() => kept.get(entry(3), other, () => { throw new Error('no') }), { message: 'no' })
  t.end()
})

t.test('all are dropped when they take more than 8 MiB', (t) => {
  const kept = new KeptMessages()
  const by = codec()
  const entries = [1, 2, 3, 4].map(entry)
  let encoded = 0
  const get = (which: typeof entries[number]) => kept.get(which, by, () => {
    encoded++
    return new SharedMessage('x'.repeat(1_350_000))
  })
  for (const each of entries.slice(0, 3)) get(each)
  get(entries[0]!)
  t.equal(encoded, 3)
  get(entries[3]!)
  get(entries[0]!)
  t.equal(encoded, 5)
  t.end()
})
