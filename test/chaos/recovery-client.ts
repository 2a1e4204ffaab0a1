import { recovering } from '../../lib/client/index.js'
import type { ScClientCodec } from '../../types/client.js'
import { type Client, connect14, connect20, ownStore } from '../helpers/app.js'
import type { Cleanup } from '../helpers/raw.js'
import { until } from '../helpers/waiting.js'

const backAtOnce = { initialDelay: 10, randomness: 20, maxDelay: 100 }

/** The fate of a message. */
export type Answer = 'acked' | 'rejected' | 'unanswered'

/** What one client got of one channel. Messages are numbers. */
class Received {
  /** Messages, as the application got them. */
  readonly messages: number[] = []
  /** For each `recovered: false`, the last message before it; -1 when there was none. */
  readonly notices: number[] = []
  /** Messages, as the codec passed them on, whether the client is subscribed or not. */
  readonly decoded: number[] = []
}

/** What the application of a client noticed, over all of its channels. */
export interface ClientCounts {
  delivered: number
  /** Accepted messages that are missing without a `recovered: false` between the messages around them. */
  lostSilently: number
  /** Accepted messages that are missing where the client was told so. */
  lostTold: number
  duplicates: number
  outOfOrder: number
  /** Messages that came to it after it lost the right to them. */
  forbidden: number
}

/** A real client that recovers, and notes all that it gets. */
export class RecoveringClient {
  readonly #received = new Map<string, Received>()
  /** The `recovery` events that the application got. */
  recovered = 0
  told = 0
  /** Why it was told, for each time. */
  readonly reasons: string[] = []
  disconnects = 0
  /** Whether it was sent away by the scenario, and whether it is away at the moment. */
  wasAway = false
  isAway = false
  /** Whether the scenario loses messages that it cannot have any more, or cannot prove that it has: it is told once in each channel. */
  mustBeTold = false
  /** Whether it depends on luck whether the scenario loses what it needs: it is told once in a channel, or has everything. */
  mayBeTold = false
  /** The first message that it has no right to, and the first one that it need not get: it loses the right between them. */
  forbiddenFrom = Infinity
  surelyUntil = Infinity

  private constructor (readonly client: Client, received: Map<string, Received>) {
    this.#received = received
  }

  /** Connects a client and subscribes it to the channels. @param token signed */
  static async connect (t: Cleanup, generation: 14 | 20, port: number, channels: readonly string[], token?: string): Promise<RecoveringClient> {
    const received = new Map(channels.map((channel) => [channel, new Received()]))
    const client = await (generation === 14 ? connect14 : connect20)(t, { port }, { codecEngine: noting(received), autoReconnect: true, autoReconnectOptions: backAtOnce, ...ownStore(token) })
    const one = new RecoveringClient(client, received)
    const { raw } = client
    client.on('recovery', ({ recovered, reason }) => {
      one[recovered === true ? 'recovered' : 'told']++
      if (recovered !== true) one.reasons.push(reason)
    })
    for (const [channel, { messages }] of received) {
      if (generation === 14) raw.channel(channel).watch((data: number) => messages.push(data))
      else follow(raw.channel(channel), (data) => messages.push(data as number))
      raw.subscribe(channel)
    }
    if (generation === 14) raw.on('disconnect', () => { one.disconnects++ })
    else follow(raw.listener('disconnect'), () => { one.disconnects++ })
    await one.isThere()
    return one
  }

  isThere (): Promise<void> {
    return until('the subscriptions', () => [...this.#received.keys()].every((channel) => this.client.isSubscribed(channel)))
  }

  /** Settles when it is connected and all its subscriptions were refused. */
  isRefused (): Promise<void> {
    return until('the refusals', () => this.client.state === 'open' && [...this.#received.keys()].every((channel) => !this.client.raw.isSubscribed(channel, true)))
  }

  async goAway (): Promise<void> {
    this.wasAway = this.isAway = true
    const { raw } = this.client
    raw.options.autoReconnect = false
    raw.transport.socket.terminate()
    await until('the end of the connection', () => this.client.state === 'closed')
  }

  /** @param port another node. @param isRefused whether it may not subscribe any more */
  comeBack (port?: number, isRefused = false): Promise<void> {
    const { options } = this.client.raw
    this.isAway = false
    options.autoReconnect = true
    options.port = port ?? options.port
    this.client.reconnect()
    return isRefused ? this.isRefused() : this.isThere()
  }

  /** Whether a message of each channel, or a later one, is here, or this client is not to get it. */
  hasReached (message: number): boolean {
    return message >= this.forbiddenFrom || this.reached >= message
  }

  /** The last message that came in each channel. */
  get reached (): number {
    return Math.min(...[...this.#received.values()].map(({ messages }) => messages.at(-1) ?? -1))
  }

  /** Compares the messages and their fates with what came. */
  count (answers: ReadonlyMap<string, readonly Answer[]>): ClientCounts {
    const counts = { delivered: 0, lostSilently: 0, lostTold: 0, duplicates: 0, outOfOrder: 0, forbidden: 0 }
    for (const [channel, { messages, decoded, notices }] of this.#received) {
      const seen = new Set<number>()
      let last = -1
      for (const message of messages) {
        if (seen.has(message)) counts.duplicates++
        else if (message < last) counts.outOfOrder++
        seen.add(message)
        last = Math.max(last, message)
      }
      counts.delivered += messages.length
      counts.forbidden += decoded.filter((message) => message >= this.forbiddenFrom).length
      // The last message before each hole; it need not be one that was accepted.
      let before = -1
      for (let message = 0; message < Math.min(answers.get(channel)!.length, this.surelyUntil); message++) {
        if (seen.has(message)) before = message
        else if (answers.get(channel)![message] === 'acked') counts[notices.includes(before) ? 'lostTold' : 'lostSilently']++
      }
    }
    return counts
  }
}

/** Notes where in the order of the messages a client is told that some are missing. The streams of generation 20 do not keep this order. */
function noting (received: ReadonlyMap<string, Received>): ScClientCodec {
  const codec = recovering()
  return {
    encode: (packet) => codec.encode(packet),
    decode (message) {
      const decoded = codec.decode(message)
      for (const { event, data } of (Array.isArray(decoded) ? decoded : [decoded]) as Array<{ event?: string, data?: any }>) {
        if (event === '#publish') received.get(data.channel)!.decoded.push(data.data)
        else if (event === 'recovery' && data.recovered === false) {
          const one = received.get(data.channel)!
          one.notices.push(one.decoded.at(-1) ?? -1)
        }
      }
      return decoded
    }
  }
}

async function follow (stream: AsyncIterable<unknown>, each: (value: unknown) => void): Promise<void> {
  for await (const value of stream) each(value)
}
