import type { CallId } from '../../types/protocol.js'
import { diagnostics } from '../diagnostics.js'
import { toBlock, type Block } from '../lifecycle/block.js'
import { logHidden, writeLine } from '../log.js'
import { type ErrorOrigin, internalError, isPublicError } from '../protocol/wire-errors.js'
import type { ServerSocket } from '../socket/socket.js'
import type { HandlerContext } from './context.js'

/*
 * How the failure of an action is told: to the client, as far as it may know; to the log, in one line; to the server's
 * `warning` event and the counters. What a client may not see becomes an `Internal error` with the id of the log line.
 */

function isShown (socket: ServerSocket, error: unknown, origin: ErrorOrigin): boolean {
  return socket.host.options.exposeErrors || isPublicError(error, origin)
}

/** Answers an action with an error that the application or a rule chose. It is logged only when the client may not see it. */
export function refuse (socket: ServerSocket, cid: CallId | undefined, error: unknown, origin: ErrorOrigin, data?: unknown): void {
  const shown = isShown(socket, error, origin) ? error : internalError(logHidden(socket.log, error))
  if (cid !== undefined) socket.sendErrorAck(cid, shown, data)
}

/** An action failed by what was thrown: a `warning`, a log line, and the answer. */
export function fail (socket: ServerSocket, cid: CallId | undefined, error: unknown, origin: ErrorOrigin, data?: unknown): void {
  let shown = error
  if (isShown(socket, error, origin)) socket.host.warn(error, socket.log)
  else shown = internalError(socket.host.warnHidden(error, socket.log))
  if (cid !== undefined) socket.sendErrorAck(cid, shown, data)
}

/** A block, and what the client sees of it. */
export interface ToldBlock extends Block {
  readonly shown: unknown
}

/** Hooks blocked an action: it is counted, logged, and a warning of the server unless it is silent. */
export function tellBlock (context: HandlerContext, socket: ServerSocket, line: string, thrown: unknown): ToldBlock {
  const block = toBlock(line, thrown)
  const { error } = block
  context.counters.blocked++
  if (!block.silent && socket.host.options.middlewareEmitWarnings) socket.host.fire('warning', error)
  if (diagnostics.blocked.hasSubscribers) diagnostics.blocked.publish({ socket, line, error })
  if (!isShown(socket, error, 'deliberate')) return { ...block, shown: internalError(logHidden(socket.log, error, { line })) }
  writeLine(socket.log, 'info', 'action blocked', { line, err: error })
  return { ...block, shown: error }
}

/** Refuses an action that hooks blocked. */
export function refuseBlocked (context: HandlerContext, socket: ServerSocket, line: string, thrown: unknown, cid: CallId | undefined, data?: unknown): Block {
  const block = tellBlock(context, socket, line, thrown)
  if (cid !== undefined) socket.sendErrorAck(cid, block.shown, data)
  return block
}

/** Refuses an action that broke a rule of the protocol or a limit. */
export function refuseInvalid (context: HandlerContext, socket: ServerSocket, cid: CallId | undefined, error: Error): void {
  context.counters.invalid++
  if (diagnostics.invalid.hasSubscribers) diagnostics.invalid.publish({ socket, error })
  socket.emitError(error)
  if (cid !== undefined) socket.sendErrorAck(cid, error)
}
