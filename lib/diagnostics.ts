import { channel } from 'node:diagnostics_channel'

/**
 * What happens, on `node:diagnostics_channel`, for metrics and tracing. Each publishes one object, and only while somebody
 * listens; `docs/robustness.md` lists their fields.
 */
export const diagnostics = {
  /** `{ socket }` a handshake succeeded. */
  connect: channel('sc:socket:connect'),
  /** `{ address, error }` a limit or the rate of connections refused one. */
  refused: channel('sc:upgrade:refused'),
  /** `{ socket, code }` a connection ended. */
  close: channel('sc:socket:close'),
  /** `{ socket, bytes }` a message came in. */
  message: channel('sc:socket:message'),
  /** `{ socket, error }` code in a socket's name threw where nobody else catches it; the socket is ended with 1011. */
  fault: channel('sc:socket:fault'),
  /** `{ socket, bufferedBytes, policy }` a backlog went over its budget. */
  slowConsumer: channel('sc:socket:slow'),
  /** `{ socket, line, error }` a hook, a middleware or a policy stopped an action. */
  blocked: channel('sc:action:blocked'),
  /** `{ socket, error }` a message broke a rule of the protocol or a limit. */
  invalid: channel('sc:action:invalid'),
  /** `{ socket, retryAfter }` a socket sent too much. */
  rateLimited: channel('sc:action:rate-limited'),
  /** `{ channel, bytes }` a publication is about to be handed to the subscribers of this process. */
  publish: channel('sc:publish'),
  /** `{ state, cause }` the broker's engine became reachable or not. */
  broker: channel('sc:broker:state')
} as const
