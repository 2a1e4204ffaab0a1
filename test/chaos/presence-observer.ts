import type { ScPresenceMember, ScPresenceMessage } from '../../types/presence.js'
import type { Client } from '../helpers/app.js'
import type { Served } from '../helpers/serve.js'
import { until } from '../helpers/waiting.js'

/** Something that an observer was told of a user. */
export interface Seen {
  readonly change: 'join' | 'update' | 'leave'
  readonly key: string
  /** When it was told, by `performance.now()`. */
  readonly at: number
}

/** What a node, or a client that looks who is in a channel, is told. */
export class Observer {
  /** The users, with their data. */
  readonly users = new Map<string, unknown>()
  readonly seen: Seen[] = []
  /** What contradicts what was told before. */
  readonly mistakes: string[] = []
  /** When each `count` came. */
  readonly counts: number[] = []
  /** The longest list. */
  longest = 0
  total = -1
  #version = -1

  private constructor (readonly name: string) {}

  /** Observes the events of a node. */
  static async ofNode ({ sc }: Served, name: string, channel: string): Promise<Observer> {
    const observer = new Observer(name)
    sc.exchange.subscribe(`${channel}#presence`)
    await until('the subscription', () => sc.exchange.isSubscribed(`${channel}#presence`))
    for (const change of ['join', 'update', 'leave'] as const) {
      sc.on(change, (of, member) => {
        if (of === channel) observer.#change(change, member)
      })
    }
    return observer
  }

  /** Observes the messages that a client gets. */
  static async ofClient (client: Client, name: string, channel: string): Promise<Observer> {
    const observer = new Observer(name)
    const { raw } = client
    const companion = `${channel}#presence`
    if (client.generation === 14) raw.channel(companion).watch((message: ScPresenceMessage) => observer.#take(message))
    else follow<ScPresenceMessage>(raw.channel(companion), (message) => observer.#take(message))
    raw.subscribe(companion)
    await until('the first message', () => observer.total !== -1)
    return observer
  }

  /** Forgets what was told so far, though not who is there. */
  forget (): void {
    this.seen.length = this.counts.length = 0
  }

  #take (message: ScPresenceMessage): void {
    this.total = message.total
    if (message.type === 'count') {
      this.counts.push(performance.now())
      this.users.clear()
      return
    }
    if (message.type === 'state') {
      this.users.clear()
      for (const { key, data } of message.members) this.users.set(key, data)
    } else {
      if (message.v !== this.#version + 1) this.mistakes.push(`version ${message.v} follows ${this.#version}`)
      for (const change of ['join', 'update'] as const) for (const member of message[`${change}s`]) this.#change(change, member)
      for (const key of message.leaves) this.#change('leave', { key })
    }
    this.#version = message.v
    this.longest = Math.max(this.longest, this.users.size)
    if (message.total !== this.users.size) this.mistakes.push(`a total of ${message.total} for ${this.users.size} users`)
  }

  #change (change: Seen['change'], { key, data }: ScPresenceMember): void {
    this.seen.push({ change, key, at: performance.now() })
    if (this.users.has(key) !== (change !== 'join')) this.mistakes.push(`${change} of ${key}, who ${this.users.has(key) ? 'is' : 'is not'} there`)
    if (change === 'leave') this.users.delete(key)
    else this.users.set(key, data)
  }
}

async function follow<T> (stream: AsyncIterable<T>, each: (value: T) => void): Promise<void> {
  for await (const value of stream) each(value)
}
