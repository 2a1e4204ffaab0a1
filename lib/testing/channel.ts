import type { ScTestChannel } from '../../types/testing.js'
import type { Mailbox } from './mailbox.js'

/** The part of a client that its channels use. */
export interface ChannelPort {
  call (event: string, data: unknown): Promise<unknown>
}

/** A subscribed channel of a test client. */
export class TestChannel implements ScTestChannel<unknown> {
  state: ScTestChannel<unknown>['state'] = 'subscribed'
  kicked: string | undefined
  readonly #port: ChannelPort
  readonly #mailbox: Mailbox<unknown>

  constructor (readonly name: string, mailbox: Mailbox<unknown>, port: ChannelPort) {
    this.#mailbox = mailbox
    this.#port = port
  }

  get received (): readonly unknown[] {
    return this.#mailbox.received
  }

  next (timeout?: number): Promise<unknown> {
    return this.#mailbox.next(timeout)
  }

  [Symbol.asyncIterator] (): AsyncIterator<unknown> {
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
