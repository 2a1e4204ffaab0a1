import t, { type Test } from 'tap'
import { OutboundBatch } from '../../lib/socket/outbound-batch.js'
import { Clock } from '../helpers/clock.js'

const turn = async (): Promise<void> => new Promise((resolve) => setImmediate(resolve))

function setUp (t: Test, duration: number | null, send = (_packets: unknown[]): void => {}) {
  const clock = duration === null ? null : new Clock(t)
  const sent: unknown[][] = []
  const faults: unknown[] = []
  const batch = new OutboundBatch({ fault: (err) => { faults.push(err) } }, duration, (packets) => { sent.push(packets); send(packets) })
  return { clock, sent, faults, batch }
}

t.test('what comes in one turn goes as one array', async (t) => {
  const { sent, batch } = setUp(t, null)
  batch.add(1)
  batch.add(2)
  t.strictSame(sent, [])
  await turn()
  t.strictSame(sent, [[1, 2]])
  batch.add(3)
  await turn()
  t.strictSame(sent, [[1, 2], [3]])
})

t.test('or what comes in a time, from the first on', async (t) => {
  const { clock, sent, batch } = setUp(t, 50)
  batch.add(1)
  await clock!.advance(40)
  batch.add(2)
  t.equal(clock!.armed, 1)
  await clock!.advance(9)
  t.strictSame(sent, [])
  await clock!.advance(1)
  t.strictSame(sent, [[1, 2]])
  t.equal(clock!.armed, 0)
})

for (const duration of [null, 50]) {
  t.test(`it goes before its time when it must, and not again (${duration})`, async (t) => {
    const { clock, sent, batch } = setUp(t, duration)
    batch.flush()
    t.strictSame(sent, [])
    batch.add(1)
    batch.flush()
    batch.flush()
    t.strictSame(sent, [[1]])
    await (clock === null ? turn() : clock.advance(100))
    t.strictSame(sent, [[1]])
  })

  t.test(`what is cancelled never goes (${duration})`, async (t) => {
    const { clock, sent, batch } = setUp(t, duration)
    batch.cancel()
    batch.add(1)
    batch.cancel()
    await (clock === null ? turn() : clock.advance(100))
    t.strictSame(sent, [])
  })
}

t.test('what sending throws is a fault', async (t) => {
  const error = new Error('no')
  const { faults, batch } = setUp(t, null, () => { throw error })
  batch.add(1)
  await turn()
  t.strictSame(faults, [error])
  batch.add(2)
  t.throws(() => batch.flush(), error)
})
