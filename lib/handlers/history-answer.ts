import type { BrokerHistoryEntry, BrokerPosition } from '../../types/broker.js'
import type { ScHistoryGap } from '../../types/history.js'
import { positionText } from '../broker/position.js'

/** Bytes that a message takes beside its data: in the answer, or with the name of its channel as a publication. */
export function envelopeBytes (channel = ''): number { return 128 + channel.length * 3 }

/** Collects messages for one answer, up to a number of bytes. One message fits, whatever its size. */
export class HistoryAnswer {
  readonly #maxBytes: number
  readonly #goesOn: boolean
  #messages: BrokerHistoryEntry[] = []
  #dataBytes = 0
  /** The position of the last message that was looked at. */
  #reached: BrokerPosition | null = null
  /** Whether messages at the end are missing. */
  isCut = false

  /** @param goesOn whether the client can read on after the last message: then the oldest messages are kept, else the newest */
  constructor (maxBytes: number, goesOn: boolean) {
    this.#maxBytes = maxBytes
    this.#goesOn = goesOn
  }

  get messages (): readonly BrokerHistoryEntry[] { return this.#messages }

  /** The bytes that the answer will take in the backlog. */
  get bytes (): number { return this.#dataBytes + (this.#messages.length + 1) * envelopeBytes() }

  /** Adds the next message. @param data JSON text for the client; `null` to leave the message out @returns whether to go on */
  add (entry: BrokerHistoryEntry, data: string | null = entry.data): boolean {
    const bytes = data === null ? 0 : Buffer.byteLength(data)
    if (this.#goesOn && this.#messages.length !== 0 && this.#dataBytes + bytes > this.#maxBytes) {
      this.isCut = true
      return false
    }
    this.#reached = entry.position
    if (data === null) return true
    this.#messages.push(data === entry.data ? entry : { ...entry, data })
    this.#dataBytes += bytes
    while (this.#dataBytes > this.#maxBytes && this.#messages.length > 1) this.#dataBytes -= Buffer.byteLength(this.#messages.shift()!.data)
    return true
  }

  /**
   * The answer as JSON.
   * @param top the position of the newest message
   * @param since the position that the client sent
   */
  text (top: BrokerPosition, gap: ScHistoryGap | null, since: string | undefined, reverse: boolean): string {
    const isCut = gap === 'limit' || this.isCut
    const pos = !isCut ? positionText(top) : this.#reached === null ? since : positionText(this.#reached)
    const texts = this.#messages.map(({ position, time, data }) => `{${data === '' ? '' : `"data":${data},`}"pos":"${positionText(position)}","time":${time}}`)
    return `{"messages":[${(reverse ? texts.reverse() : texts).join(',')}],"pos":${JSON.stringify(pos)},"gap":${JSON.stringify(isCut ? 'limit' : gap)}}`
  }
}
