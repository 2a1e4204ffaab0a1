import type { ScRecoveryEvent } from '../../types/client.js'
import type { ScHistoryGap } from '../../types/history.js'
import { callHandler, reportError } from './call-handler.js'
import { EventStreamParser, type StreamEvent } from './event-stream.js'
import { type HttpRequests, errorOf, named } from './http-requests.js'
import { MessageQueue } from './message-queue.js'

/** Statuses after which a stream is asked for again. The others are a refusal. */
const temporary = new Set([408, 425, 429, 500, 502, 503, 504])
/** Milliseconds until a stream is asked for again, if the server does not tell. */
const firstDelay = 1_000
/** The longest time between two attempts. */
const longestDelay = 60_000

/** What a channel needs of its client. */
export interface HttpChannelPort {
  readonly requests: HttpRequests
  readonly url: string
  /** Milliseconds without a sign of life after which a stream counts as lost. */
  readonly silence: number
  readonly onRecovery: (event: ScRecoveryEvent) => void
  publish (message: unknown): Promise<void>
  /** The channel is unsubscribed. */
  ended (): void
}

/** A channel of `overHttp`: a stream of events that is opened again until it is no longer wanted, or refused. */
export class HttpChannel implements AsyncIterable<unknown> {
  readonly name: string
  state: 'pending' | 'subscribed' | 'unsubscribed' = 'pending'
  recovered: boolean | null = null
  readonly #port: HttpChannelPort
  readonly #abort = new AbortController()
  readonly #watchers = new Set<(message: unknown) => void>()
  readonly #failed = new Set<(err: unknown) => void>()
  readonly #queues = new Set<MessageQueue>()
  readonly #waiting = new Set<{ resolve (): void, reject (err: unknown): void }>()
  #error: Error | null = null
  #lastEventId = ''
  /** Failed attempts since the last stream. */
  #failures = 0
  #wasOpen = false

  constructor (name: string, port: HttpChannelPort) {
    this.name = name
    this.#port = port
  }

  /** Opens the stream and keeps it open. Never rejects. */
  async run (): Promise<void> {
    const { signal } = this.#abort
    while (!signal.aborted) {
      let delay: number | null = null
      try {
        delay = await this.#stream()
      } catch (err) {
        if (signal.aborted) break
        const { statusCode, retryAfter } = (err ?? {}) as { statusCode?: number, retryAfter?: number }
        if (statusCode !== undefined && !temporary.has(statusCode)) {
          this.#end(err as Error)
          break
        }
        delay = retryAfter ?? null
      }
      if (!signal.aborted) {
        this.state = 'pending'
        await this.#pause(delay)
      }
    }
  }

  /** Reads one stream until it ends. @returns the milliseconds after which the server wants the client back; `null` if it did not say */
  async #stream (): Promise<number | null> {
    const { requests, url, silence } = this.#port
    const attempt = new AbortController()
    const signal = AbortSignal.any([this.#abort.signal, attempt.signal])
    let watchdog: ReturnType<typeof setTimeout> | undefined
    const watch = (): void => {
      clearTimeout(watchdog)
      watchdog = setTimeout(() => { attempt.abort(named('TimeoutError', `Nothing came for ${silence} ms`)) }, silence)
    }
    try {
      watch()
      const response = await requests.open(url, this.#lastEventId, signal)
      if (response.status === 204) {
        this.#end(named('InvalidActionError', `The server ended the subscription of channel "${this.name}"`))
        return null
      }
      if (!response.ok || response.body === null || response.headers.get('content-type')?.startsWith('text/event-stream') !== true) throw await errorOf(response)
      const parser = new EventStreamParser(this.#lastEventId, (event) => { this.#take(event) })
      const reader = response.body.pipeThrough(new TextDecoderStream()).getReader()
      for (;;) {
        watch()
        const { done, value } = await reader.read()
        clearTimeout(watchdog)
        if (done || signal.aborted) return parser.retry
        parser.push(value)
        this.#lastEventId = parser.lastEventId
        // Nothing more is read before the loops have room, so that the server sees a slow client.
        for (const queue of this.#queues) await queue.room()
      }
    } finally {
      clearTimeout(watchdog)
      attempt.abort()
    }
  }

  #take ({ event, data }: StreamEvent): void {
    if (this.state === 'unsubscribed') return
    const told = JSON.parse(data) as { channel?: unknown, channels?: Array<ScRecoveryEvent & { recovered?: boolean }>, data?: unknown, reason?: string, code?: number, message?: string }
    switch (event) {
      case 'message':
        for (const watcher of this.#watchers) watcher(told.data)
        for (const queue of this.#queues) queue.push(told.data)
        break
      case 'subscribed':
        this.#opened(told.channels![0]!)
        break
      case 'gap':
        // Before the stream is open, `subscribed` says it too.
        if (this.state === 'subscribed') this.#tell({ channel: this.name, recovered: false, count: 0, reason: told.reason as ScHistoryGap })
        break
      case 'kick':
        this.#end(named('InvalidActionError', told.message || `The server ended the subscription of channel "${this.name}"`))
        break
      case 'disconnect':
        this.state = 'pending'
    }
  }

  #opened ({ recovered, count, reason }: Partial<ScRecoveryEvent>): void {
    this.state = 'subscribed'
    this.#failures = 0
    for (const { resolve } of this.#waiting) resolve()
    this.#waiting.clear()
    if (this.#wasOpen) this.#tell({ channel: this.name, recovered: recovered ?? false, count: count ?? 0, ...(reason === undefined ? recovered === undefined ? { reason: 'unknown' } : {} : { reason }) })
    this.#wasOpen = true
  }

  #tell (event: ScRecoveryEvent): void {
    this.recovered = event.recovered
    callHandler(this.#port.onRecovery, event, reportError)
  }

  /** Waits before the next attempt: longer each time, and not until the same moment as other clients. */
  async #pause (least: number | null): Promise<void> {
    const delay = Math.max(least ?? 0, Math.min(longestDelay, firstDelay * 2 ** this.#failures++)) * (1 + Math.random() / 4)
    const { signal } = this.#abort
    await new Promise<void>((resolve) => {
      const done = (): void => {
        clearTimeout(timer)
        signal.removeEventListener('abort', done)
        resolve()
      }
      const timer = setTimeout(done, delay)
      signal.addEventListener('abort', done)
    })
  }

  /** Ends the subscription. @param error why the server ended it */
  #end (error: Error | null): void {
    if (this.state === 'unsubscribed') return
    this.state = 'unsubscribed'
    this.#error = error
    this.#abort.abort()
    for (const { reject } of this.#waiting) reject(this.#reason())
    this.#waiting.clear()
    for (const queue of this.#queues) queue.end(error)
    this.#queues.clear()
    if (error !== null) for (const failed of this.#failed) failed(error)
    this.#watchers.clear()
    this.#failed.clear()
    this.#port.ended()
  }

  #reason (): Error {
    return this.#error ?? named('BadConnectionError', `The channel "${this.name}" is unsubscribed`)
  }

  async subscribed (): Promise<void> {
    if (this.state === 'subscribed') return
    if (this.state === 'unsubscribed') throw this.#reason()
    await new Promise<void>((resolve, reject) => { this.#waiting.add({ resolve, reject }) })
  }

  watch (handler: (message: unknown) => unknown, onError: (err: unknown) => void = reportError): () => void {
    const watcher = (message: unknown): void => { callHandler(handler, message, onError) }
    const failed = (err: unknown): void => { onError(err) }
    if (this.state !== 'unsubscribed') {
      this.#watchers.add(watcher)
      this.#failed.add(failed)
    }
    return () => {
      this.#watchers.delete(watcher)
      this.#failed.delete(failed)
    }
  }

  publish (message: unknown): Promise<void> { return this.#port.publish(message) }

  unsubscribe (): void { this.#end(null) }

  [Symbol.asyncIterator] (): AsyncIterator<unknown> {
    const queue = new MessageQueue(() => { this.#queues.delete(queue) })
    if (this.state === 'unsubscribed') queue.end(this.#error)
    else this.#queues.add(queue)
    return queue
  }
}
