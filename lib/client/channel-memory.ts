import type { ScClientHistory, ScClientHistoryQuery, ScSubscribeOptions } from '../../types/client.js'
import type { ScHistoryGap } from '../../types/history.js'
import { RecoveringCodec } from './recovering.js'

/** The fields of a socket of socketcluster-client that this file reads. */
interface SocketFields {
  readonly codec?: unknown
  readonly channelPrefix?: unknown
}

/** The answer of the server to `#history`. */
interface HistoryAnswer {
  readonly messages: ReadonlyArray<{ readonly data?: unknown, readonly pos: string, readonly time: number }>
  readonly pos: string
  readonly gap: ScHistoryGap | null
}

/** What a channel of the typed client knows of its past: the messages that the server remembers, and what the codec notes. */
export class ChannelMemory {
  readonly #codec: RecoveringCodec | null
  /** The name of the channel on the wire. */
  readonly #name: string
  readonly #invoke: (event: string, data: unknown) => Promise<unknown>

  constructor (socket: object, name: string, invoke: (event: string, data: unknown) => Promise<unknown>) {
    const { codec, channelPrefix } = socket as SocketFields
    this.#codec = codec instanceof RecoveringCodec ? codec : null
    this.#name = typeof channelPrefix === 'string' ? channelPrefix + name : name
    this.#invoke = invoke
  }

  /** Call before the channel is subscribed. @throws InvalidArgumentsError for a `rewind` that could not be sent */
  subscribing ({ rewind }: ScSubscribeOptions = {}): void {
    if (this.#codec !== null) this.#codec.rewind(this.#name, rewind)
    else if (rewind !== undefined) throw Object.assign(new Error(`Channel "${this.#name}": rewind expects a socket with the codec of recovering(): create({ codecEngine: recovering() })`), { name: 'InvalidArgumentsError' })
  }

  get recovered (): boolean | null { return this.#codec === null ? null : this.#codec.recovered(this.#name) }

  async history ({ since, limit, reverse }: ScClientHistoryQuery = {}): Promise<ScClientHistory<unknown>> {
    const { messages, pos, gap } = await this.#invoke('#history', { channel: this.#name, since, limit, reverse }) as HistoryAnswer
    return { messages: messages.map(({ data, pos, time }) => ({ position: pos, time, data })), position: pos, gap }
  }
}
