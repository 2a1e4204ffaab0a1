import t from 'tap'
import { matches, readFilter } from '../../lib/cluster/filter.js'
import { Revocations } from '../../lib/cluster/revocations.js'
import { SocketCommands, type CommandedSocket } from '../../lib/cluster/socket-commands.js'

const iat = Math.floor(Date.now() / 1000) - 10

function start () {
  const log: string[] = []
  const socket = (id: string, authToken: CommandedSocket['authToken'], channels: string[] = []): CommandedSocket => ({
    id,
    authToken,
    deauthenticate: () => { log.push(`${id} deauthenticated`) },
    disconnect: (code, reason) => { log.push(`${id} disconnected ${code} ${reason}`) },
    kickOut: (channel, message) => {
      if (!channels.includes(channel)) return false
      log.push(`${id} kicked out of ${channel}: ${message}`)
      return true
    }
  })
  const sockets = [socket('s1', { sub: 'ann', jti: 'one', iat }, ['room']), socket('s2', { sub: 'ann', jti: 'two', iat }), socket('s3', { sub: 5 as unknown as string, iat }, ['room']), socket('s4', null, ['room'])]
  const revocations = new Revocations(86_400, 0)
  const commands = new SocketCommands({ sockets, revocations, supersede: ({ id }) => { log.push(`${id} superseded`) } })
  return { commands, revocations, log }
}

t.test('to whom a filter applies: every field that is given', (t) => {
  const cases: Array<[filter: object, ids: string[]]> = [
    [{}, ['s1', 's2', 's3', 's4']], [{ user: 'ann' }, ['s1', 's2']], [{ user: 'ann', jti: 'two' }, ['s2']], [{ user: '5' }, ['s3']], [{ socketId: 's4' }, ['s4']], [{ user: 'ann', socketId: 's4' }, []], [{ jti: '' }, []]
  ]
  for (const [filter, ids] of cases) {
    const { commands, log } = start()
    t.equal(commands.run({ do: 'disconnect', filter, code: 4999, reason: 'out' }), ids.length)
    t.strictSame(log, ids.map((id) => `${id} disconnected 4999 out`), JSON.stringify(filter))
  }
  t.ok(matches({ user: '7' }, 'x', { sub: 7 as unknown as string }))
  t.notOk(matches({ user: 'ann' }, 'x', null))
  t.end()
})

t.test('kickOut: those that are in the channel', (t) => {
  const { commands, log } = start()
  t.equal(commands.run({ do: 'kickOut', filter: {}, channel: 'room', message: 'bye' }), 3)
  t.strictSame(log, ['s1', 's3', 's4'].map((id) => `${id} kicked out of room: bye`))
  t.end()
})

t.test('revoke: those with a token lose it, and it is remembered for those that come', (t) => {
  const { commands, revocations, log } = start()
  t.equal(commands.run({ do: 'revoke', filter: { user: 'ann' }, at: Date.now() }), 2)
  t.strictSame(log.splice(0), ['s1 deauthenticated', 's2 deauthenticated'])
  t.ok(revocations.has({ sub: 'ann', iat }))
  t.equal(commands.run({ do: 'revoke', filter: { user: 'bob' } }), 0, 'of a node that does not say when')
  t.ok(revocations.has({ sub: 'bob', iat }))
  t.equal(commands.run({ do: 'revoke', filter: { socketId: 's4' }, at: Date.now() }), 0)
  t.strictSame(log, ['s4 superseded'], 'a token that is on its way to it does not count')
  t.equal(revocations.size, 2, 'a connection is not remembered: it ends')
  t.end()
})

t.test('remember: what another node revoked, if it is news', (t) => {
  const { commands, log } = start()
  const entries = [{ user: '5', at: Date.now() }, { at: Date.now() }]
  t.equal(commands.run({ do: 'remember', entries }), 1)
  t.equal(commands.learn(entries), 0)
  t.strictSame(log, ['s3 deauthenticated'])
  t.end()
})

t.test('what an application may give as a filter', (t) => {
  t.strictSame(readFilter({ user: 5, jti: 'x', socketId: 's', other: 1 } as never, true), { user: '5', jti: 'x', socketId: 's' })
  t.strictSame(readFilter({}, false), {})
  for (const bad of [null, 'ann', 5, { user: null }, { user: {} }, { jti: [] }, { socketId: 5 }, { user: 5n }, { user: 'x'.repeat(1_025) }]) t.throws(() => readFilter(bad as never, false), { code: 'SC_ERR_FILTER' })
  t.throws(() => readFilter({ other: 1 } as never, true), { code: 'SC_ERR_FILTER' }, 'everybody is not meant by mistake')
  t.end()
})
