import type { BrokerPosition, MaybePromise } from '../../types/broker.js'
import type { SlowConsumerPolicy } from '../../types/options.js'
import type { CodecEngine } from '../../types/protocol.js'
import type { ResolvedChannel } from '../../types/routes.js'
import type { Deadlines } from '../deadlines.js'
import type { Subscriber } from './deliver.js'

/** What has to be done before a subscriber is added to a channel: nothing, or a step that may take several turns. */
export type Preparation = (() => MaybePromise<void>) | null

/** The server's own subscriber of a channel. */
export interface Watcher {
  /** @param json the message as JSON text; empty for `undefined` @param position present if the history keeps the message */
  receive (json: string, position?: BrokerPosition): void
}

/** The part of the server that the hub uses. */
export interface HubHost {
  readonly codec: CodecEngine
  readonly plainJson: boolean
  readonly slowConsumerPolicy: SlowConsumerPolicy
  readonly hookDeadlines: Deadlines
  /** Reports a recipient that a hook or a policy left out. */
  leftOut (subscriber: Subscriber, channel: string, thrown: unknown): void
  /** Reports a subscriber that is told that messages may be missing. */
  lost (subscriber: Subscriber, channel: string): void
  /** Reports an error that concerns no single recipient. */
  warn (err: unknown): void
  /** Who is in channels; used for channels that are declared with presence, and for their companions. */
  readonly presence: HubPresence
}

/** The part of presence that the hub uses. */
export interface HubPresence {
  /** A companion gets its first subscriber. Settles when it can be shown who is there. */
  hold (companion: string): MaybePromise<void>
  /** A companion lost its last subscriber. */
  release (companion: string): void
  /** A subscriber left a channel with presence. */
  left (subscriber: Subscriber, channel: string, resolved: ResolvedChannel): void
}
