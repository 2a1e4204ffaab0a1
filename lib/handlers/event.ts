import type { EventPacket } from '../../types/protocol.js'
import type { EmitRequest } from '../../types/hooks.js'
import type { EventRoute } from '../../types/routes.js'
import type { ScServerSocket } from '../../types/server.js'
import { follow } from '../barrier.js'
import { runHooks } from '../lifecycle/run.js'
import type { Session } from '../socket/session.js'
import type { Caller, HandlerContext, PacketHandler } from './context.js'
import { type CheckedCall, runRoute } from './declared-event.js'
import { callListeners } from './listeners.js'
import { refuseBlocked } from './error-answers.js'

/** Continues with an event that the `emit` hooks let pass. @param data the data that the hooks left */
type Proceed<C extends Caller> = (context: HandlerContext, caller: C, packet: EventPacket, route: EventRoute | undefined, data: unknown, expired: Error | undefined) => void

/** Handles an event of the application: `emit` hooks, then the declared route or, without one, the listeners of the socket. */
export const handleEvent: PacketHandler = (context, session, packet, expired) => {
  askEmitHooks(context, session, packet, context.contracts.event(packet.event), expired, proceed)
}

/**
 * Runs a declared event for a caller that is no session: `emit` hooks and validation, then `checked`, which continues with
 * `resumeCall`.
 */
export function callEvent (context: HandlerContext, caller: Caller, packet: EventPacket, route: EventRoute, checked: (call: CheckedCall) => void): void {
  askEmitHooks(context, caller, packet, route, undefined, (_context, _caller, _packet, _route, data) => {
    if (caller.state !== 'closed') runRoute(context, caller, packet, route, data, undefined, checked)
  })
}

function askEmitHooks<C extends Caller> (context: HandlerContext, caller: C, packet: EventPacket, route: EventRoute | undefined, expired: Error | undefined, next: Proceed<C>): void {
  const scope = route ?? context.root
  const hooks = scope.hooks.emit
  if (hooks.length === 0) {
    next(context, caller, packet, route, packet.data, expired)
    return
  }
  const request: EmitRequest<ScServerSocket> = { socket: caller.socket, event: packet.event, data: packet.data, authTokenExpiredError: expired }
  let running: void | Promise<void>
  try {
    running = runHooks('emit', hooks, scope.instance, request, context.deadlines.hooks)
  } catch (err) {
    refuseBlocked(context, caller, packet.cid, { line: 'emit', thrown: err, event: packet.event })
    return
  }
  if (running === undefined) {
    next(context, caller, packet, route, replaced(request.data, packet.data), expired)
    return
  }
  const waiting = caller.activity.beginWaiting(packet.data)
  follow(caller, running, () => {
    caller.activity.endWaiting(waiting)
    next(context, caller, packet, route, replaced(request.data, packet.data), expired)
  }, (err) => {
    caller.activity.endWaiting(waiting)
    refuseBlocked(context, caller, packet.cid, { line: 'emit', thrown: err, event: packet.event })
  })
}

/** Returns the data that a hook assigned, or the original data when it is `undefined`. */
function replaced (assigned: unknown, data: unknown): unknown {
  return assigned === undefined ? data : assigned
}

function proceed (context: HandlerContext, session: Session, packet: EventPacket, route: EventRoute | undefined, data: unknown, expired: Error | undefined): void {
  // The connection may have closed while a hook ran.
  if (session.state === 'closed') return
  if (route !== undefined) runRoute(context, session, packet, route, data, expired, null)
  else callListeners(context, session, packet, data)
}
