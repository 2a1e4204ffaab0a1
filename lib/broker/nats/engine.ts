import type { NatsConnection, NodeConnectionOptions } from '@nats-io/transport-node'
import type { Engine, EngineSession, SessionEvents } from '../remote/engine.js'
import { loadClient } from '../remote/load-client.js'
import type { ResolvedHistoryOptions } from './history-options.js'
import { openHistory, type SessionHistory } from './history.js'
import { NatsSession } from './session.js'
import { subjectToken } from './subjects.js'

/** The checked options for the connection to NATS. */
export interface NatsTarget {
  readonly servers: string | string[]
  readonly nats: NodeConnectionOptions | undefined
  readonly connection: NatsConnection | undefined
  /** `null` if no histories are kept. */
  readonly history: ResolvedHistoryOptions | null
}

type Client = Pick<typeof import('@nats-io/transport-node'), 'connect' | 'headers' | 'createInbox'>

/** Core NATS as an engine, with JetStream for histories. */
export class NatsEngine implements Engine {
  readonly name = 'nats'
  /** A server handles its connections in parallel: two receivers may get the messages of two publishers in different orders. */
  readonly order = 'publisher'
  readonly keepsHistory: boolean
  readonly hasStore: boolean
  readonly address: string
  readonly #target: NatsTarget
  #client: Client | null = null
  #prefix = ''

  constructor (target: NatsTarget) {
    this.#target = target
    this.keepsHistory = this.hasStore = target.history !== null
    this.address = target.connection !== undefined ? 'the server of the given connection' : [target.servers].flat().map(withoutCredentials).join(', ')
  }

  async load (): Promise<void> {
    if (this.#target.connection !== undefined && !this.keepsHistory) return
    this.#client = await loadClient('natsBroker', '@nats-io/transport-node', () => import('@nats-io/transport-node'))
  }

  use (prefix: string): void {
    this.#prefix = prefix
  }

  channelTopic (prefix: string, channel: string): string {
    return `${prefix}.c.${subjectToken(channel)}`
  }

  storeTopic (prefix: string, key: string): string {
    return `${prefix}.k.${key}`
  }

  nodeTopic (prefix: string, nodeId?: string): string {
    return nodeId === undefined ? `${prefix}.all` : `${prefix}.n.${nodeId}`
  }

  async open (events: SessionEvents, timeout: number): Promise<EngineSession> {
    const { servers, nats, connection } = this.#target
    if (connection !== undefined) {
      if (connection.isClosed()) throw new Error('the given connection is closed for good; give it maxReconnectAttempts: -1')
      // Settles when the connection is established, and not before.
      await connection.flush()
      return new NatsSession(connection, events, false, await this.#openHistory(connection, timeout))
    }
    // The session never reconnects: the broker opens a new one. The client's own pings are in addition to the broker's probes.
    const own = await this.#client!.connect({ pingInterval: 5000, maxPingOut: 2, ...nats, servers, timeout, reconnect: false, maxReconnectAttempts: 0, waitOnFirstConnect: false })
    try {
      return new NatsSession(own, events, true, await this.#openHistory(own, timeout))
    } catch (err) {
      await own.close()
      throw err
    }
  }

  async #openHistory (connection: NatsConnection, timeout: number): Promise<SessionHistory | null> {
    const { nats, history } = this.#target
    if (history === null) return null
    const { headers, createInbox } = this.#client!
    // A given connection has its options, but does not declare them.
    const { inboxPrefix } = nats ?? (connection as { options?: { inboxPrefix?: string } }).options ?? {}
    return openHistory(connection, {
      prefix: this.#prefix,
      options: history,
      headers: (name, value) => {
        const made = headers()
        made.set(name, value)
        return made
      },
      inbox: createInbox(inboxPrefix)
      // Before the attempt to connect ends, so that the error says what did not answer.
    }, timeout / 2)
  }
}

function withoutCredentials (server: string): string {
  return server.slice(server.lastIndexOf('@') + 1)
}
