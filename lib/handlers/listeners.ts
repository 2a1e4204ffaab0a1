import type { EventPacket } from '../../types/protocol.js'
import { follow } from '../barrier.js'
import { scError } from '../errors.js'
import { promiseOf } from '../promises.js'
import { Owed } from '../socket/activity.js'
import type { Session } from '../socket/session.js'
import type { HandlerContext } from './context.js'
import { refuse } from './error-answers.js'
import { Response } from './response.js'

/** Calls the socket's own listeners of an event, as in SocketCluster. */
export function callListeners (context: HandlerContext, session: Session, packet: EventPacket, data: unknown): void {
  const { event, cid } = packet
  const receiver = cid === undefined ? session.activeReceiver(event) : undefined
  const procedure = cid === undefined ? undefined : session.activeProcedure(event)
  if (!session.hasListeners(event) && receiver === undefined && procedure === undefined) {
    if (cid !== undefined) refuse(context, session, cid, scError('SC_ERR_EVENT_UNKNOWN', [event]), 'deliberate')
    return
  }
  const response = cid === undefined ? null : new Response(context, session, cid, event, data)
  const respond = response === null ? () => {} : (err?: unknown, answer?: unknown) => response.respond(err, answer)
  session.eachListener(event, (listener) => {
    const failed = (err: unknown): void => {
      if (response === null) context.monitor.warn(err, session.log)
      else response.fail(err)
    }
    try {
      const running = promiseOf(listener.call(session.socket, data, respond))
      if (running === undefined) return
      const wait = response === null ? new UnansweredWait(context, session, data) : null
      follow(session, running, (answer) => {
        wait?.end()
        // An async handler that takes `res` may still use it; one that does not has nothing more to say.
        if (response !== null && !response.sent && (answer !== undefined || listener.length < 2)) response.end(answer)
      }, (err: unknown) => {
        wait?.end()
        failed(err)
      })
    } catch (err) {
      failed(err)
    }
  })
  if (response === null) {
    receiver?.write(data, data)
    return
  }
  // Its data count with the answer that is owed.
  procedure?.write(response, undefined)
  if (response.sent) return
  session.activity.keep(response, data)
  context.deadlines.handlers.add(response)
}

/** An asynchronous handler of an event that nobody waits for: what it keeps counts until it is done, or its time is over. */
class UnansweredWait extends Owed {
  constructor (context: HandlerContext, readonly session: Session, data: unknown) {
    super()
    session.activity.keep(this, data)
    context.deadlines.handlers.add(this)
  }

  end (): void {
    this.cancel()
    this.session.activity.forget(this)
  }

  expire (): void {
    this.end()
  }

  fault (err: unknown): void {
    this.session.fault(err)
  }
}
