// The guarantee of recoveries with NATS: see random-sequences.ts.
import { connect } from '@nats-io/transport-node'
import t from 'tap'
import { natsBroker } from '../../lib/broker/nats/index.js'
import { readKept } from '../../lib/broker/nats/kept-frame.js'
import { subjectToken } from '../../lib/broker/nats/subjects.js'
import { startJetStream } from '../helpers/servers.js'
import { randomSequences } from './random-sequences.js'

t.test('random sequences over NATS', { timeout: process.env.NATS_RUNS === undefined ? 60_000 : 0 }, async (t) => {
  const nats = await startJetStream(t)
  if (nats === null) return t.plan(0, 'nats-server is not installed')
  const connection = await connect({ servers: `127.0.0.1:${nats.port}` })
  t.teardown(() => connection.close())
  const api = (call: string, data: object = {}) => connection.request(`$JS.API.STREAM.${call}.random-history`, JSON.stringify(data), { timeout: 10_000 })
  await randomSequences(t, {
    name: 'NATS',
    port: nats.port,
    broker: (port, options) => natsBroker({ servers: `127.0.0.1:${port}`, history: { maxBytes: 64 * 1024 * 1024 }, ...options }),
    watch: async (prefix, channel, frame) => {
      const subscription = connection.subscribe(`${prefix}.c.${subjectToken(channel)}`, {
        callback: (_err, msg) => {
          const kept = readKept(msg.string(), 0)!
          if (kept.count > 0) frame(kept.text)
        }
      })
      await connection.flush()
      return () => subscription.unsubscribe()
    },
    faults: {
      'delete the stream': () => api('DELETE'),
      'purge the stream': () => api('PURGE'),
      'keep one message': () => api('PURGE', { keep: 1 })
    }
  })
})
