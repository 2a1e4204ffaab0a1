import type { AddressInfo } from 'node:net'
import Fastify from 'fastify'
import { natsBroker } from '../../lib/broker/nats/index.js'
import { redisBroker } from '../../lib/broker/redis/index.js'
import { scPlugin } from '../../lib/index.js'

/** A node of a cluster, in this process. */
export interface ClusterNode {
  readonly port: number
  call (call: string, ...args: unknown[]): Promise<any>
}

/** An application with the plugin over an engine; quick to come back. Ends of the engine are heard of at once: its silence is not what is tested. */
export async function startApp (engine: string, enginePort: number, port = 0): Promise<ClusterNode> {
  const options = { timeout: 10_000, probeInterval: 10_000, maxRetryDelay: 200 }
  const app = Fastify()
  await app.register(scPlugin, {
    authKey: 'a secret of tests that has more than thirty-two bytes',
    inboundRate: 0,
    closeTimeout: 500,
    broker: engine === 'redis' ? redisBroker({ url: `redis://127.0.0.1:${enginePort}`, ...options }) : natsBroker({ servers: `127.0.0.1:${enginePort}`, ...options })
  })
  const events: string[] = []
  app.scServer.on('brokerState', (state: string) => events.push(state))
  app.scServer.on('gap', () => events.push('gap'))
  await app.listen({ port, host: '127.0.0.1' })

  const calls: Record<string, (...args: any[]) => unknown> = {
    nodes: () => app.scServer.cluster.nodes,
    stats: () => app.scServer.cluster.stats(),
    kickOut: (...args) => app.scServer.kickOut(...args as [object, string]),
    disconnectSockets: (...args) => app.scServer.disconnectSockets(...args as [object]),
    publish: (channel, data) => app.scServer.exchange.publish(channel, data),
    events: () => events,
    close: () => app.close()
  }
  return {
    port: (app.server.address() as AddressInfo).port,
    call: async (call, ...args) => calls[call]!(...args)
  }
}
