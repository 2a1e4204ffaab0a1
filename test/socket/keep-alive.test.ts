import t from 'tap'
import { dialects, unknownDialect } from '../../lib/protocol/dialects.js'
import { isPong, judgeSilence, sendPing, takePong } from '../../lib/socket/keep-alive.js'
import { Clock } from '../helpers/clock.js'

function setUp (options: object = {}) {
  const log: unknown[] = []
  const session = {
    dialect: unknownDialect,
    lastSeen: 0,
    connection: { send: (text: string) => { log.push(text) } },
    activity: { paused: false, resumed: false, progressAt: Infinity },
    host: { options: { hookTimeout: 100, handlerTimeout: 300, pingTimeout: 200, ...options } },
    end: (code: number) => { log.push(code) }
  }
  return { session: session as typeof session & Parameters<typeof judgeSilence>[0], log }
}

t.test('one whose version is not known gets both pings, others their own', async (t) => {
  const { session, log } = setUp()
  sendPing(session)
  t.strictSame(log.splice(0), ['#1', ''])
  for (const version of [1, 2] as const) {
    session.dialect = dialects[version]
    sendPing(session)
    t.strictSame(log.splice(0), [dialects[version].ping])
  }
})

t.test('the first pong tells the version, later ones change nothing', async (t) => {
  const { session } = setUp()
  takePong(session, '')
  t.equal(session.dialect, dialects[2])
  takePong(session, '#2')
  t.equal(session.dialect, dialects[2])
  const other = setUp().session
  takePong(other, '#2')
  t.equal(other.dialect, dialects[1])
})

t.test('pongs are texts of either version', async (t) => {
  t.strictSame(['', '#2', '#1', '#', '#22', '{}', Buffer.from(''), Buffer.from('#2')].map((data) => isPong(data)), [true, true, false, false, false, false, false, false])
})

t.test('who is silent is ended', async (t) => {
  const { session, log } = setUp()
  judgeSilence(session)
  t.strictSame(log, [4001])
})

t.test('who was not read for a while gets one more round', async (t) => {
  const clock = new Clock(t)
  const { session, log } = setUp()
  Object.assign(session.activity, { resumed: true })
  judgeSilence(session)
  t.strictSame([log, session.lastSeen, session.activity.resumed], [[], clock.now, false])
  judgeSilence(session)
  t.strictSame(log, [4001])
})

t.test('while nothing is read nobody is silent, until what reading waits for is stuck', async (t) => {
  const clock = new Clock(t)
  const { session, log } = setUp()
  Object.assign(session.activity, { paused: true, progressAt: clock.now - 300 })
  judgeSilence(session)
  t.strictSame(log, [], 'the longest of the times that it may take is not over')
  Object.assign(session.activity, { progressAt: clock.now - 301 })
  judgeSilence(session)
  t.strictSame(log.splice(0), [4429])
  Object.assign(session.activity, { progressAt: Infinity })
  judgeSilence(session)
  t.strictSame(log, [], 'it waits for nothing of ours')
})

t.test('hooks and handlers that may take for ever are never stuck', async (t) => {
  const clock = new Clock(t)
  for (const options of [{ hookTimeout: 0 }, { handlerTimeout: 0 }]) {
    const { session, log } = setUp(options)
    Object.assign(session.activity, { paused: true, progressAt: clock.now - 1e6 })
    judgeSilence(session)
    t.strictSame(log, [])
  }
})
