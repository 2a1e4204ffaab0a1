import { channel } from 'node:diagnostics_channel'
import type { ScDiagnostics } from '../types/diagnostics.js'

/** A diagnostics channel with typed messages. */
interface Channel<Message> {
  readonly name: string
  /** Check this before creating a message. */
  readonly hasSubscribers: boolean
  publish (message: Message): void
}

function typed<Name extends keyof ScDiagnostics> (name: Name): Channel<ScDiagnostics[Name]> {
  return channel(name) as Channel<ScDiagnostics[Name]>
}

/**
 * The diagnostics channels of `node:diagnostics_channel`, for metrics and tracing. Each message is one object, and is published
 * only while the channel has subscribers. `ScDiagnostics` and `docs/robustness.md` describe the messages.
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
  recovery: typed('sc:recovery'),
  broker: typed('sc:broker:state')
} as const
