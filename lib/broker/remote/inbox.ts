import type { BrokerCounters, BrokerSink } from '../../../types/broker.js'
import type { Envelope } from './envelope.js'
import type { ReadFrame } from './frames.js'
import { isPositioned, readPositioned, type Positioned } from './history/positioned.js'
import type { RemoteHistory } from './history/remote-history.js'
import { readKept, withoutRepeats } from './history/repeats.js'
import type { Topics } from './topics.js'

/** The parts of the broker that the inbox uses to read frames and to deliver messages. */
export interface InboxPort {
  readonly nodeId: string
  /** The topic of this node, and the topic of all nodes. */
  readonly ownTopic: string
  readonly allTopic: string
  readonly envelope: Pick<Envelope, 'open'>
  readonly topics: Pick<Topics, 'channelOf'>
  /** Receives frames with a position; `null` if the engine keeps no histories. */
  readonly history: Pick<RemoteHistory, 'receive'> | null
  readonly sink: Pick<BrokerSink, 'publication' | 'control' | 'dropped'>
  /** A probe of this node came back. */
  probeReturned (): void
}

/** Receives frames from the engine: opens them, checks that they fit their topic, and delivers their messages. */
export class Inbox {
  readonly #port: InboxPort
  readonly #counters: Pick<BrokerCounters, 'framesIn' | 'messagesIn' | 'framesDropped'>

  constructor (port: InboxPort, counters: Pick<BrokerCounters, 'framesIn' | 'messagesIn' | 'framesDropped'>) {
    this.#port = port
    this.#counters = counters
  }

  /** @param received the text of a frame, or a frame with its position that was read */
  receive (topic: string, received: string | Positioned): void {
    const { history } = this.#port
    this.#counters.framesIn++
    if (typeof received !== 'string') this.#receivePositioned(history!, topic, received)
    else if (history !== null && isPositioned(received)) this.#receivePositioned(history, topic, readPositioned(received))
    else this.#receiveText(topic, received)
  }

  #receiveText (topic: string, text: string): void {
    const { envelope, topics, sink, ownTopic, allTopic } = this.#port
    const frame = envelope.open(topic, text)
    if (typeof frame === 'string') {
      this.#drop(frame)
      return
    }
    if (frame.hasUnknown) sink.dropped?.('fields of messages, which are delivered without them: other processes run a later version of this package')
    const channel = topics.channelOf(topic)
    if (channel !== undefined) {
      if (frame.kind !== 'm') {
        this.#drop('frames of a kind that does not belong to a channel')
        return
      }
      this.#counters.messagesIn += frame.messages.length
      for (const message of frame.messages) sink.publication(channel, message, frame.trusted)
    } else if (topic === ownTopic || topic === allTopic) {
      this.#control(topic, frame)
    }
    // Otherwise the channel was just unsubscribed.
  }

  /** Returns the messages of a frame that the engine kept, and whether they need no further check; `null` if it cannot be used. */
  openKept (topic: string, text: string): { readonly messages: readonly string[], readonly trusted: boolean } | null {
    const { envelope } = this.#port
    const { frame: sent, repeats } = readKept(text)
    const frame = envelope.open(topic, sent)
    if (typeof frame === 'string' || frame.kind !== 'm') {
      this.#drop(typeof frame === 'string' ? frame : 'frames of a kind that does not belong to a channel')
      return null
    }
    return { messages: withoutRepeats(frame.messages, repeats), trusted: frame.trusted }
  }

  #receivePositioned (history: Pick<RemoteHistory, 'receive'>, topic: string, positioned: Positioned | null): void {
    const channel = this.#port.topics.channelOf(topic)
    if (positioned === null || channel === undefined) {
      // Otherwise the channel was just unsubscribed.
      if (positioned === null) this.#drop('frames that cannot be read')
      return
    }
    const opened = this.openKept(topic, positioned.frame)
    this.#counters.messagesIn += opened?.messages.length ?? 0
    history.receive(channel, positioned, opened?.messages ?? null, opened?.trusted ?? false)
  }

  #control (topic: string, { kind, nodeId, messages }: ReadFrame): void {
    const { sink, ownTopic } = this.#port
    const own = nodeId === this.#port.nodeId
    if (kind === 'p' && own && topic === ownTopic) this.#port.probeReturned()
    else if (kind !== 'c') this.#drop("frames of a kind that does not belong to a node's own topic")
    else if (!own) {
      const from = apart(nodeId)
      for (const message of messages) sink.control(message, from)
    }
  }

  #drop (reason: string): void {
    this.#counters.framesDropped++
    this.#port.sink.dropped?.(reason)
  }
}

/** Copies a node id. Ids are kept, and a substring would keep the whole frame in memory, which may be large. */
function apart (id: string): string {
  return Buffer.from(id, 'latin1').toString('latin1')
}
