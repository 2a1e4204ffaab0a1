import { setImmediate as tick } from 'node:timers/promises'
import t, { type Test } from 'tap'
import type { OutboundFrame } from '../../../lib/broker/remote/engine.js'
import { maxFrameMessages, maxFrameSize } from '../../../lib/broker/remote/frames.js'
import { Outbox } from '../../../lib/broker/remote/outbox.js'
import { Clock } from '../../helpers/clock.js'

function start () {
  const counters = { framesOut: 0, messagesOut: 0 }
  const batches: OutboundFrame[][] = []
  const asked: string[] = []
  const outbox = new Outbox({
    topicOf: (channel) => {
      asked.push(channel)
      return `topic ${channel}`
    },
    close: (topic, kind, messages) => `${topic} ${kind} ${messages.join('+')}`,
    send: (frames) => { batches.push([...frames]) }
  }, counters)
  return { outbox, batches, counters, asked, texts: () => batches.flat().map(({ text }) => text) }
}

t.test('messages of a tick: one frame for each channel, one batch for all, one promise for those who share a frame', async (t) => {
  const { outbox, batches, counters, asked, texts } = start()
  const promises = [outbox.publish('a', '1'), outbox.publish('b', '2'), outbox.publish('a', '3'), outbox.send('node', 'c', 'x'), outbox.publish('a', '4')]
  t.equal(batches.length, 0)
  t.equal(new Set(promises).size, 3)
  await tick()
  t.strictSame(texts(), ['topic a m 1+3+4', 'topic b m 2', 'node c x'])
  t.strictSame([batches.length, counters, asked], [1, { framesOut: 3, messagesOut: 5 }, ['a', 'b']], 'the topic is made once for each frame')
  batches[0]![1]!.settle()
  await promises[1]
  const refusal = new Error('no')
  batches[0]![0]!.settle(refusal)
  await t.rejects(promises[0]!, { name: 'BrokerError', message: 'no', cause: refusal })
  // The next tick begins anew.
  const next = outbox.publish('a', '5')
  t.not(next, promises[0])
  await tick()
  t.equal(texts().at(-1), 'topic a m 5')
})

t.test('a frame takes so many messages, or so much', async (t) => {
  const { outbox, texts } = start()
  for (let i = 0; i < maxFrameMessages * 2 + 1; i++) outbox.publish('a', 'x')
  outbox.publish('b', 'x'.repeat(maxFrameSize - 1))
  outbox.publish('b', 'x')
  outbox.publish('b', 'y')
  outbox.publish('c', 'x'.repeat(maxFrameSize * 2))
  await tick()
  t.strictSame(texts().map((text) => text.split('+').length), [64, 64, 1, 2, 1, 1])
})

t.test('since when the engine owes an answer: for the oldest frame', async (t) => {
  const clock = new Clock(t)
  const { outbox, batches } = start()
  t.equal(outbox.waitingSince, Infinity)
  outbox.publish('a', '1')
  t.equal(outbox.waitingSince, Infinity, 'it was not asked yet')
  await tick()
  const first = clock.now
  await clock.advance(50)
  outbox.publish('a', '2')
  await tick()
  t.equal(outbox.waitingSince, first)
  batches[0]![0]!.settle()
  t.equal(outbox.waitingSince, first + 50)
  batches[1]![0]!.settle()
  t.equal(outbox.waitingSince, Infinity)
})

t.test('when the engine is gone everything fails, sent or not, and nothing goes out any more', async (t) => {
  const { outbox, batches } = start()
  const sent = outbox.publish('a', '1')
  await tick()
  const waiting = outbox.publish('a', '2')
  const settled = Promise.allSettled([sent, waiting])
  outbox.fail(new Error('gone'))
  t.match(await settled, [{ status: 'rejected', reason: { message: 'gone' } }, { status: 'rejected', reason: { message: 'gone' } }])
  await tick()
  t.equal(batches.length, 1)
  t.equal(outbox.waitingSince, Infinity)
  batches[0]![0]!.settle()
})

async function finishes (t: Test, patience: number, act: (batches: OutboundFrame[][]) => void): Promise<void> {
  const { outbox, batches, texts } = start()
  outbox.publish('a', '1').catch(() => {})
  const done = outbox.finish(patience)
  t.strictSame(texts(), ['topic a m 1'], 'at once')
  act(batches)
  await done
}

t.test('the end: what this tick holds goes out, and the answers are waited for, but not for ever', async (t) => {
  await finishes(t, 60_000, ([batch]) => batch![0]!.settle())
  await finishes(t, 60_000, ([batch]) => batch![0]!.settle(new Error('refused')))
  await finishes(t, 5, () => {})
  await start().outbox.finish(60_000)
})
