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
  t.strictSame(texts().map((text) => text.split('+').length), [64, 64, 2, 1], 'full ones go out at once, the rest of a channel stays behind them')
  outbox.publish('d', 'x'.repeat(maxFrameSize))
  await tick()
  outbox.publish('d', '')
  await tick()
  t.strictSame(texts().length, 5, 'one that is as long as a frame may be is full')
})

t.test('a busy channel: what is published while a frame is on its way goes in one frame when the engine answered', async (t) => {
  const { outbox, batches, counters, texts } = start()
  outbox.publish('a', '1')
  await tick()
  const meanwhile = [outbox.publish('a', '2'), outbox.publish('b', '1')]
  await tick()
  t.strictSame(texts(), ['topic a m 1', 'topic b m 1'], 'another channel waits for nothing')
  meanwhile.push(outbox.publish('a', '3'), outbox.send('node', 'c', 'x'))
  await tick()
  t.strictSame(texts().slice(2), ['node c x'], 'nor does a message of the cluster')
  t.equal(meanwhile[2], meanwhile[0])
  batches[1]![0]!.settle()
  await tick()
  t.equal(batches.length, 3, 'the answer for another channel says nothing')
  batches[0]![0]!.settle()
  outbox.publish('a', '4')
  await tick()
  t.strictSame(texts().slice(3), ['topic a m 2+3+4'])
  t.same(counters, { framesOut: 4, messagesOut: 6 })
  batches[3]![0]!.settle()
  t.equal(await meanwhile[0], undefined)
  outbox.publish('a', '5')
  await tick()
  t.equal(texts().at(-1), 'topic a m 5', 'nothing is on its way: nothing waits')
})

t.test('a busy channel: a frame that is full does not wait, and the order is kept', async (t) => {
  const { outbox, batches, texts } = start()
  const publish = (first: number, count: number): void => { for (let i = first; i < first + count; i++) outbox.publish('a', `${i}`) }
  publish(0, 1)
  await tick()
  publish(1, 60)
  await tick()
  t.equal(batches.length, 1)
  publish(61, 4)
  await tick()
  t.equal(batches.length, 2, 'the 64th fills it')
  publish(65, 1)
  await tick()
  const refused = t.rejects(outbox.publish('a', 'x'.repeat(maxFrameSize)), { name: 'BrokerError' }, 'each frame has its own answer')
  publish(66, 1)
  await tick()
  t.equal(batches.length, 3)
  t.equal(batches[2]!.length, 2, 'one that does not fit sends what waited before it')
  batches[0]![0]!.settle()
  batches[1]![0]!.settle()
  batches[2]![0]!.settle()
  await tick()
  t.equal(batches.length, 3, 'the last of those on their way is not answered')
  batches[2]![1]!.settle(new Error('no'))
  await refused
  await tick()
  const sent = texts().flatMap((text) => text.slice('topic a m '.length).split('+')).filter((message) => message.length < 10)
  t.strictSame(sent, Array.from({ length: 67 }, (_, i) => `${i}`))
})

t.test('a busy channel: at the end what waits goes out, and when the engine is gone it fails', async (t) => {
  const ending = start()
  ending.outbox.publish('a', '1')
  await tick()
  ending.outbox.publish('a', '2')
  await tick()
  const done = ending.outbox.finish(60_000)
  t.strictSame(ending.texts(), ['topic a m 1', 'topic a m 2'])
  for (const frame of ending.batches.flat()) frame.settle()
  await done

  const gone = start()
  const sent = gone.outbox.publish('a', '1')
  await tick()
  const waits = gone.outbox.publish('a', '2')
  await tick()
  const settled = Promise.allSettled([sent, waits])
  gone.outbox.fail(new Error('gone'))
  t.match(await settled, [{ status: 'rejected' }, { status: 'rejected', reason: { message: 'gone' } }])
  await tick()
  t.equal(gone.batches.length, 1)
  gone.outbox.publish('a', '3')
  await tick()
  t.equal(gone.texts().at(-1), 'topic a m 3', 'the next engine begins anew')
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
  outbox.publish('b', '2')
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
