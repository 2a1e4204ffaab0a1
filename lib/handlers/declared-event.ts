import type { EventPacket } from '../../types/protocol.js'
import type { EventRequest } from '../../types/hooks.js'
import type { Checked, EventContext, EventRoute, HookLists } from '../../types/routes.js'
import type { ScServerSocket } from '../../types/server.js'
import { follow } from '../barrier.js'
import { scError } from '../errors.js'
import { HookFailure, thrownBy } from '../lifecycle/block.js'
import { runHooks } from '../lifecycle/run.js'
import { printAs } from '../printing.js'
import { promiseOf } from '../promises.js'
import { isInstance } from '../untrusted.js'
import type { Caller, HandlerContext } from './context.js'
import { fail } from './error-answers.js'
import { HandlerWait } from './handler-wait.js'

/** A call of a declared event whose data fit the schema. */
export interface CheckedCall {
  /** The validated data. */
  readonly data: unknown
}

/** The run of one declared event. */
class RouteRun implements EventContext, CheckedCall {
  readonly #context: HandlerContext
  readonly #caller: Caller
  #abort: AbortController | null = null
  #wait: HandlerWait | null = null
  settled = false
  /** The counted bytes while the hooks of the run are pending; such a run counts towards the limit that pauses reading. */
  waiting: number | null = null
  handlerCalled = false
  /** Whether the data failed validation. */
  invalid = false

  constructor (
    context: HandlerContext,
    caller: Caller,
    readonly packet: EventPacket,
    readonly route: EventRoute,
    readonly eventRequest: EventRequest<ScServerSocket>,
    /** Called once, when the data are valid; `null` to go on at once. */
    public checked: ((call: CheckedCall) => void) | null
  ) {
    this.#context = context
    this.#caller = caller
  }

  get context (): HandlerContext { return this.#context }
  get caller (): Caller { return this.#caller }
  get data (): unknown { return this.eventRequest.data }
  get socket (): ScServerSocket { return this.#caller.socket }
  get event (): string { return this.packet.event }
  get config (): unknown { return this.route.config }
  get log (): ScServerSocket['log'] { return this.caller.log }

  get signal (): AbortSignal {
    if (this.#abort === null) {
      const abort = this.#abort = new AbortController()
      if (this.settled || this.caller.state === 'closed') abort.abort()
      else this.caller.abortAtClose(abort)
    }
    return this.#abort.signal
  }

  endWaiting (): void {
    if (this.waiting === null) return
    this.caller.activity.endWaiting(this.waiting)
    this.waiting = null
  }

  settle (): void {
    if (this.settled) return
    this.settled = true
    this.endWaiting()
    this.#wait?.end()
    this.caller.activity.endOwing()
    if (this.#abort !== null) this.caller.keepFromAbort(this.#abort)
  }

  /** Starts the timeout of a run that continues asynchronously. */
  goOn (): void {
    if (this.settled) return
    this.#wait ??= new HandlerWait(this.#caller, this.#context.deadlines.of(this.route.timeout), () => this.#expire())
    if (this.handlerCalled) this.#wait.keep(this.eventRequest.data)
  }

  /** Ends the timeout and the count of a run until `resumeCall`. */
  pause (): void {
    this.endWaiting()
    this.#wait?.end()
    this.#wait = null
  }

  #expire (): void {
    failRoute(this, scError('SC_ERR_HANDLER_TIMEOUT', [this.event, this.route.timeout]))
    this.#abort?.abort()
  }
}

printAs(RouteRun, 'EventContext', ({ event, socket }) => ({ event, socket }))

/** Runs a declared event: validation, `preHandler` hooks, handler, answer, then the hooks that observe. */
export function runRoute (context: HandlerContext, caller: Caller, packet: EventPacket, route: EventRoute, data: unknown, expired: Error | undefined, checked: ((call: CheckedCall) => void) | null): void {
  const request: EventRequest<ScServerSocket> = { socket: caller.socket, event: packet.event, data, config: route.config, authTokenExpiredError: expired }
  const run = new RouteRun(context, caller, packet, route, request, checked)
  caller.activity.beginOwing()
  advance(run, validate)
}

/** Continues a call after `checked`: `preHandler` hooks, handler, answer. @param data replaces the data of the call */
export function resumeCall (call: CheckedCall, data: unknown): void {
  const run = call as RouteRun
  run.eventRequest.data = data
  advance(run, preHandlers)
}

/** Does a step of a run and all that follow it. */
function advance (run: RouteRun, step: (run: RouteRun) => void | Promise<void>): void {
  const { caller } = run
  try {
    const running = step(run)
    if (running !== undefined) {
      run.goOn()
      if (!run.handlerCalled && !run.settled) run.waiting = caller.activity.beginWaiting(run.eventRequest.data)
      follow(caller, running, nothing, (err) => failRoute(run, err))
    }
  } catch (err) {
    failRoute(run, err)
  }
}

// Each step calls the next one at once, or returns a promise of all remaining steps.

function validate (run: RouteRun): void | Promise<void> {
  const { validate } = run.route
  if (validate === null) return preHandlers(run)
  const checked = validate(run.eventRequest.data)
  if (checked instanceof Promise) return checked.then((result) => validated(run, result))
  return validated(run, checked)
}

function validated (run: RouteRun, checked: Checked): void | Promise<void> {
  if (checked.error !== undefined) {
    const { error } = checked
    run.context.monitor.countInvalid(run.caller, () => error)
    run.invalid = true
    throw checked.error
  }
  run.eventRequest.data = checked.value
  return preHandlers(run)
}

function preHandlers (run: RouteRun): void | Promise<void> {
  const { route, context, eventRequest: request, checked } = run
  if (checked !== null) {
    run.checked = null
    run.pause()
    checked(run)
    return
  }
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
  if (run.caller.state === 'closed') {
    run.settle()
    return
  }
  run.handlerCalled = true
  run.endWaiting()
  const result = route.handler.call(route.instance, request.data, run)
  const running = promiseOf(result)
  if (running !== undefined) {
    run.goOn()
    return running.then((answer) => answered(run, answer))
  }
  return answered(run, result)
}

function answered (run: RouteRun, answer: unknown): void | Promise<void> {
  if (run.settled) return
  const { packet, route, caller } = run
  if (packet.cid !== undefined) {
    if (route.serialize === null) {
      caller.outbound.ack(packet.cid, answer)
    } else {
      caller.outbound.jsonAck(packet.cid, route.serialize(answer))
    }
  }
  run.settle()
  const hooks = route.hooks.onResponse
  if (hooks.length === 0) return
  run.eventRequest.response = answer
  after(run, 'onResponse', hooks)
}

function failRoute (run: RouteRun, failure: unknown): void {
  const error = thrownBy(failure)
  if (run.settled) {
    run.context.monitor.warn(error, run.caller.log)
    return
  }
  run.settle()
  const { context, packet, route, caller } = run
  if (isInstance(failure, HookFailure)) {
    const shown = context.monitor.eventDenied(caller, { line: failure.list === 'request' ? 'request' : 'preHandler', thrown: failure, event: run.event }, route.errors)
    if (packet.cid !== undefined) caller.outbound.errorAck(packet.cid, shown, undefined, true)
  } else {
    fail(context, caller, packet.cid, error, run.invalid ? 'own' : 'thrown', route.errors)
  }
  if (route.hooks.onError.length === 0) return
  run.eventRequest.error = error
  after(run, 'onError', route.hooks.onError)
}

/** Runs hooks that observe. The client has its answer already, so an error is only a warning. */
function after (run: RouteRun, line: 'onResponse' | 'onError', hooks: HookLists['onResponse' | 'onError']): void {
  const { context, eventRequest: request, route, caller } = run
  const failed = (failure: unknown): void => context.monitor.warn(thrownBy(failure), caller.log)
  try {
    const running = runHooks(line, hooks, route.instance, request, context.deadlines.hooks)
    if (running !== undefined) follow(caller, running, nothing, failed)
  } catch (err) {
    failed(err)
  }
}

function nothing (): void {}
