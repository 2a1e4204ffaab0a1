import type { BrokerHistoryEntry } from '../../types/broker.js'
import type { ResolvedChannel } from '../../types/routes.js'
import type { ScServerSocket } from '../../types/server.js'
import type { Deadlines } from '../deadlines.js'
import { type Delivery, type DeliveryDesk, type Recipient, deliverNow } from '../exchange/deliver.js'
import type { Hub } from '../exchange/hub.js'
import { toJson } from '../protocol/codec.js'
import { slices } from '../slices.js'
import type { Session } from '../socket/session.js'
import { SharedMessage } from '../transport/shared-message.js'
import type { HistoryAnswer } from './history-answer.js'

/** Reads messages of a history like their recipient: through the hooks and the policy of the channel, one after the other. */
export class HistoryReader implements Recipient, DeliveryDesk<Recipient> {
  readonly #session: Session
  readonly #hub: Hub
  readonly #resolved: ResolvedChannel
  readonly #channel: string
  #hasEnded = false
  /** What the hooks left of the message, as JSON text; `null` for nothing. */
  #json: string | null = null

  constructor (session: Session, hub: Hub, resolved: ResolvedChannel, channel: string) {
    this.#session = session
    this.#hub = hub
    this.#resolved = resolved
    this.#channel = channel
  }

  /** Adds what the client may have of the messages to an answer. Never rejects. */
  async read (entries: readonly BrokerHistoryEntry[], answer: HistoryAnswer): Promise<void> {
    for (const entry of entries) {
      await this.#time()
      this.#json = null
      const delivery = this.#deliveryOf(entry)
      const running = deliverNow(this, this, delivery)
      if (running !== undefined) await running
      if (!this.receives(delivery) || !answer.add(entry, this.#json)) return
    }
  }

  /** Resolves when there is time for one message: the hooks of many must not delay other sockets. */
  #time (): Promise<void> {
    return new Promise((resolve) => {
      slices.run(this.#session, () => {
        resolve()
        return false
      })
    })
  }

  /** Call when the answer is not needed any more: hooks are not called for further messages. */
  end (): void {
    this.#hasEnded = true
  }

  #deliveryOf ({ data }: BrokerHistoryEntry): Delivery {
    return { channel: this.#channel, serial: Infinity, position: null, json: data, resolved: this.#resolved, policy: 'drop', message: new SharedMessage(data) }
  }

  // The recipient

  get socket (): ScServerSocket { return this.#session.socket }
  get authToken (): object | null { return this.#session.authToken }

  receives (delivery: Delivery): boolean {
    return !this.#hasEnded && this.#session.receives(delivery) && !this.#session.subscriptions.isWithheld(this.#channel)
  }

  deliver ({ data }: SharedMessage): boolean {
    this.#json = data.toString()
    return true
  }

  // The desk

  get hookDeadlines (): Deadlines { return this.#hub.hookDeadlines }
  personalMessage (_delivery: Delivery, data: unknown): SharedMessage { return new SharedMessage(toJson(data) ?? '') }
  count (): void {}
  // The whole read begins anew, because the claims changed.
  undecided (): void {}
  leftOut (_reader: Recipient, channel: string, thrown: unknown): void { this.#hub.leftOut(this.#session, channel, thrown) }
}
