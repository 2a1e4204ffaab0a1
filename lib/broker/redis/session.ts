import type { Redis } from 'ioredis'
import type { EngineSession, OutboundFrame, SessionEvents } from '../engine.js'

/** Connects one client to publish with and one to subscribe with; a subscribed one may not publish everywhere. */
export async function openSession (make: () => Redis, events: SessionEvents): Promise<EngineSession> {
  const publisher = make()
  const subscriber = make()
  const session = new RedisSession(publisher, subscriber)
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

/** Settles each frame by its own answer. */
export function settleBy (frame: OutboundFrame, answer: Promise<unknown>): void {
  answer.then(() => frame.settle(), (err: Error) => frame.settle(err))
}

class RedisSession implements EngineSession {
  readonly #publisher: Redis
  readonly #subscriber: Redis

  constructor (publisher: Redis, subscriber: Redis) {
    this.#publisher = publisher
    this.#subscriber = subscriber
  }

  subscribe (topics: readonly string[]): Promise<unknown> {
    return this.#subscriber.subscribe(...topics)
  }

  unsubscribe (topics: readonly string[]): Promise<unknown> {
    return this.#subscriber.unsubscribe(...topics)
  }

  publish (frames: readonly OutboundFrame[]): void {
    if (frames.length === 1) {
      settleBy(frames[0]!, this.#publisher.publish(frames[0]!.topic, frames[0]!.text))
      return
    }
    // One write for the frames of a tick.
    const pipeline = this.#publisher.pipeline()
    for (const frame of frames) pipeline.publish(frame.topic, frame.text)
    pipeline.exec().then((answers) => {
      for (let i = 0; i < frames.length; i++) frames[i]!.settle(answers?.[i]?.[0] ?? undefined)
    }, (err: Error) => {
      for (const frame of frames) frame.settle(err)
    })
  }

  close (): void {
    this.#publisher.disconnect()
    this.#subscriber.disconnect()
  }
}
