import type { ScTestChannel } from '../../types/testing.js'
import type { Mailbox } from './mailbox.js'

/** What a channel needs of its client. */
export interface ChannelPort {
  call (event: string, data: unknown): Promise<unknown>
}

/** A client's subscription. */
export class TestChannel implements ScTestChannel<any> {
  state: ScTestChannel<any>['state'] = 'subscribed'
  kicked: string | undefined
  readonly #port: ChannelPort
  readonly #mailbox: Mailbox<any>

  constructor (readonly name: string, mailbox: Mailbox<any>, port: ChannelPort) {
    this.#mailbox = mailbox
    this.#port = port
  }

  get received (): readonly any[] {
    return this.#mailbox.received
  }

  next (timeout?: number): Promise<any> {
    return this.#mailbox.next(timeout)
  }

  [Symbol.asyncIterator] (): AsyncIterator<any> {
    return this.#mailbox[Symbol.asyncIterator]()
  }

  async publish (message: unknown): Promise<void> {
    await this.#port.call('#publish', { channel: this.name, data: message })
  }

  async unsubscribe (): Promise<void> {
    if (this.state === 'unsubscribed') return
    await this.#port.call('#unsubscribe', this.name)
    this.end()
  }

  end (): void {
    this.state = 'unsubscribed'
    this.#mailbox.end()
  }
}
