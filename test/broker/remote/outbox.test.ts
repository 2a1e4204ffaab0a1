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

t.test('messages of running code: one frame for each channel, one batch for all, one promise for those who share a frame', async (t) => {
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

t.test('a quiet process sends at once what running code published, a busy one once in a turn', async (t) => {
  const { outbox, batches, texts } = start()
  const afterTick = (): Promise<void> => new Promise((resolve) => { process.nextTick(resolve) })
  outbox.publish('a', '1')
  outbox.publish('b', '1')
  t.equal(batches.length, 0, 'running code may publish more')
  await afterTick()
  t.strictSame([batches.length, texts()], [1, ['topic a m 1', 'topic b m 1']], 'before other work of the turn')
  outbox.publish('c', '1')
  await afterTick()
  t.equal(batches.length, 1, 'until the engine answers there is one write in a turn')
  outbox.publish('d', '1')
  await tick()
  t.strictSame([batches.length, texts().slice(2)], [2, ['topic c m 1', 'topic d m 1']])
  for (const frame of batches.flat()) frame.settle()
  outbox.publish('a', '2')
  await afterTick()
  t.equal(texts().at(-1), 'topic a m 2')
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
  await tick()
  t.strictSame(texts().slice(3), ['topic a m 2+3+4'])
  t.same(counters, { framesOut: 4, messagesOut: 6 })
  batches[3]![0]!.settle()
  t.equal(await meanwhile[0], undefined)
  outbox.publish('a', '5')
  await tick()
  t.equal(texts().at(-1), 'topic a m 5', 'nothing is on its way: nothing waits')
})

t.test('a busy channel: after the answer a frame stays open while each turn adds to it, not for long', async (t) => {
  const clock = new Clock(t)
  const waiting = async () => {
    const set = start()
    set.outbox.publish('a', '1')
    await tick()
    set.outbox.publish('a', '2')
    await tick()
    set.batches[0]![0]!.settle()
    return set
  }
  const grown = await waiting()
  for (const message of ['3', '4', '5']) {
    grown.outbox.publish('a', message)
    grown.outbox.publish(`of ${message}`, 'x')
    await tick()
    t.equal(grown.texts().at(-1), `topic of ${message} m x`, 'another channel does not wait for it')
  }
  await tick()
  t.equal(grown.texts().at(-1), 'topic a m 2+3+4+5', 'a turn without a message ends it')

  const quiet = await waiting()
  await tick()
  t.equal(quiet.texts().at(-1), 'topic a m 2', 'without a message it goes at once')

  const late = await waiting()
  late.outbox.publish('a', '3')
  clock.now += 1
  await tick()
  t.equal(late.texts().at(-1), 'topic a m 2+3', 'its time is over')

  const full = await waiting()
  for (let i = 0; i < maxFrameMessages; i++) full.outbox.publish('a', 'x')
  await tick()
  t.strictSame(full.texts().slice(1).map((text) => text.split('+').length), [64], 'it is full')
  full.batches[1]![0]!.settle()
  await tick()
  t.equal(full.texts().at(-1), 'topic a m x', 'and the order is kept')

  const mixed = await waiting()
  mixed.outbox.publish('a', '3')
  mixed.outbox.publish('a', 'kept', { size: 1, ttl: 1 })
  mixed.outbox.publish('a', 'also', { size: 2, ttl: 1 })
  for (let i = 0; i < 3; i++) {
    await tick()
    mixed.batches.at(-1)!.at(-1)!.settle()
  }
  t.strictSame(mixed.texts().slice(1), ['topic a m 2+3', 'topic a m kept', 'topic a m also'], 'nothing overtakes it')

  const ended = await waiting()
  ended.outbox.publish('a', '3')
  await tick()
  const done = ended.outbox.finish(60_000)
  t.equal(ended.texts().at(-1), 'topic a m 2+3', 'the end does not wait')
  ended.batches[1]![0]!.settle()
  await done

  const gone = await waiting()
  const lost = t.rejects(gone.outbox.publish('a', '3'), { message: 'gone' })
  await tick()
  gone.outbox.fail(new Error('gone'))
  await lost
  await tick()
  t.equal(gone.batches.length, 1)
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

t.test('the end: what was just published goes out, and the answers are waited for, but not for ever', async (t) => {
  await finishes(t, 60_000, ([batch]) => batch![0]!.settle())
  await finishes(t, 60_000, ([batch]) => batch![0]!.settle(new Error('refused')))
  await finishes(t, 5, () => {})
  await start().outbox.finish(60_000)
})
