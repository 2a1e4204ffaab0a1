import { channel } from 'node:diagnostics_channel'
import type { ScDiagnostics } from '../types/diagnostics.js'

/** A diagnostics channel that knows what is published on it. */
interface Channel<Message> {
  readonly name: string
  /** To be asked before a message is made. */
  readonly hasSubscribers: boolean
  publish (message: Message): void
}

function typed<Name extends keyof ScDiagnostics> (name: Name): Channel<ScDiagnostics[Name]> {
  return channel(name) as Channel<ScDiagnostics[Name]>
}

/**
 * What happens, on `node:diagnostics_channel`, for metrics and tracing. Each publishes one object, and only while somebody
 * listens; `ScDiagnostics` says what is in it, `docs/robustness.md` too.
 */
export const diagnostics = {
  connect: typed('sc:socket:connect'),
  refused: typed('sc:upgrade:refused'),
  close: typed('sc:socket:close'),
  message: typed('sc:socket:message'),
  fault: typed('sc:socket:fault'),
  slowConsumer: typed('sc:socket:slow'),
  blocked: typed('sc:action:blocked'),
  invalid: typed('sc:action:invalid'),
  rateLimited: typed('sc:action:rate-limited'),
  publish: typed('sc:publish'),
  broker: typed('sc:broker:state')
} as const
