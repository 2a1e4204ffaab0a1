import type { EventEmitter } from 'node:events'
import type { ScStream } from '../../types/exchange.js'
import type { ServerEventObjects, ServerEvents } from '../../types/server.js'
import { withHidden } from '../printing.js'
import { ifRejects, promiseOf } from '../promises.js'
import { carried, memoryKeeper } from '../emitter.js'
import { StreamSet } from '../stream-set.js'

/** Converts the arguments of each event to the object that SocketCluster 15 and later pass. */
const eventObjects: { readonly [E in keyof ServerEvents]: (...args: ServerEvents[E]) => ServerEventObjects[E] } = {
  ready: () => ({}),
  error: (error) => ({ error }),
  warning: (warning) => ({ warning }),
  handshake: (socket) => ({ socket }),
  connection: (socket, status) => ({ socket, ...status }),
  connectionAbort: (socket, code, reason) => ({ socket, code, reason }),
  disconnection: (socket, code, reason) => ({ socket, code, reason }),
  closure: (socket, code, reason) => ({ socket, code, reason }),
  subscription: (socket, channel, subscriptionOptions) => ({ socket, channel, subscriptionOptions }),
  unsubscription: (socket, channel) => ({ socket, channel }),
  authentication: (socket, authToken) => ({ socket, authToken }),
  deauthentication: (socket, oldAuthToken) => ({ socket, oldAuthToken }),
  authenticationStateChange: (socket, change) => ({ socket, ...change }),
  badSocketAuthToken: (socket, { authError, signedAuthToken }) => withHidden({ socket, authError }, { signedAuthToken }),
  slowConsumer: (socket, info) => ({ socket, ...info }),
  brokerState: (state, cause) => ({ state, cause }),
  gap: (channel) => ({ channel }),
  join: (channel, member) => ({ channel, member }),
  update: (channel, member) => ({ channel, member }),
  leave: (channel, member) => ({ channel, member })
}

/** Emits the server's events. A listener that throws or rejects affects neither the socket nor other listeners. */
export class Events {
  readonly #streams: StreamSet<ServerEventObjects>

  /** @param onListenerError called with an error thrown by a listener, and the event */
  constructor (readonly emitter: EventEmitter, readonly onListenerError: (err: unknown, event: string) => void) {
    this.#streams = new StreamSet(memoryKeeper((err) => onListenerError(err, '')))
  }

  fire<E extends keyof ServerEvents> (event: E, args: ServerEvents[E]): void {
    const { emitter } = this
    if (emitter.listenerCount(event) !== 0) {
      // Raw listeners include the wrappers that remove a `once` listener.
      for (const listener of emitter.rawListeners(event)) {
        try {
          const running = promiseOf(listener.apply(emitter, args))
          if (running !== undefined) ifRejects(running, (err) => this.onListenerError(err, event))
        } catch (err) {
          this.onListenerError(err, event)
        }
      }
    }
    this.#streams.active(event)?.write(eventObjects[event](...args), carried(args))
  }

  /** Whether an event has listeners or an active stream. */
  observed (event: keyof ServerEvents): boolean {
    return this.emitter.listenerCount(event) !== 0 || this.#streams.active(event) !== undefined
  }

  get streams (): StreamSet<ServerEventObjects> { return this.#streams }

  stream<E extends keyof ServerEvents> (event: E): ScStream<ServerEventObjects[E]> {
    return this.#streams.of(event)
  }

  /** Ends all event streams. */
  end (): void {
    this.#streams.end(false)
  }
}
