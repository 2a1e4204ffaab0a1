import type { BrokerHistoryLimits, BrokerPosition, BrokerSink } from '../../../../types/broker.js'
import type { EngineSession } from '../engine.js'

/** The parts of the broker that its history uses. */
export interface RemoteHistoryPort {
  /** The session in use; `null` while the engine is down. */
  readonly session: EngineSession | null
  readonly sink: Pick<BrokerSink, 'publication' | 'gap'>
  /** A frame was dropped. */
  dropped (reason: string): void
  topicOf (channel: string): string
  publish (channel: string, data: string, limits: BrokerHistoryLimits): Promise<void>
  /** Absent if the engine does not look at keys. */
  publishOnce?: ((channel: string, data: string, limits: BrokerHistoryLimits, key: string) => Promise<boolean>) | undefined
  append (channel: string, data: string, limits: BrokerHistoryLimits, key: string | undefined): Promise<BrokerPosition | null>
  /** Returns the messages of a frame that the engine kept, and whether they need no further check; `null` if it cannot be read. */
  open (topic: string, text: string): { readonly messages: readonly string[], readonly trusted: boolean } | null
  /** The error of every operation while the engine is down. */
  downError (): Error
}
