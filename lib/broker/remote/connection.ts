import { scError } from '../../errors.js'
import { asError } from '../../untrusted.js'
import type { Engine, EngineSession } from './engine.js'
import type { Positioned } from './history/positioned.js'
import type { ResolvedRemoteOptions } from './options.js'

/** The broker, as its connection calls it. */
export interface ConnectionPort {
  message (topic: string, frame: string | Positioned): void
  /**
   * Subscribes all topics on a session that is being opened. When it settles, the engine is up.
   * @param progress to be called at each answer of the engine
   */
  prepare (session: EngineSession, progress: () => void): Promise<void>
  /** A session is open. */
  up (): void
  /** The session is not the first one: publications between the two are lost. */
  again (): void
  /** The session is gone, also after `stop`: everything that waits for it must fail. */
  gone (): void
  /** The engine cannot be reached. Called after each failed attempt too. */
  down (cause: Error): void
  /** Called before the connection stops while there is a session: pending frames may still be sent. */
  finish (): Promise<void>
}

type ConnectionOptions = Pick<ResolvedRemoteOptions, 'connect' | 'connectTimeout' | 'timeout' | 'retryDelay' | 'maxRetryDelay'>

/** Keeps a session with the engine open. After a loss it opens the next one, without limit and with growing pauses. */
export class Connection {
  readonly #engine: Engine
  readonly #options: ConnectionOptions
  readonly #port: ConnectionPort
  #session: EngineSession | null = null
  #cause = new Error('not connected')
  #stopped = false
  #wasUp = false
  /** Aborts the session that is being opened. */
  #abortOpening: ((err: Error) => void) | null = null
  #openingCount = 0
  #retry: { timer: NodeJS.Timeout, wake: () => void } | null = null

  constructor (engine: Engine, options: ConnectionOptions, port: ConnectionPort) {
    this.#engine = engine
    this.#options = options
    this.#port = port
  }

  /** The session in use; `null` while the engine is down. */
  get session (): EngineSession | null { return this.#session }

  /** Why there is no session. */
  get cause (): Error { return this.#cause }

  get stopped (): boolean { return this.#stopped }

  /** Opens the first session. Rejects when the engine cannot be reached and the option `connect` is `'required'`. */
  async start (): Promise<void> {
    await this.#engine.load()
    try {
      await this.#connect()
    } catch (err) {
      if (this.#options.connect === 'required') {
        await this.stop()
        throw scError('SC_ERR_BROKER_CONNECT', [this.#engine.name, this.#engine.address, asError(err).message], { cause: err })
      }
      this.#down(asError(err))
      this.#reconnect()
    }
  }

  /** Drops the current session and opens the next one. */
  lost (cause: Error): void {
    if (this.#stopped) return
    const session = this.#session
    this.#openingCount++
    this.#cause = cause
    this.#session = null
    this.#port.gone()
    if (session !== null) closeQuietly(session)
    this.#port.down(cause)
    this.#reconnect()
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
    if (session !== null) await this.#port.finish()
    this.#session = null
    this.#port.gone()
    await session?.close()
  }

  /** Opens a session and subscribes all topics. Resolves when the engine is up. */
  async #connect (): Promise<void> {
    let session: EngineSession | null = null
    // A session that was given up may still send events.
    const opening = ++this.#openingCount
    let dead: Error | null = null
    let fail!: (err: Error) => void
    const failed = new Promise<never>((_resolve, reject) => {
      fail = (err) => {
        dead ??= err
        reject(err)
      }
    })
    failed.catch(() => {})
    this.#abortOpening = fail
    const { connectTimeout } = this.#options
    let timer = setTimeout(() => fail(new Error(`no connection within ${connectTimeout} ms; see the option connectTimeout`)), connectTimeout)
    try {
      const opened = this.#engine.open({
        message: (topic, frame) => { if (opening === this.#openingCount && !this.#stopped) this.#port.message(topic, frame) },
        lost: (cause) => {
          if (opening !== this.#openingCount) return
          if (session !== null && this.#session === session) this.lost(cause)
          else fail(cause)
        }
      }, connectTimeout)
      // Close a session that opens after it was given up.
      opened.then((late) => { if (opening !== this.#openingCount || this.#stopped) closeQuietly(late) }, () => {})
      session = await Promise.race([opened, failed])
      clearTimeout(timer)
      // However many channels there are, the engine must answer at least once in this time.
      let progress = performance.now()
      const patience = this.#options.timeout * 2
      timer = setInterval(() => {
        if (performance.now() - progress > patience) fail(new Error(`no answer within ${patience} ms; see the option timeout`))
      }, patience / 2)
      await Promise.race([this.#port.prepare(session, () => { progress = performance.now() }), failed])
      throwIf(dead)
    } catch (err) {
      this.#openingCount++
      if (session !== null) closeQuietly(session)
      throw err
    } finally {
      clearTimeout(timer)
      this.#abortOpening = null
    }
    this.#session = session
    this.#wasUp = true
    this.#port.up()
  }

  #down (cause: Error): void {
    this.#cause = cause
    this.#port.down(cause)
  }

  /** Tries to connect until it succeeds, without limit. */
  async #reconnect (): Promise<void> {
    const { retryDelay, maxRetryDelay } = this.#options
    for (let attempt = 0; !this.#stopped; attempt++) {
      const longest = Math.min(maxRetryDelay, retryDelay * 2 ** Math.min(attempt, 20))
      await this.#wait(longest / 2 + Math.random() * longest / 2)
      if (this.#stopped) return
      try {
        const before = this.#wasUp
        await this.#connect()
        if (before) this.#port.again()
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
}

function throwIf (err: Error | null): void {
  if (err !== null) throw err
}

async function closeQuietly (session: EngineSession): Promise<void> {
  try {
    await session.close()
  } catch {
    // The session is discarded, so a failure to close it does not matter.
  }
}
