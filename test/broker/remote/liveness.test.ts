import t, { type Test } from 'tap'
import { Liveness } from '../../../lib/broker/remote/liveness.js'
import { Clock } from '../../helpers/clock.js'

function start (t: Test) {
  const clock = new Clock(t)
  const seen = { waitingSince: Infinity, probes: 0, lost: [] as string[] }
  const liveness: Liveness = new Liveness({ timeout: 2_000, probeInterval: 10_000 }, {
    get waitingSince () { return seen.waitingSince },
    probe: () => { seen.probes++ },
    lost: (cause) => {
      seen.lost.push(cause.message)
      liveness.stop()
    }
  })
  liveness.start()
  return { clock, seen, liveness }
}

t.test('an engine that answers, and whose probes come back, lives', async (t) => {
  const { clock, seen, liveness } = start(t)
  for (let i = 1; i <= 10; i++) {
    await clock.advance(10_000)
    t.equal(seen.probes, i)
    liveness.returned()
  }
  t.strictSame(seen.lost, [])
  liveness.stop()
  t.equal(clock.armed, 0)
})

t.test('what the engine owes for longer than the timeout', async (t) => {
  const { clock, seen } = start(t)
  seen.waitingSince = clock.now
  await clock.advance(2_000)
  t.strictSame(seen.lost, [], 'not a moment earlier')
  await clock.advance(500)
  t.strictSame(seen.lost, ['no answer within 2000 ms; see the option timeout'])
})

t.test('a probe that does not come back until the next', async (t) => {
  const { clock, seen } = start(t)
  await clock.advance(19_500)
  t.strictSame([seen.probes, seen.lost], [1, []])
  await clock.advance(500)
  t.strictSame(seen.lost, ['a probe did not come back within 10000 ms; see the option probeInterval'])
})

t.test('a process that was busy reads first what waits', async (t) => {
  const { clock, seen } = start(t)
  seen.waitingSince = clock.now
  await clock.stall(60_000)
  t.strictSame(seen.lost, [])
  seen.waitingSince = Infinity
  await clock.advance(1_000)
  t.strictSame(seen.lost, [], 'the answer was there')
})

t.test('a start anew remembers no probe of before', async (t) => {
  const { clock, seen, liveness } = start(t)
  await clock.advance(10_000)
  liveness.stop()
  liveness.start()
  await clock.advance(10_000)
  t.strictSame([seen.probes, seen.lost], [2, []])
})
