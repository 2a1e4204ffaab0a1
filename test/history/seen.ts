/** What a client sees of one channel. */
export type Seen = { what: 'message', n: number } | { what: 'subscribed' | 'left' | 'disconnected' } | { what: 'recovery', recovered: boolean }

/**
 * Checks what a client saw of a channel.
 * @param order all messages in the order in which they were published
 * @param isWhole whether messages between two that follow each other may not be missing
 * @param isRewound whether a client that subscribes after it left gets the last messages again
 * @returns what contradicts the guarantee, or undefined
 */
export function contradiction (seen: readonly Seen[], order: readonly number[], isWhole: boolean, isRewound = false): string | undefined {
  let last = -1
  /** Whether every message from the last one on must follow. */
  let chained = false
  let connected = true
  let told: boolean | null = null
  for (const event of seen) {
    switch (event.what) {
      case 'subscribed':
        connected = true
        told = null
        break
      case 'recovery':
        told = event.recovered
        if (!told) chained = false
        break
      case 'left':
        chained = false
        if (isRewound) last = -1
        break
      case 'disconnected':
        connected = false
        told = null
        break
      case 'message': {
        const at = order.indexOf(event.n)
        if (at === -1) return `${event.n} was never published`
        if (at <= last) return `${event.n} came twice or too late`
        if (chained && isWhole && at !== last + 1) return `${event.n} came after ${order[last]}, but ${order.slice(last + 1, at).join()} is missing`
        if (chained && !connected && told === null) return `${event.n} came before the client was told whether it missed something`
        last = at
        chained = true
        connected = true
      }
    }
  }
}
