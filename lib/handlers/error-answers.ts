import type { CallId } from '../../types/protocol.js'
import type { Block } from '../lifecycle/block.js'
import type { DeclaredErrors, ErrorOrigin } from '../protocol/wire-errors.js'
import type { Session } from '../socket/session.js'
import type { Answers, Actor, Denial, HandlerContext } from './context.js'

/* Answers to actions that do not take place. The monitor counts, logs and reports them. */

/** A session, or a request over HTTP. */
interface Answering extends Actor {
  readonly outbound: Answers
}

/** Answers an action with an error that the application or a rule chose. */
export function refuse (context: HandlerContext, session: Session, cid: CallId | undefined, error: unknown, origin: ErrorOrigin, data?: unknown): void {
  const shown = context.monitor.refusal(session, error, origin)
  if (cid !== undefined) session.outbound.errorAck(cid, shown, data)
}

/**
 * Answers an action that failed because of a thrown error or a rule of its contract.
 * @param declared the errors that the event's contract declares
 */
export function fail (context: HandlerContext, caller: Answering, cid: CallId | undefined, error: unknown, origin: ErrorOrigin, declared?: DeclaredErrors, data?: unknown): void {
  const shown = context.monitor.failed(caller, error, origin, declared)
  if (cid !== undefined) caller.outbound.errorAck(cid, shown, data)
}

/** Refuses an action that hooks blocked. */
export function refuseBlocked (context: HandlerContext, caller: Answering, cid: CallId | undefined, denial: Denial, data?: unknown): Block {
  const block = context.monitor.denied(caller, denial)
  if (cid !== undefined) caller.outbound.errorAck(cid, block.shown, data, true)
  return block
}

/** Refuses an action that broke a rule of the protocol or a limit. */
export function refuseInvalid (context: HandlerContext, session: Session, cid: CallId | undefined, error: Error): void {
  const shown = context.monitor.invalid(session, error)
  if (cid !== undefined) session.outbound.errorAck(cid, shown)
}
