import type { CallId } from '../../types/protocol.js'
import { diagnostics } from '../diagnostics.js'
import { toBlock, type Block } from '../lifecycle/block.js'
import { ScError, ScRefusal } from '../errors.js'
import { type FailureKind, type LogLevel, logHidden, writeLine } from '../log.js'
import { type DeclaredErrors, type ErrorOrigin, dehydrateError, internalError, presentError } from '../protocol/wire-errors.js'
import type { Session } from '../socket/session.js'
import { isInstance } from '../untrusted.js'
import type { HandlerContext } from './context.js'

/*
 * How the failure of an action is told: to the client, as far as it may know; to the log, in one line; to the server's
 * `warning` event and the counters. What a client may not see becomes an `Internal error` with the id of the log line.
 */

/** In development the client gets the whole of it. */
function hidden (session: Session, error: unknown, errorId: string): unknown {
  return (session.host.options.exposeErrors ? dehydrateError(error) : undefined) ?? internalError(errorId)
}

/** Answers an action with an error that the application or a rule chose. It is logged only when the client may not see it. */
export function refuse (session: Session, cid: CallId | undefined, error: unknown, origin: ErrorOrigin, data?: unknown): void {
  const shown = presentError(error, origin) ?? hidden(session, error, logHidden(session.log, error))
  if (cid !== undefined) session.outbound.errorAck(cid, shown, data)
}

/**
 * An action failed by what was thrown, or by a rule of its contract: a `warning`, a log line, and the answer.
 * @param declared the errors that the event's contract declares
 */
export function fail (session: Session, cid: CallId | undefined, error: unknown, origin: ErrorOrigin, declared?: DeclaredErrors, data?: unknown): void {
  let shown = presentError(error, origin, declared)
  if (shown === undefined) shown = hidden(session, error, session.host.warnHidden(error, session.log))
  else session.host.warn(error, session.log, kindOf(error, origin))
  if (cid !== undefined) session.outbound.errorAck(cid, shown, data)
}

/** Of an error that the client sees. Those of the library know themselves. */
function kindOf (error: unknown, origin: ErrorOrigin): FailureKind | undefined {
  if (isInstance(error, ScError) || isInstance(error, ScRefusal)) return
  return origin === 'own' ? 'mistake' : 'refusal'
}

/** A block, and what the client sees of it. */
export interface ToldBlock extends Block {
  readonly shown: unknown
}

/**
 * Hooks blocked an action: it is counted, logged, and a warning of the server unless it is silent.
 * @param log how a refusal is logged; a mistake of the application is an error in any case
 */
export function tellBlock (context: HandlerContext, session: Session, line: string, thrown: unknown, log: { level: LogLevel, text: string, channel?: string } = { level: 'info', text: 'action blocked' }): ToldBlock {
  const block = toBlock(line, thrown)
  const { error, origin } = block
  const { level, text, channel } = log
  context.counters.blocked++
  if (!block.silent && session.host.options.middlewareEmitWarnings) session.host.fire('warning', error)
  if (diagnostics.blocked.hasSubscribers) diagnostics.blocked.publish({ socket: session.socket, line, error })
  const shown = presentError(error, origin)
  if (shown === undefined) return { ...block, shown: hidden(session, error, logHidden(session.log, error, { line, channel })) }
  writeLine(session.log, level, text, { line, channel, err: error })
  return { ...block, shown }
}

/** Refuses an action that hooks blocked. */
export function refuseBlocked (context: HandlerContext, session: Session, line: string, thrown: unknown, cid: CallId | undefined, data?: unknown): Block {
  const block = tellBlock(context, session, line, thrown)
  if (cid !== undefined) session.outbound.errorAck(cid, block.shown, data)
  return block
}

/** Refuses an action that broke a rule of the protocol or a limit. */
export function refuseInvalid (context: HandlerContext, session: Session, cid: CallId | undefined, error: Error): void {
  context.counters.invalid++
  if (diagnostics.invalid.hasSubscribers) diagnostics.invalid.publish({ socket: session.socket, error })
  const shown = presentError(error, 'own')
  if (shown === undefined) {
    // A validator of the application threw.
    session.fireLocal('error', error)
    const errorId = session.host.warnHidden(error, session.log)
    if (cid !== undefined) session.outbound.errorAck(cid, hidden(session, error, errorId))
    return
  }
  session.emitError(error, isInstance(error, ScError) ? undefined : 'mistake')
  if (cid !== undefined) session.outbound.errorAck(cid, shown)
}
