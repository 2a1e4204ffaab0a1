import { setImmediate as tick } from 'node:timers/promises'
import t from 'tap'
import type { EngineSession } from '../../../lib/broker/remote/engine.js'
import { Topics } from '../../../lib/broker/remote/topics.js'
import { Clock } from '../../helpers/clock.js'

interface Call { call: string, topics: readonly string[], answer: () => void, refuse: (err: Error) => void }

function start () {
  const calls: Call[] = []
  const later = (call: string, topics: readonly string[]) => new Promise<void>((resolve, reject) => { calls.push({ call, topics, answer: resolve, refuse: reject }) })
  const session: EngineSession = { subscribe: (topics) => later('subscribe', topics), unsubscribe: (topics) => later('unsubscribe', topics), publish () {}, close () {} }
  const port = { topicOf: (channel: string) => `t:${channel}`, session: session as EngineSession | null }
  return { topics: new Topics(port), calls, session, port }
}

t.test('a channel is asked for once, and delivered from the moment it is asked for', async (t) => {
  const { topics, calls, session } = start()
  const subscribed = topics.subscribe(session, ['a', 'b'])
  t.strictSame([topics.channelOf('t:a'), topics.channelOf('t:c'), topics.has('t:b')], ['a', undefined, true])
  await topics.subscribe(session, ['a'])
  calls[0]!.answer()
  await subscribed
  const ended = topics.unsubscribe(['a', 'other'])
  t.equal(topics.has('t:a'), false)
  await topics.unsubscribe(['a'])
  calls[1]!.answer()
  await ended
  t.strictSame(calls.map(({ call, topics }) => [call, topics]), [['subscribe', ['t:a', 't:b']], ['unsubscribe', ['t:a']]])
})

t.test('a refused subscribe is taken back, on the same session only', async (t) => {
  const { topics, calls, session, port } = start()
  const refused = topics.subscribe(session, ['a', 'b'])
  calls[0]!.refuse(new Error('no permission'))
  await t.rejects(refused, { name: 'BrokerError', message: 'no permission' })
  t.equal(topics.has('t:b'), false)
  t.strictSame([calls[1]!.call, calls[1]!.topics], ['unsubscribe', ['t:a', 't:b']])
  const again = topics.subscribe(session, ['a'])
  port.session = null
  calls[2]!.refuse(new Error('no permission'))
  await t.rejects(again)
  t.equal(calls.length, 3)
  await topics.unsubscribe(['a'])
})

t.test('since when the engine owes an answer: as long as it answers any, it lives', async (t) => {
  const clock = new Clock(t)
  const { topics, calls, session } = start()
  t.equal(topics.waitingSince, Infinity)
  const begin = clock.now
  topics.subscribe(session, ['a']).catch(() => {})
  await clock.advance(10)
  topics.subscribe(session, ['b']).catch(() => {})
  t.equal(topics.waitingSince, begin)
  await clock.advance(10)
  calls[1]!.answer()
  await tick()
  t.equal(topics.waitingSince, begin + 20)
  calls[0]!.answer()
  await tick()
  t.equal(topics.waitingSince, Infinity)
})

t.test('the engine is gone: who waits for its answer does not wait for ever, and what is wanted stays wanted', async (t) => {
  const { topics, calls, session, port } = start()
  const [subscribed] = [topics.subscribe(session, ['a']), topics.subscribe(session, ['b']).catch(() => {})]
  port.session = null
  topics.fail(new Error('gone'))
  await t.rejects(subscribed!, { message: 'gone' })
  t.equal(topics.waitingSince, Infinity)
  calls[0]!.answer()
  await tick()
  t.equal(topics.waitingSince, Infinity)
})

t.test('everything on a new session: the own topics first, in calls of a thousand, eight in flight', async (t) => {
  const { topics, calls, session } = start()
  const channels = Array.from({ length: 10_000 }, (_, i) => `c${i}`)
  topics.subscribe(session, channels).catch(() => {})
  calls.pop()!.answer()
  await tick()
  let progress = 0
  const all = topics.subscribeAll(session, ['own', 'all'], () => { progress++ })
  t.strictSame([calls.length, calls[0]!.topics.slice(0, 3)], [8, ['own', 'all', 't:c0']])
  // Two that nobody wants any more by then.
  topics.unsubscribe(['c0', 'c9999'])
  const unsubscribe = calls.splice(calls.findIndex(({ call }) => call === 'unsubscribe'), 1)[0]!
  unsubscribe.answer()
  for (let i = 0; i < calls.length; i++) {
    calls[i]!.answer()
    await tick()
  }
  await all
  t.equal(progress, 11)
  t.equal(new Set(calls.filter(({ call }) => call === 'subscribe').flatMap(({ topics }) => topics)).size, 10_002)
  t.strictSame(calls.at(-1)!.topics, ['t:c0', 't:c9999'])
  t.equal(calls.at(-1)!.call, 'unsubscribe')
})
