import type { EventPacket } from '../../types/protocol.js'
import type { EmitRequest } from '../../types/hooks.js'
import type { EventRoute } from '../../types/routes.js'
import type { ScServerSocket } from '../../types/server.js'
import { follow } from '../barrier.js'
import { runHooks } from '../lifecycle/run.js'
import type { Session } from '../socket/session.js'
import type { HandlerContext, PacketHandler } from './context.js'
import { runRoute } from './declared-event.js'
import { callListeners } from './listeners.js'
import { refuseBlocked } from './error-answers.js'

/** Handles an event of the application: `emit` hooks, then the declared route or, without one, the listeners of the socket. */
export const handleEvent: PacketHandler = (context, session, packet, expired) => {
  const route = context.contracts.event(packet.event)
  const scope = route ?? context.root
  const hooks = scope.hooks.emit
  if (hooks.length === 0) {
    proceed(context, session, packet, route, packet.data, expired)
    return
  }
  const request: EmitRequest<ScServerSocket> = { socket: session.socket, event: packet.event, data: packet.data, authTokenExpiredError: expired }
  let running: void | Promise<void>
  try {
    running = runHooks('emit', hooks, scope.instance, request, context.deadlines.hooks)
  } catch (err) {
    refuseBlocked(context, session, packet.cid, { line: 'emit', thrown: err, event: packet.event })
    return
  }
  if (running === undefined) {
    proceed(context, session, packet, route, replaced(request.data, packet.data), expired)
    return
  }
  const waiting = session.activity.beginWaiting(packet.data)
  follow(session, running, () => {
    session.activity.endWaiting(waiting)
    proceed(context, session, packet, route, replaced(request.data, packet.data), expired)
  }, (err) => {
    session.activity.endWaiting(waiting)
    refuseBlocked(context, session, packet.cid, { line: 'emit', thrown: err, event: packet.event })
  })
}

/** Returns the data that a hook assigned, or the original data when it is `undefined`. */
function replaced (assigned: unknown, data: unknown): unknown {
  return assigned === undefined ? data : assigned
}

function proceed (context: HandlerContext, session: Session, packet: EventPacket, route: EventRoute | undefined, data: unknown, expired: Error | undefined): void {
  // The connection may have closed while a hook ran.
  if (session.state === 'closed') return
  if (route !== undefined) runRoute(context, session, packet, route, data, expired)
  else callListeners(context, session, packet, data)
}
