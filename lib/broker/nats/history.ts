import type { Msg, NatsConnection } from '@nats-io/transport-node'
import type { OutboundFrame, StoredRequest } from '../remote/engine.js'
import type { Positioned } from '../remote/history/positioned.js'
import type { StoredHistory } from '../remote/history/stored.js'
import type { MakeHeaders } from './appending.js'
import type { ResolvedHistoryOptions } from './history-options.js'
import { publishedText, readKept } from './kept-frame.js'
import { KeyStore } from './key-store.js'
import { FramePublisher } from './publisher.js'
import { FrameReader } from './reader.js'
import { Requests, textOf } from './requests.js'
import { HistoryStream } from './stream.js'

/** What the histories of a session are made with. */
export interface HistorySetup {
  readonly prefix: string
  readonly options: ResolvedHistoryOptions
  readonly headers: MakeHeaders
  /** A subject for answers that no other connection has. */
  readonly inbox: string
}

/** The oldest server whose streams publish what they keep and can be read without a consumer. */
const leastVersion = [2, 9] as const

/** The histories on one connection, and the store beside them. */
export class SessionHistory {
  readonly #requests: Requests
  readonly #stream: HistoryStream
  readonly #reader: FrameReader
  readonly #publisher: FramePublisher
  readonly store: KeyStore

  /** @param refused called when the server does not allow something that histories need */
  constructor (connection: NatsConnection, { prefix, options, headers, inbox }: HistorySetup, refused: (err: Error) => void) {
    this.#requests = new Requests(connection, inbox, refused)
    this.#stream = new HistoryStream(this.#requests, prefix, options, versionOf(connection))
    this.#reader = new FrameReader(this.#requests, this.#stream, headers)
    this.#publisher = new FramePublisher(this.#requests, this.#stream, this.#reader, headers)
    this.store = new KeyStore(this.#requests, prefix, options, headers, versionOf(connection))
  }

  /**
   * Takes a frame to keep, or one that must come after such frames of its channel.
   * @param send sends a frame that is not kept, and settles it
   * @returns whether it did
   */
  take (frame: OutboundFrame, send: (frame: OutboundFrame) => void): boolean {
    return this.#publisher.take(frame, send)
  }

  readStored (request: StoredRequest): Promise<StoredHistory> {
    return this.#reader.read(request)
  }

  /** Reads a frame that arrived; `null` for one that has no messages. Frames that the stream does not keep are returned as they are. */
  read (topic: string, msg: Msg): string | Positioned | null {
    const text = textOf(msg)
    const kept = readKept(text, 0)
    if (kept === null) return publishedText(text) ?? text
    this.#publisher.arrived(topic, kept, () => Number(msg.headers?.get('Nats-Sequence')))
    const { epoch, first, check, time, count, text: frame } = kept
    return count === 0 ? null : { epoch, first, check, time, frame }
  }

  /** Creates the stream if it does not exist, and waits for a leader that has everything. @throws Error when the server cannot keep histories */
  async ensure (): Promise<void> {
    await this.#stream.ensure()
    await this.#stream.settle()
  }

  close (): void {
    this.#requests.close()
  }
}

/**
 * Prepares the histories on a connection.
 * @param timeout milliseconds for the server to answer
 * @throws Error when the server cannot keep histories
 */
export async function openHistory (connection: NatsConnection, setup: HistorySetup, timeout: number): Promise<SessionHistory> {
  const version = versionOf(connection)
  const [major = 0, minor = 0] = version.split('.').map(Number)
  if (major < leastVersion[0] || (major === leastVersion[0] && minor < leastVersion[1])) {
    throw new Error(`histories need nats-server ${leastVersion.join('.')} or later, and this one has version ${version}: update it, or leave out the option history of natsBroker`)
  }
  let timer: NodeJS.Timeout | undefined
  let history: SessionHistory | undefined
  try {
    await new Promise<void>((resolve, reject) => {
      timer = setTimeout(() => reject(new Error(`JetStream did not answer within ${timeout} ms: it has no leader, or the user may not publish to $JS.API.>; see the options connectTimeout and history of natsBroker`)), timeout)
      history = new SessionHistory(connection, setup, reject)
      history.ensure().then(resolve, reject)
    })
    return history!
  } catch (err) {
    history?.close()
    throw err
  } finally {
    clearTimeout(timer)
  }
}

function versionOf (connection: NatsConnection): string {
  return connection.info?.version ?? 'unknown'
}
