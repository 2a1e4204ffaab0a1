// Nodes that publish and nodes that clients connect to, with memory and with Redis.
import type { Test } from 'tap'
import { redisBroker } from '../../lib/broker/redis/index.js'
import type { ScChannelContract, ScPluginOptions } from '../../lib/index.js'
import type { RawClient } from '../helpers/raw.js'
import { serve } from '../helpers/serve.js'
import type { TestServer } from '../helpers/servers.js'

type Contract = ScChannelContract<any, any, any>
type Node = Awaited<ReturnType<typeof serve>>
export type Nodes = readonly [publisher: Node, other: Node]

export const numbers = (from: number, to: number): number[] => Array.from({ length: to - from + 1 }, (_, i) => from + i)

type Start = (t: Test, contracts: Record<string, Contract>, options?: ScPluginOptions) => Promise<Nodes>

/** By engine: starts a node that publishes and one that clients connect to; with memory it is the same one. @param redis null if it is not installed */
export function engines (redis: TestServer | null): Array<[name: string, start: Start]> {
  const start = (t: Test, contracts: Record<string, Contract>, options: ScPluginOptions): Promise<Node> =>
    serve(t, { inboundRate: 0, authenticateRate: 0, ...options }, (app) => { for (const [name, contract] of Object.entries(contracts)) app.scChannel(name, contract) })
  let prefix = 0
  const all: Array<[string, Start]> = [['memory', async (t, contracts, options = {}) => {
    const node = await start(t, contracts, options)
    return [node, node]
  }]]
  if (redis === null) return all
  return [...all, ['redis', async (t, contracts, options = {}) => {
    const brokerPrefix = `nodes${++prefix}`
    const broker = () => redisBroker({ url: `redis://127.0.0.1:${redis.port}` })
    return [await start(t, contracts, { brokerPrefix, broker: broker(), ...options }), await start(t, contracts, { brokerPrefix, broker: broker(), ...options })]
  }]]
}

/** Publishes, and waits until the other node has received it. */
export async function send ([{ sc }, other]: Nodes, channel: string, ...messages: unknown[]): Promise<void> {
  for (const message of messages) await sc.exchange.publish(channel, message)
  if (sc === other.sc) return
  // One link delivers in order.
  const marker = other.sc.exchange.channel('marker')
  if (!marker.isSubscribed()) {
    marker.subscribe()
    await marker.listener('subscribe').once()
  }
  const arrived = marker.once()
  await sc.exchange.publish('marker')
  await arrived
}

export const publish = (nodes: Nodes, channel: string, from: number, to: number): Promise<void> => send(nodes, channel, ...numbers(from, to))

/** Subscribes a client without a codec, reads all that follows, and leaves. */
export async function read (client: RawClient, options: object): Promise<{ data: any, got: unknown[], positions: string[] }> {
  const { data, error } = await client.call('#subscribe', options)
  if (error !== undefined) throw Object.assign(new Error(error.message), error)
  await client.barrier()
  const packets = client.inbox.items.splice(0).filter(({ event }) => event === '#publish')
  await client.call('#unsubscribe', (options as { channel: string }).channel)
  return { data, got: packets.map((packet) => packet.data.data), positions: packets.map(({ pos }) => pos) }
}

export const offsetOf = (pos: string): number => Number(pos.split('.')[1])
