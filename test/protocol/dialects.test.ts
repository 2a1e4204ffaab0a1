import t from 'tap'
import { dialectOfPong, dialects, unknownDialect } from '../../lib/protocol/dialects.js'

t.test('the versions differ in pings, the handshake, the announced close and the answer to a bad token', async (t) => {
  t.same(dialects, {
    1: { version: 1, ping: '#1', pong: '#2', handshakeNeedsCid: false, disconnectPacket: true, authStatusWithError: true },
    2: { version: 2, ping: '', pong: '', handshakeNeedsCid: true, disconnectPacket: false, authStatusWithError: false }
  })
})

t.test('a pong tells the version', async (t) => {
  t.equal(dialectOfPong('#2'), dialects[1])
  t.equal(dialectOfPong(''), dialects[2])
  for (const other of ['#1', '#', ' ', '{}']) t.equal(dialectOfPong(other), undefined)
})

t.test('one whose version is not known is spoken to in the older one, and is told from it', async (t) => {
  t.same(unknownDialect, dialects[1])
  t.not(unknownDialect, dialects[1])
})
