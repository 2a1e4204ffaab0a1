// A node of the recovery scenarios. As a program, `recovery-node.ts <options>`: its parent ends it by a signal or by the message 'close'.
import { pathToFileURL } from 'node:url'
import type { RemoteBrokerOptions } from '../../lib/broker/remote/options.js'
import { redisBroker, type RedisBrokerOptions } from '../../lib/broker/redis/index.js'
import type { Cleanup } from '../helpers/raw.js'
import { serve, type Served } from '../helpers/serve.js'

/** Starts a node whose channels `room/…` keep their messages in Redis. */
export function serveNode (t: Cleanup | null, redis: RedisBrokerOptions, options: RemoteBrokerOptions): Promise<Served> {
  return serve(t, { broker: redisBroker({ ...redis, ...options }), brokerPrefix: 'recovery', inboundRate: 0 }, (app) => {
    app.scChannel('room/:id', { history: { size: 10_000, ttl: 300_000 }, recover: { limit: 1_000 } })
  })
}

if (import.meta.url === pathToFileURL(process.argv[1]!).href) {
  const { redis, options } = JSON.parse(process.argv[2]!) as { redis: RedisBrokerOptions, options: RemoteBrokerOptions }
  const { app, port } = await serveNode(null, redis, options)
  process.on('message', () => { app.close().then(() => process.exit()) })
  process.on('disconnect', () => process.exit())
  process.send!({ port })
}
