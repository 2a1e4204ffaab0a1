import type { BrokerHistoryEntry } from '../../../../types/broker.js'
import { memorySize } from '../../../memory-size.js'
import type { Arrival } from './arrival.js'

/** Bytes of a message beside its text. */
const messageBytes = 200

/** Consecutive messages of a channel that arrived together, or were read together. */
export interface Block {
  /** The offsets of the first and the last message. */
  readonly first: number
  readonly last: number
  /** An upper estimate of the memory that it takes. */
  readonly bytes: number
  /** The messages that can be used. The same objects each time. */
  readonly entries: readonly BrokerHistoryEntry[]
  /** The check of the position with an offset; `undefined` if it is not known. */
  checkAt (offset: number): string | undefined
}

/** A frame that arrived. Most are never asked for, so its entries are made when somebody does. */
export class ArrivedBlock implements Block {
  readonly first: number
  readonly last: number
  readonly bytes: number
  readonly #arrival: Arrival
  #entries: readonly BrokerHistoryEntry[] | null = null

  constructor (arrival: Arrival) {
    const { first, messages } = arrival
    this.#arrival = arrival
    this.first = first
    this.last = first + messages.length - 1
    this.bytes = messages.reduce((sum, message) => sum + messageBytes + memorySize(message), 0)
  }

  get entries (): readonly BrokerHistoryEntry[] {
    const { epoch, first, check, time, messages } = this.#arrival
    return (this.#entries ??= messages.flatMap((data, i) => data === null ? [] : [{ position: { epoch, offset: first + i, check }, time, data }]))
  }

  checkAt (): string { return this.#arrival.check }
}

/** Messages that were read from the engine. */
export class ReadBlock implements Block {
  readonly bytes: number

  constructor (readonly entries: readonly BrokerHistoryEntry[], readonly first: number, readonly last: number) {
    this.bytes = entries.reduce((sum, { data }) => sum + messageBytes + memorySize(data), 0)
  }

  checkAt (offset: number): string | undefined {
    return this.entries.find(({ position }) => position.offset === offset)?.position.check
  }
}
