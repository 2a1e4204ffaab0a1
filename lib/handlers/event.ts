import type { EventPacket } from '../../types/protocol.js'
import type { EmitRequest, EventRequest } from '../../types/hooks.js'
import type { Checked, EventContext, EventRoute } from '../../types/routes.js'
import type { ScServerSocket } from '../../types/server.js'
import { follow } from '../barrier.js'
import { scError } from '../errors.js'
import { runHooks } from '../lifecycle/run.js'
import { printAs } from '../printing.js'
import { promiseOf } from '../promises.js'
import { Owed } from '../socket/activity.js'
import type { Session } from '../socket/session.js'
import type { HandlerContext, PacketHandler } from './context.js'
import { fail, refuse, refuseBlocked } from './refuse.js'
import { Response } from './response.js'

/** An application's event: `emit` hooks, then the declared route, or else the socket's own listeners. */
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
    refuseBlocked(context, session, 'emit', err, packet.cid)
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
    refuseBlocked(context, session, 'emit', err, packet.cid)
  })
}

/** Data that a hook assigned; `undefined` keeps the old value. */
function replaced (assigned: unknown, data: unknown): unknown {
  return assigned === undefined ? data : assigned
}

function proceed (context: HandlerContext, session: Session, packet: EventPacket, route: EventRoute | undefined, data: unknown, expired: Error | undefined): void {
  // A hook took its time and the connection went away meanwhile.
  if (session.state === 'closed') return
  if (route !== undefined) runRoute(context, session, packet, route, data, expired)
  else callListeners(context, session, packet, data)
}

// Listeners of the socket, as in SocketCluster.

function callListeners (context: HandlerContext, session: Session, packet: EventPacket, data: unknown): void {
  const { event, cid } = packet
  const stream = cid === undefined ? session.activeReceiver(event) : session.activeProcedure(event)
  if (!session.hasListeners(event) && stream === undefined) {
    if (cid !== undefined) refuse(session, cid, scError('SC_ERR_EVENT_UNKNOWN', [event]), 'deliberate')
    return
  }
  const response = cid === undefined ? null : new Response(session, cid, event, data)
  const respond = response === null ? nothing : (err?: unknown, answer?: unknown) => response.respond(err, answer)
  session.eachListener(event, (listener) => {
    const failed = (err: unknown): void => {
      if (response === null) session.host.warn(err, session.log)
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
    stream?.write(data, data)
    return
  }
  // Its data count with the answer that is owed.
  stream?.write(response, undefined)
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

function nothing (): void {}

// Declared events.

/** The run of one declared event. */
class RouteRun extends Owed implements EventContext {
  readonly #context: HandlerContext
  readonly #session: Session
  #abort: AbortController | null = null
  settled = false
  /** It holds up reading while its hooks are asked: the bytes that wait with it. */
  waiting: number | null = null
  handlerCalled = false
  /** Its data did not fit the schema. */
  invalid = false
  readonly #onClose = (): void => this.#abort!.abort()

  constructor (
    context: HandlerContext,
    session: Session,
    readonly packet: EventPacket,
    readonly route: EventRoute,
    readonly eventRequest: EventRequest<ScServerSocket>
  ) {
    super()
    this.#context = context
    this.#session = session
  }

  get context (): HandlerContext { return this.#context }
  get session (): Session { return this.#session }
  get socket (): ScServerSocket { return this.#session.socket }
  get event (): string { return this.packet.event }
  get config (): unknown { return this.route.config }
  get log (): ScServerSocket['log'] { return this.session.log }

  get signal (): AbortSignal {
    if (this.#abort === null) {
      this.#abort = new AbortController()
      if (this.settled || this.session.state === 'closed') this.#abort.abort()
      else this.session.once('close', this.#onClose)
    }
    return this.#abort.signal
  }

  endWaiting (): void {
    if (this.waiting === null) return
    this.session.activity.endWaiting(this.waiting)
    this.waiting = null
  }

  settle (): void {
    if (this.settled) return
    this.settled = true
    this.endWaiting()
    this.cancel()
    this.session.activity.forget(this)
    this.session.activity.endOwing()
    if (this.#abort !== null) this.session.off('close', this.#onClose)
  }

  expire (): void {
    if (this.settled) return
    failRoute(this, scError('SC_ERR_HANDLER_TIMEOUT', [this.event, this.route.timeout]))
    this.#abort?.abort()
  }

  fault (err: unknown): void {
    this.session.fault(err)
  }
}

printAs(RouteRun, 'EventContext', ({ event, socket }) => ({ event, socket }))

function runRoute (context: HandlerContext, session: Session, packet: EventPacket, route: EventRoute, data: unknown, expired: Error | undefined): void {
  const request: EventRequest<ScServerSocket> = { socket: session.socket, event: packet.event, data, config: route.config, authTokenExpiredError: expired }
  const run = new RouteRun(context, session, packet, route, request)
  session.activity.beginOwing()
  try {
    const running = validate(run)
    if (running !== undefined) {
      limit(run)
      if (!run.handlerCalled && !run.settled) run.waiting = session.activity.beginWaiting(data)
      follow(session, running, nothing, (err) => failRoute(run, err))
    }
  } catch (err) {
    failRoute(run, err)
  }
}

/** It goes on asynchronously. */
function limit (run: RouteRun): void {
  if (run.settled) return
  if (run.handlerCalled && run.heldBytes === 0) run.session.activity.keep(run, run.eventRequest.data)
  if (run.list === null) run.context.deadlines.of(run.route.timeout).add(run)
}

// Each step goes on with the next at once, or returns a promise of the whole rest.

function validate (run: RouteRun): void | Promise<void> {
  const { validate } = run.route
  if (validate === null) return preHandlers(run)
  const checked = validate(run.eventRequest.data)
  if (checked instanceof Promise) return checked.then((result) => validated(run, result))
  return validated(run, checked)
}

function validated (run: RouteRun, checked: Checked): void | Promise<void> {
  if (checked.error !== undefined) {
    run.context.counters.invalid++
    run.invalid = true
    throw checked.error
  }
  run.eventRequest.data = checked.value
  return preHandlers(run)
}

function preHandlers (run: RouteRun): void | Promise<void> {
  const { route, context, eventRequest: request } = run
  if (route.hooks.preHandler.length !== 0) {
    const running = runHooks('preHandler', route.hooks.preHandler, route.instance, request, context.deadlines.hooks)
    if (running !== undefined) return running.then(() => ownPreHandlers(run))
  }
  return ownPreHandlers(run)
}

function ownPreHandlers (run: RouteRun): void | Promise<void> {
  const { route, context, eventRequest: request } = run
  if (route.preHandler.length !== 0) {
    const running = runHooks('preHandler', route.preHandler, route.instance, request, context.deadlines.hooks)
    if (running !== undefined) return running.then(() => handle(run))
  }
  return handle(run)
}

function handle (run: RouteRun): void | Promise<void> {
  const { route, eventRequest: request } = run
  if (run.settled) return
  if (run.session.state === 'closed') {
    run.settle()
    return
  }
  run.handlerCalled = true
  run.endWaiting()
  const result = route.handler.call(route.instance, request.data, run)
  const running = promiseOf(result)
  if (running !== undefined) {
    limit(run)
    return running.then((answer) => answered(run, answer))
  }
  return answered(run, result)
}

function answered (run: RouteRun, answer: unknown): void | Promise<void> {
  if (run.settled) return
  const { packet, route, session } = run
  if (packet.cid !== undefined) {
    if (route.serialize === null) {
      session.outbound.ack(packet.cid, answer)
    } else {
      session.outbound.jsonAck(packet.cid, route.serialize(answer))
    }
  }
  run.settle()
  const hooks = route.hooks.onResponse
  if (hooks.length === 0) return
  run.eventRequest.response = answer
  after(run, 'onResponse', hooks)
}

function failRoute (run: RouteRun, error: unknown): void {
  if (run.settled) {
    run.session.host.warn(error, run.session.log)
    return
  }
  run.settle()
  const { packet, route, session } = run
  fail(session, packet.cid, error, run.invalid ? 'own' : 'thrown', route.errors)
  if (route.hooks.onError.length === 0) return
  run.eventRequest.error = error
  after(run, 'onError', route.hooks.onError)
}

/** Hooks that observe: the client has its answer, so what they throw is a warning. */
function after (run: RouteRun, line: 'onResponse' | 'onError', hooks: ReadonlyArray<(this: any, request: any) => unknown>): void {
  const { context, eventRequest: request, route, session } = run
  try {
    const running = runHooks(line, hooks, route.instance, request, context.deadlines.hooks)
    if (running !== undefined) follow(session, running, nothing, (err) => session.host.warn(err, session.log))
  } catch (err) {
    session.host.warn(err, session.log)
  }
}
