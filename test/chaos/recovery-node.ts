// A node of the recovery scenarios. As a program, `recovery-node.ts <target and options>`: its parent ends it by a signal or by the
// message 'close'.
import { pathToFileURL } from 'node:url'
import { natsBroker, type NatsBrokerOptions } from '../../lib/broker/nats/index.js'
import type { RemoteBrokerOptions } from '../../lib/broker/remote/options.js'
import { redisBroker, type RedisBrokerOptions } from '../../lib/broker/redis/index.js'
import type { ScChannelContract, ScPluginOptions } from '../../lib/index.js'
import type { Cleanup } from '../helpers/raw.js'
import { serve, type Served } from '../helpers/serve.js'
import { until } from '../helpers/waiting.js'

/** Where a node keeps its histories. */
export type Target = { readonly redis: RedisBrokerOptions } | { readonly nats: NatsBrokerOptions }

/** What of the plugin and of the channels differs. It is not passed to other processes. */
export interface NodeShape {
  readonly plugin?: ScPluginOptions
  readonly channel?: ScChannelContract<any, any, any>
}

/** Starts a node whose channels `room/…` keep their messages. */
export async function serveNode (t: Cleanup | null, target: Target, common: RemoteBrokerOptions, { plugin, channel }: NodeShape = {}): Promise<Served> {
  // The time limits are short, so that a node notices a fault soon. On a busy machine its first try may take longer.
  const options: RemoteBrokerOptions = { ...common, connect: 'retry' }
  const broker = 'redis' in target ? redisBroker({ ...target.redis, ...options }) : natsBroker({ ...target.nats, ...options })
  const node = await serve(t, { broker, brokerPrefix: 'recovery', inboundRate: 0, ...plugin }, (app) => {
    app.scChannel('room/:id', { history: { size: 10_000, ttl: 300_000 }, recover: { limit: 1_000 }, ...channel })
  })
  await until('the engine of a new node', () => node.sc.stats().broker.state === 'up')
  return node
}

if (import.meta.url === pathToFileURL(process.argv[1]!).href) {
  const { target, options } = JSON.parse(process.argv[2]!) as { target: Target, options: RemoteBrokerOptions }
  const { app, port } = await serveNode(null, target, options)
  process.on('message', () => { app.close().then(() => process.exit()) })
  process.on('disconnect', () => process.exit())
  process.send!({ port })
}
