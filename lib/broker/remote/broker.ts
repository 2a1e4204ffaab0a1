import type { Broker, BrokerCounters, BrokerNode, BrokerOrder, BrokerSink } from '../../../types/broker.js'
import { ScError, scError } from '../../errors.js'
import type { Engine, EngineSession, OutboundFrame } from './engine.js'
import { decodeFrame, encodeFrame, idPattern, maxFrameMessages, maxFrameSize, type FrameKind } from './frames.js'
import { OwnFrames } from './own-frames.js'
import type { ResolvedRemoteOptions } from './options.js'
import { Seal, isSealed } from './seal.js'

/** Topics in one call when everything is subscribed again, and how many such calls may be in flight. */
const resubscribeBatch = 1000
const resubscribeWindow = 8

/** A subscribe or unsubscribe that the engine has not answered. */
interface Operation {
  readonly sentAt: number
  readonly abort: (err: Error) => void
}

/** The messages of one tick for one topic. Everyone who publishes into it gets the same promise. */
class OpenFrame implements OutboundFrame {
  text = ''
  size = 0
  sentAt = 0
  readonly messages: string[] = []
  readonly accepted: Promise<void>
  settle!: (err?: Error) => void

  constructor (readonly topic: string, readonly kind: FrameKind, settled: (frame: OpenFrame) => void) {
    this.accepted = new Promise<void>((resolve, reject) => {
      this.settle = (err) => {
        settled(this)
        if (err === undefined) resolve()
        else reject(err instanceof ScError ? err : scError('SC_ERR_BROKER', [err.message], { cause: err }))
      }
    })
  }

  fits (length: number): boolean {
    return this.messages.length < maxFrameMessages && this.size + length <= maxFrameSize
  }

  add (message: string): void {
    this.messages.push(message)
    this.size += message.length
  }
}

/**
 * A broker over an engine between processes. It owns what is the same for every engine: frames, liveness, new
 * connections, subscribing everything again, and what is told when.
 */
export class RemoteBroker implements Broker {
  readonly name: string
  readonly shared = true
  readonly signs = true
  readonly order: BrokerOrder
  readonly #engine: Engine
  readonly #options: ResolvedRemoteOptions
  readonly #counters: BrokerCounters = { framesOut: 0, framesIn: 0, messagesOut: 0, messagesIn: 0, framesDropped: 0, reconnects: 0, gaps: 0 }
  /** Channels to be delivered, by topic. */
  readonly #wanted = new Map<string, string>()
  readonly #own = new OwnFrames()
  #sink!: BrokerSink
  #node: BrokerNode | null = null
  /** Signs and verifies; `null` without a key. */
  #seal: Seal | null = null
  #ownTopic = ''
  #allTopic = ''
  /** The session in use; `null` while the engine is down. */
  #session: EngineSession | null = null
  /** Makes the session that is being opened fail. */
  #abortOpening: ((err: Error) => void) | null = null
  #openingCount = 0
  #cause = new Error('not connected')
  #wasUp = false
  #stopped = false
  #retry: { timer: NodeJS.Timeout, wake: () => void } | null = null
  #watch: NodeJS.Timeout | null = null
  #watchedAt = 0
  #probeSentAt = 0
  #probeIsOut = false
  #tick: NodeJS.Immediate | null = null
  /** The frame of each channel that still takes messages in this tick. */
  readonly #openFrames = new Map<string, OpenFrame>()
  #queue: OpenFrame[] = []
  /** In the order in which they were sent. */
  readonly #inFlight = new Set<OpenFrame>()
  readonly #operations = new Set<Operation>()
  #operationAnsweredAt = 0
  readonly #settled = (frame: OpenFrame): void => { this.#inFlight.delete(frame) }

  constructor (engine: Engine, options: ResolvedRemoteOptions) {
    this.name = engine.name
    this.order = engine.order
    this.#engine = engine
    this.#options = options
  }

  async start (sink: BrokerSink, node: BrokerNode): Promise<void> {
    if (this.#node !== null) throw scError('SC_ERR_BROKER', ['expected a broker of its own for each server, got one that is already in use'])
    if (!idPattern.test(node.id) || !idPattern.test(node.prefix)) {
      throw scError('SC_ERR_OPTIONS', [`expected the node id and the option brokerPrefix to be 1 to 64 of A-Z a-z 0-9 _ -, got "${node.id}" and "${node.prefix}"`])
    }
    this.#sink = sink
    this.#node = node
    if (node.keys !== undefined) this.#seal = new Seal(node.keys)
    this.#ownTopic = this.#engine.nodeTopic(node.prefix, node.id)
    this.#allTopic = this.#engine.nodeTopic(node.prefix)
    await this.#engine.load()
    try {
      await this.#connect()
    } catch (err) {
      if (this.#options.connect === 'required') {
        await this.stop()
        throw scError('SC_ERR_BROKER_CONNECT', [this.name, this.#engine.address, asError(err).message], { cause: err })
      }
      this.#down(asError(err))
      this.#reconnect()
    }
  }

  subscribe (channels: readonly string[]): Promise<void> {
    const session = this.#session
    if (session === null) return Promise.reject(this.#downError())
    const topics: string[] = []
    for (const channel of channels) {
      const topic = this.#channelTopic(channel)
      if (this.#wanted.has(topic)) continue
      this.#wanted.set(topic, channel)
      topics.push(topic)
    }
    if (topics.length === 0) return Promise.resolve()
    return this.#operation(session.subscribe(topics)).catch((err: unknown) => {
      for (const topic of topics) this.#wanted.delete(topic)
      if (this.#session === session) this.#operation(session.unsubscribe(topics)).catch(() => {})
      throw err
    })
  }

  unsubscribe (channels: readonly string[]): Promise<void> {
    const topics: string[] = []
    for (const channel of channels) {
      const topic = this.#channelTopic(channel)
      if (this.#wanted.delete(topic)) topics.push(topic)
    }
    // A session that is being opened looks at what is wanted once more when it is done.
    if (this.#session === null || topics.length === 0) return Promise.resolve()
    return this.#operation(this.#session.unsubscribe(topics))
  }

  publish (channel: string, data: string): Promise<void> {
    if (this.#session === null || this.#stopped) return Promise.reject(this.#downError())
    const frame = this.#openFrames.get(channel)
    if (frame !== undefined && frame.fits(data.length)) {
      frame.add(data)
      return frame.accepted
    }
    const opened = this.#open(this.#channelTopic(channel), 'm', data)
    this.#openFrames.set(channel, opened)
    return opened.accepted
  }

  control (message: string, toNode?: string): Promise<void> {
    if (this.#session === null) return Promise.reject(this.#downError())
    if (toNode === this.#node!.id) return Promise.resolve()
    if (toNode !== undefined && !idPattern.test(toNode)) return Promise.reject(scError('SC_ERR_BROKER', [`expected a node id, got "${toNode}"`]))
    return this.#open(toNode === undefined ? this.#allTopic : this.#engine.nodeTopic(this.#node!.prefix, toNode), 'c', message).accepted
  }

  stats (): BrokerCounters {
    return { ...this.#counters }
  }

  async stop (): Promise<void> {
    if (this.#stopped) return
    this.#stopped = true
    this.#cause = new Error('stopped')
    if (this.#retry !== null) {
      clearTimeout(this.#retry.timer)
      this.#retry.wake()
    }
    this.#abortOpening?.(this.#cause)
    const session = this.#session
    if (session !== null) await this.#finish()
    this.#release()
    await session?.close()
  }

  /** Sends what this tick still holds and waits for the engine's word, for a moment. */
  async #finish (): Promise<void> {
    if (this.#tick !== null) {
      clearImmediate(this.#tick)
      this.#flush()
    }
    if (this.#inFlight.size === 0) return
    let timer: NodeJS.Timeout | null = null
    const patience = new Promise<void>((resolve) => { timer = setTimeout(resolve, Math.min(1000, this.#options.timeout)) })
    await Promise.race([Promise.allSettled([...this.#inFlight].map((frame) => frame.accepted)), patience])
    if (timer !== null) clearTimeout(timer)
  }

  #channelTopic (channel: string): string {
    return this.#engine.channelTopic(this.#node!.prefix, channel)
  }

  #downError (): Error {
    return scError('SC_ERR_BROKER_DOWN', [this.name, this.#cause.message], { cause: this.#cause })
  }

  // Out

  /** Starts a frame, which goes out when this tick ends. */
  #open (topic: string, kind: FrameKind, message: string): OpenFrame {
    const frame = new OpenFrame(topic, kind, this.#settled)
    frame.add(message)
    this.#queue.push(frame)
    this.#tick ??= setImmediate(() => this.#flush())
    return frame
  }

  #flush (): void {
    this.#tick = null
    const frames = this.#queue
    this.#queue = []
    this.#openFrames.clear()
    const nodeId = this.#node!.id
    const now = performance.now()
    for (const frame of frames) {
      const text = encodeFrame(frame.kind, nodeId, frame.messages)
      if (this.#seal !== null) {
        frame.text = this.#seal.close(frame.topic, text)
      } else {
        frame.text = text
        if (frame.kind === 'm' && this.#wanted.has(frame.topic)) this.#own.add(frame.topic, text)
      }
      frame.sentAt = now
      this.#inFlight.add(frame)
      this.#counters.messagesOut += frame.messages.length
    }
    this.#counters.framesOut += frames.length
    this.#session!.publish(frames)
  }

  // In

  #message (topic: string, text: string): void {
    this.#counters.framesIn++
    const opened = this.#seal === null ? text : this.#seal.open(topic, text)
    const frame = opened === null ? null : decodeFrame(opened)
    if (frame === null) {
      this.#drop(this.#whyUnreadable(text, opened))
      return
    }
    const channel = this.#wanted.get(topic)
    if (channel !== undefined) {
      if (frame.kind !== 'm') {
        this.#drop('frames of a kind that does not belong to a channel')
        return
      }
      this.#counters.messagesIn += frame.messages.length
      // Who signed it is a process like this one.
      const known = this.#seal !== null || (frame.nodeId === this.#node!.id && this.#own.take(topic, text))
      for (const message of frame.messages) this.#sink.publication(channel, message, known)
    } else if (topic === this.#ownTopic || topic === this.#allTopic) {
      this.#controlFrame(topic, frame.kind, frame.nodeId, frame.messages)
    }
    // Else: the channel was unsubscribed a moment ago.
  }

  #controlFrame (topic: string, kind: FrameKind, fromNode: string, messages: string[]): void {
    const own = fromNode === this.#node!.id
    if (kind === 'p' && own && topic === this.#ownTopic) this.#probeIsOut = false
    else if (kind !== 'c') this.#drop("frames of a kind that does not belong to a node's own topic")
    else if (!own) for (const message of messages) this.#sink.control(message, fromNode)
  }

  #drop (reason: string): void {
    this.#counters.framesDropped++
    this.#sink.dropped?.(reason)
  }

  #whyUnreadable (text: string, opened: string | null): string {
    if (opened !== null) return isSealed(opened) ? 'frames that are signed: this process has no key; set the option brokerKey to that of the other processes' : 'frames that cannot be read'
    return isSealed(text)
      ? 'frames with a signature that does not fit: the option brokerKey must be the same on all processes; to change it, give an array of the new and the old one'
      : 'frames without a signature: set the option brokerKey on all processes'
  }

  // Sessions

  /** Opens a session and subscribes everything. Resolves when the engine is up. */
  async #connect (): Promise<void> {
    let session: EngineSession | null = null
    // A session that was given up may still speak.
    const opening = ++this.#openingCount
    let dead: Error | null = null
    let lost!: (err: Error) => void
    const failed = new Promise<never>((_resolve, reject) => {
      lost = (err) => {
        dead ??= err
        reject(err)
      }
    })
    failed.catch(() => {})
    this.#abortOpening = lost
    let timer = setTimeout(() => lost(new Error(`no connection within ${this.#options.connectTimeout} ms; see the option connectTimeout`)), this.#options.connectTimeout)
    try {
      const opened = this.#engine.open({
        message: (topic, text) => { if (opening === this.#openingCount && !this.#stopped) this.#message(topic, text) },
        lost: (cause) => {
          if (opening !== this.#openingCount) return
          if (session !== null && this.#session === session) this.#lost(cause)
          else lost(cause)
        }
      }, this.#options.connectTimeout)
      // Also when it comes after it was given up.
      opened.then((late) => { if (opening !== this.#openingCount || this.#stopped) closeQuietly(late) }, () => {})
      session = await Promise.race([opened, failed])
      clearTimeout(timer)
      // However many channels there are, the engine must never be silent for longer than this.
      let progress = performance.now()
      const patience = this.#options.timeout * 2
      timer = setInterval(() => {
        if (performance.now() - progress > patience) lost(new Error(`no answer within ${patience} ms; see the option timeout`))
      }, patience / 2)
      await Promise.race([this.#subscribeAll(session, () => { progress = performance.now() }), failed])
      throwIf(dead)
    } catch (err) {
      this.#openingCount++
      this.#probeIsOut = false
      if (session !== null) closeQuietly(session)
      throw err
    } finally {
      clearTimeout(timer)
      this.#abortOpening = null
    }
    this.#up(session)
  }

  async #subscribeAll (session: EngineSession, progress: () => void): Promise<void> {
    const topics = [this.#ownTopic, this.#allTopic, ...this.#wanted.keys()]
    let next = 0
    const worker = async (): Promise<void> => {
      while (next < topics.length) {
        await session.subscribe(topics.slice(next, next += resubscribeBatch))
        progress()
      }
    }
    await Promise.all(Array.from({ length: resubscribeWindow }, worker))
    const orphans = topics.slice(2).filter((topic) => !this.#wanted.has(topic))
    if (orphans.length > 0) await session.unsubscribe(orphans)
  }

  #up (session: EngineSession): void {
    this.#session = session
    this.#wasUp = true
    this.#probeIsOut = false
    this.#probeSentAt = this.#watchedAt = performance.now()
    const step = Math.max(10, Math.min(this.#options.timeout, this.#options.probeInterval) / 4)
    this.#watch = setInterval(() => this.#look(step), step)
    this.#watch.unref()
    this.#sink.state('up')
  }

  /** Looks for what the engine left unanswered. */
  #look (step: number): void {
    const now = performance.now()
    const late = now - this.#watchedAt > step * 2
    this.#watchedAt = now
    // This process was busy; answers may be waiting to be read. They are, before the next look.
    if (late) return
    const due = now - this.#options.timeout
    const [frame] = this.#inFlight
    const [operation] = this.#operations
    // Thousands of subscribes at once may take longer than one; the engine lives as long as it answers any.
    if ((frame !== undefined && frame.sentAt < due) || (operation !== undefined && operation.sentAt < due && this.#operationAnsweredAt < due)) {
      this.#lost(new Error(`no answer within ${this.#options.timeout} ms; see the option timeout`))
      return
    }
    if (now - this.#probeSentAt < this.#options.probeInterval) return
    if (this.#probeIsOut) {
      this.#lost(new Error(`a probe did not come back within ${this.#options.probeInterval} ms; see the option probeInterval`))
      return
    }
    this.#probeSentAt = now
    this.#probeIsOut = true
    this.#open(this.#ownTopic, 'p', '').accepted.catch(() => {})
  }

  #lost (cause: Error): void {
    if (this.#stopped) return
    const session = this.#session
    this.#openingCount++
    this.#cause = cause
    this.#release()
    if (session !== null) closeQuietly(session)
    this.#sink.state('down', cause)
    this.#reconnect()
  }

  /** Ends what belongs to the session in use; everything that waits for it fails. */
  #release (): void {
    this.#session = null
    if (this.#watch !== null) clearInterval(this.#watch)
    if (this.#tick !== null) clearImmediate(this.#tick)
    this.#watch = null
    this.#tick = null
    const error = this.#downError()
    const frames = [...this.#inFlight, ...this.#queue]
    this.#queue = []
    this.#openFrames.clear()
    this.#own.clear()
    for (const frame of frames) frame.settle(error)
    for (const operation of [...this.#operations]) operation.abort(error)
  }

  #down (cause: Error): void {
    this.#cause = cause
    this.#sink.state('down', cause)
  }

  /** Tries to connect until it works, for ever. */
  async #reconnect (): Promise<void> {
    for (let attempt = 0; !this.#stopped; attempt++) {
      const longest = Math.min(this.#options.maxRetryDelay, this.#options.retryDelay * 2 ** Math.min(attempt, 20))
      await this.#wait(longest / 2 + Math.random() * longest / 2)
      if (this.#stopped) return
      try {
        const before = this.#wasUp
        await this.#connect()
        if (before) {
          this.#counters.reconnects++
          this.#counters.gaps++
          this.#sink.gap(null)
        }
        return
      } catch (err) {
        if (!this.#stopped) this.#down(asError(err))
      }
    }
  }

  #wait (delay: number): Promise<void> {
    return new Promise((resolve) => {
      const wake = (): void => {
        this.#retry = null
        resolve()
      }
      this.#retry = { timer: setTimeout(wake, delay), wake }
    })
  }

  /** Waits for the engine's word, but not longer than the session lives. */
  #operation (answered: Promise<unknown>): Promise<void> {
    return new Promise((resolve, reject) => {
      const operation: Operation = {
        sentAt: performance.now(),
        abort: (err) => {
          this.#operations.delete(operation)
          reject(err)
        }
      }
      this.#operations.add(operation)
      answered.then(() => {
        this.#operationAnsweredAt = performance.now()
        this.#operations.delete(operation)
        resolve()
      }, (err: unknown) => operation.abort(scError('SC_ERR_BROKER', [asError(err).message], { cause: err })))
    })
  }
}

function throwIf (err: Error | null): void {
  if (err !== null) throw err
}

async function closeQuietly (session: EngineSession): Promise<void> {
  try {
    await session.close()
  } catch {
    // It is of no use any more, and there is nobody to tell.
  }
}

function asError (value: unknown): Error {
  return value instanceof Error ? value : new Error(String(value))
}
