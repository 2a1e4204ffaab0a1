import t from 'tap'
import fc from 'fast-check'
import { subjectToken } from '../../../lib/broker/nats/subjects.js'

t.test('subjects: one token, safe, and different for different names', (t) => {
  t.equal(subjectToken('room-1_A'), 'room-1_A')
  t.equal(subjectToken('a.*'), 'a=2E=2A')
  t.equal(subjectToken('>=\n'), '=3E=3D=0A')
  t.equal(subjectToken('é'), '=C3=A9')
  const seen = new Map<string, string>()
  fc.assert(fc.property(fc.oneof(fc.string({ unit: 'grapheme', minLength: 1 }), fc.stringMatching(/^[=.*>A-F0-9a-f]{1,6}$/)), (name) => {
    const token = subjectToken(name)
    const before = seen.get(token)
    seen.set(token, name)
    return /^[\w=-]+$/.test(token) && (before === undefined || before === name)
  }), { numRuns: 5000 })
  t.end()
})
