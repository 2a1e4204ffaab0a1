// Clients on several nodes that share histories, and everything that they are told.
import { setTimeout as sleep } from 'node:timers/promises'
import type { Test } from 'tap'
import { recovering } from '../../lib/client/index.js'
import type { Client, generations } from '../helpers/app.js'
import { TcpProxy } from '../helpers/proxy.js'

export const history = { size: 2_000, ttl: 60_000 }
export const recover = { limit: 1_000 }
/** Options of brokers, so that outages are short. A busy machine may let an engine answer late. */
export const quick = { timeout: 10_000, probeInterval: 10_000, connectTimeout: 10_000, maxRetryDelay: 100 }
/** The same for a node that must notice soon that its engine is silent, and may take it for silent when the machine is busy. */
export const impatient = { ...quick, timeout: 1_000, probeInterval: 500 }

/** Starts a proxy in front of a port. */
export async function proxyOf (t: Test, port: number): Promise<TcpProxy> {
  const proxy = await new TcpProxy(port).listen()
  t.teardown(() => proxy.close())
  return proxy
}

export interface Seen {
  readonly client: Client
  /** The messages, and the recoveries as texts, in order. */
  readonly events: unknown[]
  readonly messages: () => unknown[]
  readonly others: () => unknown[]
  disconnects: number
}

/** Connects a client that comes back at once, subscribes it, and notes everything that it is told. */
export async function join (t: Test, connect: (typeof generations)[number][1], port: number, channel = 'room/1'): Promise<Seen> {
  const client = await connect(t, { port }, { codecEngine: recovering(), autoReconnect: true, autoReconnectOptions: { initialDelay: 10, randomness: 10, maxDelay: 50 } })
  const events: unknown[] = []
  const seen: Seen = {
    client,
    events,
    messages: () => events.filter((event) => typeof event === 'number'),
    others: () => events.filter((event) => typeof event !== 'number'),
    disconnects: 0
  }
  client.on('recovery', ({ recovered, reason }) => events.push(recovered === true ? 'recovered' : `told: ${reason}`))
  client.on('gap', (data) => events.push(`gap of ${data.channel}`))
  const { raw } = client
  if (client.generation === 14) {
    raw.on('disconnect', () => { seen.disconnects++ })
    raw.channel(channel).watch((data: unknown) => events.push(data))
  } else {
    const count = async (): Promise<void> => {
      for (;;) {
        await raw.listener('disconnect').once()
        seen.disconnects++
      }
    }
    const read = async (): Promise<void> => { for await (const data of raw.channel(channel)) events.push(data) }
    count()
    read()
  }
  const subscribed = client.nextEvent('subscribe')
  raw.subscribe(channel)
  await subscribed
  return seen
}

export const numbers = (from: number, to: number): number[] => Array.from({ length: to - from + 1 }, (_, i) => from + i)

/** Publishes numbers, some in one turn. @returns those that the broker accepted */
export async function publish (sc: { exchange: { publish (channel: string, data: unknown): Promise<void> } }, from: number, to: number, meanwhile: (n: number) => unknown = () => {}): Promise<number[]> {
  const accepted: number[] = []
  const all: Array<Promise<unknown>> = []
  for (let n = from; n <= to; n++) {
    const published = sc.exchange.publish('room/1', n).then(() => accepted.push(n), () => {})
    all.push(published)
    if (n % 5 === 0) await sleep(1)
    await meanwhile(n)
  }
  await Promise.all(all)
  return accepted.sort((a, b) => a - b)
}
