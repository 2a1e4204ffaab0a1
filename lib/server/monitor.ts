import type { FastifyBaseLogger, FastifyRequest } from 'fastify'
import type { ScBlockedMessage } from '../../types/diagnostics.js'
import type { ScHistoryGap } from '../../types/history.js'
import type { ResolvedOptions, SlowConsumerPolicy } from '../../types/options.js'
import type { ConnectStatus, ScServerSocket } from '../../types/server.js'
import type { ScRecoveryStats } from '../../types/stats.js'
import { attempt } from '../barrier.js'
import { diagnostics } from '../diagnostics.js'
import { ScError, ScRefusal } from '../errors.js'
import type { ActionMonitor, Actor, Denial, ToldBlock } from '../handlers/context.js'
import { HookFailure, thrownBy, toBlock } from '../lifecycle/block.js'
import { type FailureKind, logFailure, logHidden, logsMistakes, writeLine } from '../log.js'
import { withHidden } from '../printing.js'
import { type DeclaredErrors, type ErrorOrigin, exposeError, internalError, presentError } from '../protocol/wire-errors.js'
import type { Session } from '../socket/session.js'
import { isInstance, readable } from '../untrusted.js'
import type { Events } from './events.js'

/** Minimum milliseconds between two log lines about refused connections. */
const refusedInterval = 1_000

/**
 * The only place that reports what happens: in the counters of `stats()`, the diagnostics channels, the log, and the events of
 * the server. An error that a client may not see is replaced by an `Internal error` with the id of the log line.
 */
export class Monitor implements ActionMonitor {
  readonly counters = { connects: 0, refusedConnections: 0, blocked: 0, invalid: 0, rateLimited: 0, faults: 0, slowConsumers: 0 }
  readonly recoveries: ScRecoveryStats = { recovered: 0, messages: 0, unknown: 0, trimmed: 0, limit: 0, refused: 0, losses: 0 }
  /** Number of closes by close code. */
  readonly closes = new Map<number, number>()
  readonly #log: FastifyBaseLogger
  readonly #events: Events
  readonly #exposeErrors: boolean
  readonly #warnOfBlocks: boolean
  #refusedLogged = -Infinity

  constructor (log: FastifyBaseLogger, events: Events, options: Pick<ResolvedOptions, 'exposeErrors' | 'middlewareEmitWarnings'>) {
    this.#log = log
    this.#events = events
    this.#exposeErrors = options.exposeErrors
    this.#warnOfBlocks = options.middlewareEmitWarnings
  }

  // Actions

  denied (actor: Actor, denial: Denial): ToldBlock {
    return this.#denied(actor, actor.fastifyRequest, actor.log, denial)
  }

  eventDenied (actor: Actor, denial: Denial, declared: DeclaredErrors | undefined): unknown {
    const error = thrownBy(denial.thrown)
    this.#blocked(actor, actor.fastifyRequest, denial, error)
    return this.failed(actor, error, 'thrown', declared)
  }

  /** Reports an upgrade blocked by `handshakeWS` middleware. */
  upgradeDenied (request: FastifyRequest, thrown: unknown): ToldBlock {
    return this.#denied(null, request, request.log, { line: 'handshakeWS', thrown })
  }

  #denied (actor: Actor | null, request: FastifyRequest, log: FastifyBaseLogger, denial: Denial): ToldBlock {
    const { line, channel, level = 'info', text = 'action blocked' } = denial
    const block = toBlock(line, denial.thrown)
    const { error, origin } = block
    this.#blocked(actor, request, denial, error)
    if (!block.silent && this.#warnOfBlocks && denial.warns !== false) this.#events.fire('warning', [error])
    const shown = presentError(error, origin)
    const fields = { line, channel, event: denial.event, ...whoBlocked(denial) }
    if (shown === undefined) return { ...block, shown: this.#hidden(error, logHidden(log, error, fields)) }
    writeLine(log, level, text, { ...fields, err: error })
    return { ...block, shown }
  }

  /** Counts and publishes a blocked action. Every blocked action passes through here. */
  #blocked (actor: Actor | null, request: FastifyRequest, denial: Denial, error: unknown): void {
    this.counters.blocked++
    if (!diagnostics.blocked.hasSubscribers) return
    const { line, channel, event } = denial
    const message = { socket: actor === null ? null : actor.socket, line, error, ...(channel === undefined ? {} : { channel }), ...(event === undefined ? {} : { event }), ...whoBlocked(denial) }
    diagnostics.blocked.publish(withHidden(message, { request }))
  }

  invalid (session: Session, error: Error): unknown {
    this.countInvalid(session, () => error)
    const shown = presentError(error, 'own')
    if (shown === undefined) {
      // Not the client's fault: a validator of the application threw.
      session.fireLocal('error', error)
      return this.#hidden(error, this.warnHidden(error, session.log))
    }
    session.emitError(error, isInstance(error, ScError) ? undefined : 'mistake')
    return shown
  }

  countInvalid (actor: Actor, error: () => Error): void {
    this.counters.invalid++
    if (diagnostics.invalid.hasSubscribers) diagnostics.invalid.publish({ socket: actor.socket, error: error() })
  }

  failed (actor: Actor, error: unknown, origin: ErrorOrigin, declared?: DeclaredErrors): unknown {
    const shown = presentError(error, origin, declared)
    if (shown === undefined) return this.#hidden(error, this.warnHidden(error, actor.log))
    this.warn(error, actor.log, kindOf(error, origin))
    return shown
  }

  refusal (session: Session, error: unknown, origin: ErrorOrigin): unknown {
    return presentError(error, origin) ?? this.#hidden(error, logHidden(session.log, error))
  }

  /** Returns the error sent in place of a hidden one. With `exposeErrors`, for development, it is the complete error. */
  #hidden (error: unknown, errorId: string): unknown {
    return (this.#exposeErrors ? exposeError(error) : undefined) ?? internalError(errorId)
  }

  rateLimited (actor: Actor, retryAfter: number): void {
    this.counters.rateLimited++
    if (diagnostics.rateLimited.hasSubscribers) diagnostics.rateLimited.publish({ socket: actor.socket, retryAfter })
  }

  // Connections

  /** Reports a connection refused by a limit. Logs at most one line per second, because an attack causes many. */
  refused (address: string, error: ScError): void {
    const refused = ++this.counters.refusedConnections
    if (diagnostics.refused.hasSubscribers) diagnostics.refused.publish({ address, error })
    const now = performance.now()
    if (now - this.#refusedLogged < refusedInterval) return
    this.#refusedLogged = now
    writeLine(this.#log, 'warn', 'connections are refused', { address, reason: error.message, refused })
  }

  connected (session: Session, status: ConnectStatus): void {
    this.counters.connects++
    if (diagnostics.connect.hasSubscribers) diagnostics.connect.publish({ socket: session.socket })
    // Not `session.log`: that logger is created on first use, and most sockets never log.
    writeLine(session.fastifyRequest.log, 'debug', 'socket connected', { socketId: session.id, isAuthenticated: status.isAuthenticated })
  }

  closed (session: Session, code: number): void {
    this.closes.set(code, (this.closes.get(code) ?? 0) + 1)
    if (diagnostics.close.hasSubscribers) diagnostics.close.publish({ socket: session.socket, code })
    writeLine(session.fastifyRequest.log, 'debug', 'socket closed', { socketId: session.id, code })
  }

  /** Publishes a received message. Called only when the diagnostics channel has subscribers. */
  message (session: Session, bytes: number): void {
    diagnostics.message.publish({ socket: session.socket, bytes })
  }

  slowConsumer (session: Session, bufferedBytes: number, policy: SlowConsumerPolicy): void {
    this.counters.slowConsumers++
    writeLine(session.log, 'warn', 'slow consumer', { bufferedBytes, policy })
    if (diagnostics.slowConsumer.hasSubscribers) diagnostics.slowConsumer.publish({ socket: session.socket, bufferedBytes, policy })
    this.#events.fire('slowConsumer', [session.socket, { bufferedBytes, policy }])
  }

  recovered (session: Session, channel: string, count: number): void {
    this.recoveries.recovered++
    this.recoveries.messages += count
    if (diagnostics.recovery.hasSubscribers) diagnostics.recovery.publish({ socket: session.socket, channel, recovered: true, count, reason: null })
  }

  notRecovered (session: Session, channel: string, reason: ScHistoryGap): void {
    this.recoveries[reason]++
    this.#toldOfLoss(session.socket, channel, reason)
  }

  lost (socket: ScServerSocket, channel: string, reason: ScHistoryGap): void {
    this.recoveries.losses++
    this.#toldOfLoss(socket, channel, reason)
  }

  #toldOfLoss (socket: ScServerSocket, channel: string, reason: ScHistoryGap): void {
    if (diagnostics.recovery.hasSubscribers) diagnostics.recovery.publish({ socket, channel, recovered: false, count: 0, reason })
  }

  /** Reports an error thrown by a socket's code that nothing else caught. Never throws, whatever the logger or the error does. */
  fault (session: Session, err: unknown): void {
    this.counters.faults++
    attempt(() => writeLine(session.log, 'error', 'a fault ends the socket', { err }))
    attempt(() => { if (diagnostics.fault.hasSubscribers) diagnostics.fault.publish({ socket: session.socket, error: readable(err) }) })
  }

  // Other reports

  brokerState (state: 'up' | 'down', cause: Error | undefined, broker: { readonly name: string, readonly shared: boolean }): void {
    if (state === 'down') writeLine(this.#log, 'warn', 'broker is down', { err: cause, broker: broker.name })
    else if (broker.shared) writeLine(this.#log, 'info', 'broker is up', { broker: broker.name })
    if (diagnostics.broker.hasSubscribers) diagnostics.broker.publish({ state, cause })
    this.#events.fire('brokerState', [state, cause])
  }

  warn (err: unknown, log: FastifyBaseLogger = this.#log, kind?: FailureKind): void {
    logFailure(log, err, kind)
    this.#events.fire('warning', [readable(err)])
  }

  /** Whether `warn` would reach a listener or this log with a client's mistake. */
  hears (log: FastifyBaseLogger): boolean {
    return this.#events.observed('warning') || logsMistakes(log)
  }

  warnHidden (err: unknown, log: FastifyBaseLogger): string {
    const errorId = logHidden(log, err)
    this.#events.fire('warning', [readable(err)])
    return errorId
  }

  /** Reports an error thrown by a listener of the server's events. */
  listenerFailed (err: unknown, event: string): void {
    // A listener of `warning` that throws must not be called with its own error again.
    if (event === 'warning') logFailure(this.#log, err)
    else this.warn(err)
  }
}

/** How to log an error that the client sees. The library's own errors define it themselves. */
function kindOf (error: unknown, origin: ErrorOrigin): FailureKind | undefined {
  if (isInstance(error, ScError) || isInstance(error, ScRefusal)) return
  return origin === 'own' ? 'mistake' : 'refusal'
}

/** The hook that blocked an action, and its index. A policy is in no hook list and has no index. */
function whoBlocked ({ line, thrown }: Denial): Pick<ScBlockedMessage, 'hook' | 'index' | 'duration'> {
  if (!isInstance(thrown, HookFailure)) return {}
  const { list, hook, index, duration } = thrown
  const place = list !== line ? { hook: list } : hook === undefined ? {} : { hook, index }
  return duration === undefined ? place : { ...place, duration }
}
