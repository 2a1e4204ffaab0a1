/**
 * The position of a channel without messages is kept for ten times their ttl, and at least for a day. Until then, a client that comes
 * back can still learn that it missed nothing.
 */
const idleTtls = 10
const minIdle = 86_400_000

/** Returns the milliseconds for which the position of a channel is kept after its last use. @param ttl of its messages */
export function idleTime (ttl: number): number {
  return Math.max(minIdle, idleTtls * ttl)
}
