/** A subscription that is not decided yet. */
export interface PendingSubscription {
  readonly channel: string
  /** Answers it with an error at once, and gives it up. */
  refuse (error: Error): void
}

/** The subscriptions of a socket that are not decided yet: hooks or the broker are asked, or the history is read. */
export class PendingSubscriptions {
  // Actions on a channel follow each other, so that one subscription to it is pending at a time. Null when there is none.
  #byChannel: Map<string, PendingSubscription> | null = null

  get channels (): string[] { return this.#byChannel === null ? [] : [...this.#byChannel.keys()] }

  add (pending: PendingSubscription): void { (this.#byChannel ??= new Map()).set(pending.channel, pending) }

  delete (channel: string): void {
    if (this.#byChannel?.delete(channel) === true && this.#byChannel.size === 0) this.#byChannel = null
  }

  /** Refuses the subscription to a channel. @returns whether there is one */
  refuse (channel: string, makeError: () => Error): boolean {
    const pending = this.#byChannel?.get(channel)
    if (pending === undefined) return false
    this.delete(channel)
    pending.refuse(makeError())
    return true
  }
}
