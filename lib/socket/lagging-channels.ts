import type { BrokerPosition } from '../../types/broker.js'
import type { MessagePlace } from '../transport/shared-message.js'

/** A channel whose next messages are delivered later, from its history. */
export interface Lag {
  /** The position of the last message that the socket has; `null` if it is not known. */
  position: BrokerPosition | null
  /** `busy`: messages are being read or delivered; `waiting`: there is no room for them in the backlog. */
  state: 'idle' | 'busy' | 'waiting'
  /** Whether messages were withheld: then as many are delivered as after a lost connection. */
  wasWithheld: boolean
}

/** The channels of a socket that lag behind, because it read too slowly or was not allowed to receive them. */
export class LaggingChannels {
  readonly #channels = new Map<string, Lag>()

  get isEmpty (): boolean { return this.#channels.size === 0 }
  get names (): string[] { return [...this.#channels.keys()] }
  get (channel: string): Lag | undefined { return this.#channels.get(channel) }
  delete (channel: string): void { this.#channels.delete(channel) }

  /** Whether a message is delivered later. */
  covers (channel: string, { position }: MessagePlace): boolean {
    const lag = this.#channels.get(channel)
    if (lag === undefined) return false
    return lag.position === null || position.epoch !== lag.position.epoch || position.offset > lag.position.offset
  }

  /** Delivers the messages after a position later. @param isWithheld whether they are withheld, and not too many */
  begin (channel: string, position: BrokerPosition | null, isWithheld: boolean): void {
    const wasWithheld = isWithheld || this.#channels.get(channel)?.wasWithheld === true
    const lag = this.#channels.get(channel) ?? { position, state: 'idle', wasWithheld }
    this.#channels.set(channel, Object.assign(lag, { position, state: isWithheld ? 'idle' : 'waiting', wasWithheld }))
  }
}
