import type { Redis } from 'ioredis'
import type { EngineSession, OutboundFrame, SessionEvents } from '../remote/engine.js'

/** Connects one client to publish with and one to subscribe with; a subscribed one may not publish everywhere. */
export async function openSession (make: () => Redis, events: SessionEvents): Promise<EngineSession> {
  const publisher = make()
  const subscriber = make()
  const session = new RedisSession(publisher, subscriber, events)
  const connections = [publisher, subscriber].map((client) => connect(client, events))
  subscriber.on('message', (topic: string, text: string) => events.message(topic, text))
  try {
    await Promise.all(connections)
  } catch (err) {
    session.close()
    throw err
  }
  return session
}

/** Connects a client that reports its end. The reason comes in an event of its own, before the rejection. */
export async function connect (client: Redis, events: SessionEvents): Promise<void> {
  let reason: Error | null = null
  client.on('error', (err: Error) => { reason ??= err })
  client.on('end', () => events.lost(reason ?? new Error('the connection was closed')))
  try {
    await client.connect()
  } catch (err) {
    throw reason ?? err
  }
}

/** Sharded Pub/Sub has commands of its own. */
export type FrameCommand = 'publish' | 'spublish'

/** Sends frames in their order, those of a tick in one write, and settles each by its answer. */
export function publishFrames (client: Redis, command: FrameCommand, frames: readonly OutboundFrame[], events: SessionEvents): void {
  if (frames.length === 1) {
    const frame = frames[0]!
    client[command](frame.topic, frame.text).then(() => frame.settle(), (err: Error) => settleBy(frame, err, events))
    return
  }
  const pipeline = client.pipeline()
  for (const frame of frames) pipeline[command](frame.topic, frame.text)
  pipeline.exec().then((answers) => {
    for (let i = 0; i < frames.length; i++) settleBy(frames[i]!, answers?.[i]?.[0], events)
  }, (err: Error) => {
    for (const frame of frames) settleBy(frame, err, events)
  })
}

/** What a node of a cluster says when it isn't the one to ask (any more). */
const wrongNode = /^(?:MOVED|ASK|CLUSTERDOWN|TRYAGAIN|READONLY|LOADING|MASTERDOWN) /

/**
 * Settles a frame by its answer. Anything but an error that Redis itself replied means that the connection is gone, even
 * if its end has not been told yet; the loss of the session settles the frame then.
 */
function settleBy (frame: OutboundFrame, err: Error | null | undefined, events: SessionEvents): void {
  if (err === null || err === undefined) frame.settle()
  else if (err.name !== 'ReplyError') events.lost(new Error('the connection was closed', { cause: err }))
  else if (wrongNode.test(err.message)) events.lost(err)
  else frame.settle(err)
}

/** A subscribe that Redis itself did not refuse failed because the connection is gone: that is told first. */
export function tellLoss (err: Error, events: SessionEvents): never {
  if (err.name !== 'ReplyError') events.lost(new Error('the connection was closed', { cause: err }))
  else if (wrongNode.test(err.message)) events.lost(err)
  throw err
}

class RedisSession implements EngineSession {
  readonly #publisher: Redis
  readonly #subscriber: Redis
  readonly #events: SessionEvents

  constructor (publisher: Redis, subscriber: Redis, events: SessionEvents) {
    this.#events = events
    this.#publisher = publisher
    this.#subscriber = subscriber
  }

  subscribe (topics: readonly string[]): Promise<unknown> {
    return this.#subscriber.subscribe(...topics).catch((err: Error) => tellLoss(err, this.#events))
  }

  unsubscribe (topics: readonly string[]): Promise<unknown> {
    return this.#subscriber.unsubscribe(...topics)
  }

  publish (frames: readonly OutboundFrame[]): void {
    publishFrames(this.#publisher, 'publish', frames, this.#events)
  }

  close (): void {
    this.#publisher.disconnect()
    this.#subscriber.disconnect()
  }
}
