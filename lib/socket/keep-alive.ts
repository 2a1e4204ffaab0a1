import { type Dialect, dialectOfPong, dialects, unknownDialect } from '../protocol/dialects.js'
import type { Connection } from '../transport/connection.js'
import type { Activity } from './activity.js'

/** The part of a session that these functions use. */
export interface KeptAlive {
  dialect: Dialect
  lastSeen: number
  readonly connection: Connection
  readonly activity: Activity
  readonly host: { readonly options: { readonly hookTimeout: number, readonly handlerTimeout: number, readonly pingTimeout: number } }
  end (code: number): void
}

/** Sends a ping. Until the protocol version of the client is known, sends the pings of both versions; the answer decides. */
export function sendPing ({ dialect, connection }: KeptAlive): void {
  if (dialect === unknownDialect) connection.send(dialects[1].ping)
  connection.send(dialect === unknownDialect ? dialects[2].ping : dialect.ping)
}

/** Whether a message is a pong of either protocol version. */
export function isPong (data: string | Buffer): data is string {
  return data.length <= 2 && typeof data === 'string' && dialectOfPong(data) !== undefined
}

/** Sets the protocol version from the first pong, the first message that differs between the versions. */
export function takePong (session: KeptAlive, pong: string): void {
  if (session.dialect === unknownDialect) session.dialect = dialectOfPong(pong)!
}

/** Handles a client that sent nothing for `pingTimeout`: ends the connection, unless reading was paused. */
export function judgeSilence (session: KeptAlive): void {
  const { activity } = session
  // Reading is paused because hooks and handlers of the server are slow: the client may well have answered.
  if (activity.paused) {
    if (isStuck(session)) session.end(4429)
    return
  }
  if (activity.resumed) {
    activity.resumed = false
    session.lastSeen = performance.now()
    return
  }
  session.end(4001)
}

/** Whether what pauses reading made no progress for longer than the largest of the timeouts. */
function isStuck ({ activity, host }: KeptAlive): boolean {
  const { hookTimeout, handlerTimeout, pingTimeout } = host.options
  if (hookTimeout === 0 || handlerTimeout === 0) return false
  return performance.now() - activity.progressAt > Math.max(hookTimeout, handlerTimeout, pingTimeout)
}
