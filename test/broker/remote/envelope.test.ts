import t from 'tap'
import { Envelope, type OpenedFrame } from '../../../lib/broker/remote/envelope.js'

const key = Buffer.from('a key of tests that has more than thirty-two bytes')
const make = (keys?: Buffer[], id = 'n1') => new Envelope({ id, prefix: 'sc', keys })

t.test('without a key: only what this node sent, to the letter and once, is trusted', (t) => {
  const envelope = make()
  const isTrusted = (topic: string, text: string): boolean => {
    const opened = envelope.open(topic, text) as OpenedFrame
    t.match(opened, { kind: 'm', messages: [/^\d$/], fields: null, hasUnknown: false })
    return opened.trusted
  }
  const text = envelope.close('a', 'm', ['1'], true)
  t.equal(text, 'sc1 m n1 1\n1')
  t.notOk(isTrusted('b', text))
  t.ok(isTrusted('a', text))
  t.notOk(isTrusted('a', text), 'a second time')
  const [lost, next] = [envelope.close('a', 'm', ['4'], true), envelope.close('a', 'm', ['5'], true)]
  t.strictSame(envelope.open('a', next), { kind: 'm', nodeId: 'n1', messages: ['5'], fields: null, hasUnknown: false, trusted: true })
  t.notOk(isTrusted('a', lost), 'one before it cannot come any more')
  const notHeard = envelope.close('a', 'm', ['2'], false)
  t.notOk(isTrusted('a', notHeard))
  const forgotten = envelope.close('a', 'm', ['3'], true)
  envelope.forget()
  t.notOk(isTrusted('a', forgotten))
  const foreign = make(undefined, 'n2').close('a', 'm', ['1'], true)
  t.notOk(isTrusted('a', foreign))
  t.end()
})

t.test('with a key: all that is signed for its topic', (t) => {
  const [one, other] = [make([key]), make([key], 'n2')]
  const text = other.close('a', 'm', ['1'], false)
  t.match(one.open('a', text), { nodeId: 'n2', messages: ['1'], trusted: true })
  t.match(one.open('b', text), /signature that does not fit/)
  t.end()
})

t.test('why something cannot be used', (t) => {
  const [plain, signed] = [make(), make([key])]
  t.match(plain.open('a', 'x'), /cannot be read/)
  t.match(plain.open('a', signed.close('a', 'm', ['1'], false)), /are signed.*brokerKey/)
  t.match(signed.open('a', plain.close('a', 'm', ['1'], false)), /without a signature.*brokerKey/)
  for (const envelope of [plain, signed]) for (const text of ['sc2 m n1 1\n1', 'sc2s x']) t.match(envelope.open('a', text), /of a version that this process does not read/)
  t.end()
})
