import { randomUUID } from 'node:crypto'
import type { CallId } from '../../types/protocol.js'
import { diagnostics } from '../diagnostics.js'
import { toBlock, type Block } from '../lifecycle/block.js'
import { type ErrorOrigin, internalError, isPublicError } from '../protocol/wire-errors.js'
import type { ServerSocket } from '../socket/socket.js'
import type { HandlerContext } from './context.js'

/**
 * Tells a client that its action failed, if it waits for an answer. An error that it may not see becomes an
 * `Internal error` with an id; the log has the whole under the same id.
 */
export function refuse (socket: ServerSocket, cid: CallId | undefined, error: unknown, origin: ErrorOrigin, data?: unknown): void {
  const shown = presentable(socket, error, origin)
  if (cid !== undefined) socket.sendErrorAck(cid, shown, data)
}

/** The error itself, or what stands in for it. */
export function presentable (socket: ServerSocket, error: unknown, origin: ErrorOrigin): unknown {
  if (socket.host.options.exposeErrors || isPublicError(error, origin)) return error
  const errorId = randomUUID()
  socket.log.error({ err: error, errorId }, 'an internal error was kept from the client')
  return internalError(errorId)
}

/** Refuses an action that hooks blocked. A block is a warning of the server, unless it is silent. */
export function refuseBlocked (context: HandlerContext, socket: ServerSocket, line: string, thrown: unknown, cid: CallId | undefined, data?: unknown): Block {
  const block = toBlock(line, thrown)
  context.counters.blocked++
  if (!block.silent && socket.host.options.middlewareEmitWarnings) socket.host.fire('warning', block.error)
  if (diagnostics.blocked.hasSubscribers) diagnostics.blocked.publish({ socket, line, error: block.error })
  socket.log.info({ line, err: block.error }, 'action blocked')
  refuse(socket, cid, block.error, 'deliberate', data)
  return block
}

/** Refuses an action that broke a rule of the protocol or a limit. */
export function refuseInvalid (context: HandlerContext, socket: ServerSocket, cid: CallId | undefined, error: Error): void {
  context.counters.invalid++
  if (diagnostics.invalid.hasSubscribers) diagnostics.invalid.publish({ socket, error })
  socket.emitError(error)
  if (cid !== undefined) socket.sendErrorAck(cid, error)
}
