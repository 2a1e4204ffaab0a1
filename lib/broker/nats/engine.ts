import type { NatsConnection, NodeConnectionOptions } from '@nats-io/transport-node'
import type { Engine, EngineSession, SessionEvents } from '../remote/engine.js'
import { loadClient } from '../remote/load-client.js'
import { NatsSession } from './session.js'
import { subjectToken } from './subjects.js'

/** The checked options for the connection to NATS. */
export interface NatsTarget {
  readonly servers: string | string[]
  readonly nats: NodeConnectionOptions | undefined
  readonly connection: NatsConnection | undefined
}

/** Core NATS as an engine. */
export class NatsEngine implements Engine {
  readonly name = 'nats'
  /** A server handles its connections in parallel: two receivers may get the messages of two publishers in different orders. */
  readonly order = 'publisher'
  readonly address: string
  readonly #target: NatsTarget
  #connect: typeof import('@nats-io/transport-node').connect | null = null

  constructor (target: NatsTarget) {
    this.#target = target
    this.address = target.connection !== undefined ? 'the server of the given connection' : [target.servers].flat().map(withoutCredentials).join(', ')
  }

  async load (): Promise<void> {
    if (this.#target.connection !== undefined) return
    this.#connect = (await loadClient('natsBroker', '@nats-io/transport-node', () => import('@nats-io/transport-node'))).connect
  }

  channelTopic (prefix: string, channel: string): string {
    return `${prefix}.c.${subjectToken(channel)}`
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
      return new NatsSession(connection, events, false)
    }
    // The session never reconnects: the broker opens a new one. The client's own pings are in addition to the broker's probes.
    const own = await this.#connect!({ pingInterval: 5000, maxPingOut: 2, ...nats, servers, timeout, reconnect: false, maxReconnectAttempts: 0, waitOnFirstConnect: false })
    return new NatsSession(own, events, true)
  }
}

function withoutCredentials (server: string): string {
  return server.slice(server.lastIndexOf('@') + 1)
}
