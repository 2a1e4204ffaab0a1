import type { CallId, EventPacket } from '../../types/protocol.js'
import type { AnyListener } from '../../types/user-data.js'
import { follow } from '../barrier.js'
import { scError } from '../errors.js'
import { promiseOf } from '../promises.js'
import type { Session } from '../socket/session.js'
import type { HandlerContext } from './context.js'
import { refuse } from './error-answers.js'
import { HandlerWait } from './handler-wait.js'
import { Response } from './response.js'

/** Calls the socket's own listeners of an event, as in SocketCluster. */
export function callListeners (context: HandlerContext, session: Session, packet: EventPacket, data: unknown): void {
  if (packet.cid === undefined) transmitted(context, session, packet.event, data)
  else invoked(context, session, packet.event, packet.cid, data)
}

/** An event that nobody waits for: listeners, then the loops of `receiver()`. */
function transmitted (context: HandlerContext, session: Session, event: string, data: unknown): void {
  const receiver = session.activeReceiver(event)
  session.eachListener(event, (listener) => { transmit(context, session, listener, data) })
  receiver?.write(data, data)
}

function transmit (context: HandlerContext, session: Session, listener: AnyListener, data: unknown): void {
  try {
    const running = promiseOf(listener.call(session.socket, data, ignore))
    if (running === undefined) return
    const wait = new HandlerWait(session, context.deadlines.handlers, null).keep(data)
    follow(session, running, () => { wait.end() }, (err: unknown) => {
      wait.end()
      context.monitor.warn(err, session.log)
    })
  } catch (err) {
    context.monitor.warn(err, session.log)
  }
}

/** In the place of `res`, for an event that nobody waits for. */
function ignore (): void {}

/** A call that wants an answer: listeners, then the loops of `procedure()`. */
function invoked (context: HandlerContext, session: Session, event: string, cid: CallId, data: unknown): void {
  const procedure = session.activeProcedure(event)
  if (procedure === undefined && !session.hasListeners(event)) {
    refuse(context, session, cid, scError('SC_ERR_EVENT_UNKNOWN', [event]), 'deliberate')
    return
  }
  const response = new Response(context, session, cid, event, data)
  const respond = (err?: unknown, answer?: unknown): void => { response.respond(err, answer) }
  session.eachListener(event, (listener) => { invoke(session, listener, response, respond) })
  // Its data count with the answer that is owed.
  procedure?.write(response, undefined)
  response.asked()
}

function invoke (session: Session, listener: AnyListener, response: Response, respond: (err?: unknown, answer?: unknown) => void): void {
  try {
    const running = promiseOf(listener.call(session.socket, response.data, respond))
    if (running === undefined) return
    follow(session, running, (answer) => {
      // An async handler that takes `res` may still use it; one that does not has nothing more to say.
      if (!response.sent && (answer !== undefined || listener.length < 2)) response.end(answer)
    }, (err: unknown) => { response.fail(err) })
  } catch (err) {
    response.fail(err)
  }
}
