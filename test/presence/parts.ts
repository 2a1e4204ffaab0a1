import type { FastifyInstance } from 'fastify'
import type { ScPluginOptions, ScPresenceOptions, ScServerSocket } from '../../lib/index.js'
import type { Client, Connect } from '../helpers/app.js'
import type { Cleanup } from '../helpers/raw.js'
import { serve } from '../helpers/serve.js'

/** The user that a client named in its query; null for none. */
export function userOf ({ socket }: { socket: ScServerSocket }): string | null {
  return new URL(socket.request.url!, 'http://localhost').searchParams.get('user')
}

/** Changes come at once, and who lost its connection leaves soon. */
export const quick: ScPresenceOptions = { key: userOf, interval: 10, leaveDelay: 300 }

/** A server with rooms of which clients see who is in. */
export function startRooms (t: Cleanup, presence: ScPresenceOptions | true = quick, options: ScPluginOptions = {}, setUp: (app: FastifyInstance) => unknown = () => {}) {
  return serve(t, options, async (app) => {
    app.scChannel('room/:id', { presence })
    await setUp(app)
  })
}

/** Connects a client as a user. */
export function enter (t: Cleanup, connect: Connect, app: { port: number }, user: string | null): Promise<Client> {
  return connect(t, app, { query: user === null ? {} : { user } })
}

/** What a client that follows the messages of a companion knows, and all messages so far. */
export class Watched {
  readonly users = new Map<string, unknown>()
  readonly messages: any[] = []
  total = -1
  #version = -1

  constructor (readonly client: Client, readonly companion: string) {}

  static async of (client: Client, channel: string): Promise<Watched> {
    const watched = new Watched(client, `${channel}#presence`)
    await client.subscribe(watched.companion)
    await watched.next()
    return watched
  }

  /** Takes the next message over. */
  async next (): Promise<any> {
    const message = await this.client.next(this.companion)
    this.messages.push(message)
    this.total = message.total
    if (message.type === 'count') return message
    if (message.type === 'state') {
      this.users.clear()
      for (const { key, data } of message.members) this.users.set(key, data)
    } else {
      if (message.v !== this.#version + 1) throw new Error(`version ${message.v} follows ${this.#version}`)
      for (const { key, data } of message.joins) {
        if (this.users.has(key)) throw new Error(`${key} joined twice`)
        this.users.set(key, data)
      }
      for (const { key, data } of message.updates) {
        if (!this.users.has(key)) throw new Error(`${key} was updated and is not there`)
        this.users.set(key, data)
      }
      for (const key of message.leaves) if (!this.users.delete(key)) throw new Error(`${key} left and was not there`)
    }
    this.#version = message.v
    if (message.total !== this.users.size) throw new Error(`total ${message.total} of ${this.users.size} users`)
    return message
  }

  /** Takes messages over until the users are these. */
  async until (...keys: string[]): Promise<void> {
    const wanted = [...keys].sort().join()
    while ([...this.users.keys()].sort().join() !== wanted) await this.next()
  }
}
