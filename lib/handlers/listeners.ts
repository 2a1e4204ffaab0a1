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

/** Calls the listeners that the application added to the socket, as in SocketCluster. */
export function callListeners (context: HandlerContext, session: Session, packet: EventPacket, data: unknown): void {
  if (packet.cid === undefined) transmitted(context, session, packet.event, data)
  else invoked(context, session, packet.event, packet.cid, data)
}

/** Passes an event without an answer to listeners, then to the loops of `receiver()`. */
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

/** Passed instead of `res` for an event without an answer. */
function ignore (): void {}

/** Passes a call to listeners, then to the loops of `procedure()`. */
function invoked (context: HandlerContext, session: Session, event: string, cid: CallId, data: unknown): void {
  const procedure = session.activeProcedure(event)
  if (procedure === undefined && !session.hasListeners(event)) {
    refuse(context, session, cid, scError('SC_ERR_EVENT_UNKNOWN', [event]), 'deliberate')
    return
  }
  const response = new Response(context, session, cid, event, data)
  const respond = (err?: unknown, answer?: unknown): void => { response.respond(err, answer) }
  session.eachListener(event, (listener) => { invoke(session, listener, response, respond) })
  // The data of the call count with its response, not with the stream.
  procedure?.write(response, undefined)
  response.asked()
}

function invoke (session: Session, listener: AnyListener, response: Response, respond: (err?: unknown, answer?: unknown) => void): void {
  try {
    const running = promiseOf(listener.call(session.socket, response.data, respond))
    if (running === undefined) return
    follow(session, running, (answer) => {
      // An async listener that takes `res` may resolve with nothing and call it later; otherwise its result is the answer.
      if (!response.sent && (answer !== undefined || listener.length < 2)) response.end(answer)
    }, (err: unknown) => { response.fail(err) })
  } catch (err) {
    response.fail(err)
  }
}
