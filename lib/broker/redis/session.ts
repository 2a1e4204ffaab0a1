import type { Redis } from 'ioredis'
import type { EngineSession, EngineStore, OutboundFrame, SessionEvents, StoredRequest } from '../remote/engine.js'
import type { StoredHistory } from '../remote/history/stored.js'
import { ConnectionHistory, type FrameCommand, readAnswer } from './history.js'
import { withRights } from './rights.js'
import { ConnectionStore } from './store.js'

/** Opens two connections, one to publish and one to subscribe: not every Redis lets a subscribed connection publish. */
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

/** Connects a client and reports its end. ioredis emits the reason as an `error` event before it rejects. */
export async function connect (client: Redis, events: SessionEvents): Promise<void> {
  let reason: Error | null = null
  client.on('error', (err: Error) => { reason ??= err })
  client.on('end', () => events.lost(reason ?? new Error('the connection was closed')))
  try {
    await client.connect()
  } catch (err) {
    throw withRights(reason ?? err as Error)
  }
}

/** Sends frames in order, with one write for several, and settles each with its answer. */
export function publishFrames (client: Redis, history: ConnectionHistory, command: FrameCommand, frames: readonly OutboundFrame[], events: SessionEvents): void {
  if (frames.length === 1) {
    const frame = frames[0]!
    const answer: Promise<unknown> = frame.kept === null ? client[command](frame.topic, frame.text) : history.publish(client, command, frame)
    answer.then((reply) => settleBy(frame, null, reply, events), (err: Error) => settleBy(frame, err, null, events))
    return
  }
  const pipeline = client.pipeline()
  for (const frame of frames) {
    if (frame.kept === null) pipeline[command](frame.topic, frame.text)
    else history.publish(pipeline, command, frame)
  }
  pipeline.exec().then((answers) => {
    for (let i = 0; i < frames.length; i++) settleBy(frames[i]!, answers?.[i]?.[0], answers?.[i]?.[1], events)
  }, (err: Error) => {
    for (const frame of frames) settleBy(frame, err, null, events)
  })
}

/** Errors of a node that is not, or no longer, responsible, or that lost the scripts: only a new session helps. */
const wrongNode = /^(?:MOVED|ASK|CLUSTERDOWN|TRYAGAIN|READONLY|LOADING|MASTERDOWN|NOSCRIPT) /

/**
 * Settles a frame with its answer. An error that is not a reply of Redis means that the connection is gone, even if its end was
 * not reported yet. The session is then reported lost, which settles the frame.
 */
function settleBy (frame: OutboundFrame, err: Error | null | undefined, reply: unknown, events: SessionEvents): void {
  if (err === null || err === undefined) {
    const kept = typeof reply === 'string' ? readAnswer(reply) : undefined
    frame.settle(undefined, kept?.repeats, kept?.place)
  } else if (err.name !== 'ReplyError') events.lost(new Error('the connection was closed', { cause: err }))
  else if (wrongNode.test(err.message)) events.lost(err)
  else frame.settle(withRights(err))
}

/** Rethrows the error of a failed subscribe or read. Unless Redis itself refused it, the session is reported lost first. */
export function tellLoss (err: Error, events: SessionEvents): never {
  if (err.name !== 'ReplyError') events.lost(new Error('the connection was closed', { cause: err }))
  else if (wrongNode.test(err.message)) events.lost(err)
  throw withRights(err)
}

/** A store whose errors are told as those of a subscribe are. @param storeOf returns the store on the connection for a topic */
export function toldStore (storeOf: (topic: string) => EngineStore, events: SessionEvents): EngineStore {
  const told = (err: Error): never => tellLoss(err, events)
  return {
    add: (topic, value, ttl) => storeOf(topic).add(topic, value, ttl).catch(told),
    replace: (topic, expected, value, ttl) => storeOf(topic).replace(topic, expected, value, ttl).catch(told)
  }
}

class RedisSession implements EngineSession {
  readonly #publisher: Redis
  readonly #subscriber: Redis
  readonly #events: SessionEvents
  readonly #history: ConnectionHistory
  readonly store: EngineStore

  constructor (publisher: Redis, subscriber: Redis, events: SessionEvents) {
    this.#events = events
    this.#publisher = publisher
    this.#subscriber = subscriber
    this.#history = new ConnectionHistory(publisher)
    const store = new ConnectionStore(publisher)
    this.store = toldStore(() => store, events)
  }

  subscribe (topics: readonly string[]): Promise<unknown> {
    return this.#subscriber.subscribe(...topics).catch((err: Error) => tellLoss(err, this.#events))
  }

  unsubscribe (topics: readonly string[]): Promise<unknown> {
    return this.#subscriber.unsubscribe(...topics).catch((err: Error) => { throw withRights(err) })
  }

  publish (frames: readonly OutboundFrame[]): void {
    publishFrames(this.#publisher, this.#history, 'publish', frames, this.#events)
  }

  readHistory (request: StoredRequest): Promise<StoredHistory> {
    return this.#history.read(request).catch((err: Error) => tellLoss(err, this.#events))
  }

  close (): void {
    this.#publisher.disconnect()
    this.#subscriber.disconnect()
  }
}
