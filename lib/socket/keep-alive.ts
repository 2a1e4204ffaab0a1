import { type Dialect, dialectOfPong, dialects, unknownDialect } from '../protocol/dialects.js'
import type { Connection } from '../transport/connection.js'
import type { Activity } from './activity.js'

/** What is needed of a session. */
export interface KeptAlive {
  dialect: Dialect
  lastSeen: number
  readonly connection: Connection
  readonly activity: Activity
  readonly host: { readonly options: { readonly hookTimeout: number, readonly handlerTimeout: number, readonly pingTimeout: number } }
  end (code: number): void
}

/** Until the version of a client is known both pings are sent; the one that is answered decides. */
export function sendPing ({ dialect, connection }: KeptAlive): void {
  if (dialect === unknownDialect) connection.send(dialects[1].ping)
  connection.send(dialect === unknownDialect ? dialects[2].ping : dialect.ping)
}

/** Whether a message is the answer to a ping, of whichever version. */
export function isPong (data: string | Buffer): data is string {
  return data.length <= 2 && typeof data === 'string' && dialectOfPong(data) !== undefined
}

/** The first pong is the first difference between the versions. */
export function takePong (session: KeptAlive, pong: string): void {
  if (session.dialect === unknownDialect) session.dialect = dialectOfPong(pong)!
}

/** Nothing came for the whole of `pingTimeout`. */
export function judgeSilence (session: KeptAlive): void {
  const { activity } = session
  // Nothing is read from it because our own hooks and handlers are slow; it may well have answered.
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

/** Whatever reading waits for has had more time than it may take. */
function isStuck ({ activity, host }: KeptAlive): boolean {
  const { hookTimeout, handlerTimeout, pingTimeout } = host.options
  if (hookTimeout === 0 || handlerTimeout === 0) return false
  return performance.now() - activity.progressAt > Math.max(hookTimeout, handlerTimeout, pingTimeout)
}
