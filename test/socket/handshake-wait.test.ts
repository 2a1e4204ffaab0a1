import t from 'tap'
import { Deadlines } from '../../lib/deadlines.js'
import { HandshakeWait } from '../../lib/socket/handshake-wait.js'
import { Clock } from '../helpers/clock.js'

function setUp (strictHandshake = true, fail = false) {
  const log: unknown[] = []
  const wait = new HandshakeWait({
    host: { options: { strictHandshake } },
    disconnect (code) { log.push(['disconnect', code]); if (fail) throw new Error('no') },
    end: (code) => { log.push(['end', code]) },
    fault: (err) => { log.push((err as Error).message) }
  })
  return { wait, log }
}

t.test('who makes no handshake in time is disconnected', async (t) => {
  const clock = new Clock(t)
  const deadlines = new Deadlines(100)
  const [late, inTime, broken] = [setUp(), setUp(), setUp(true, true)]
  for (const { wait } of [late, inTime, broken]) deadlines.add(wait)
  inTime.wait.cancel()
  await clock.advance(200)
  t.strictSame([late.log, inTime.log, broken.log], [[['disconnect', 4005]], [], [['disconnect', 4005], 'no']])
  t.equal(late.wait.begun, false)
})

t.test('who says anything else first is ended', async (t) => {
  for (const message of ['text', 7, null, undefined, {}, [], { event: '#publish' }, [{ event: '#handshake' }]]) {
    const { wait, log } = setUp()
    t.equal(wait.refuses(message), true)
    t.strictSame(log, [['end', 4009]])
  }
  const { wait, log } = setUp()
  t.equal(wait.refuses({ event: '#handshake' }), false)
  t.strictSame(log, [])
})

t.test('unless the server is not strict', async (t) => {
  const { wait, log } = setUp(false)
  t.equal(wait.refuses({ event: 'anything' }), false)
  t.strictSame(log, [])
})
