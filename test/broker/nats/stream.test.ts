// The stream of histories, whose server answers as the test says.
import type { Msg } from '@nats-io/transport-node'
import t from 'tap'
import { natsHistoryDefaults } from '../../../lib/broker/nats/history-options.js'
import type { Requests } from '../../../lib/broker/nats/requests.js'
import { HistoryStream } from '../../../lib/broker/nats/stream.js'

/** Returns a stream, and the subjects of its requests. */
function streamOf (replicas: number, answers: Array<object | 503>) {
  const asked: string[] = []
  const requests: Pick<Requests, 'ask'> = {
    ask: async (subject) => {
      asked.push(subject)
      const answer = answers.shift()!
      return (answer === 503 ? { data: new Uint8Array(), headers: { code: 503 } } : { data: Buffer.from(JSON.stringify(answer)) }) as Partial<Msg> as Msg
    }
  }
  return { stream: new HistoryStream(requests as Requests, 'p', { ...natsHistoryDefaults, replicas }, '2.9.0'), asked }
}

t.test('a replicated stream is used when a leader has answered a message, which no channel gets', async (t) => {
  const { stream, asked } = streamOf(3, [503, 503, { stream: 'p-history', seq: 7 }])
  await stream.settle()
  t.same(asked, Array(3).fill('p.h.all.applied'), 'it waits for a leader')
  t.notOk(asked.includes(stream.subjectOf('p.c.all')))
})

t.test('the message is refused', async (t) => {
  const { stream } = streamOf(3, [{ error: { code: 503, err_code: 10_077, description: 'maximum messages exceeded' } }])
  await t.rejects(stream.settle(), { message: /JetStream answered: maximum messages exceeded \(10077\)/ })
})

t.test('a stream on one server needs none', async (t) => {
  const { stream, asked } = streamOf(1, [])
  await stream.settle()
  t.same(asked, [])
})
