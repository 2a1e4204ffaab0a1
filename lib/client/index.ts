import type { ScCallOptions, ScClientChannel, ScContracts, ScResult, ScSubscribeOptions, ScTypedClient } from '../../types/client.js'
import type { AnyListener, UserData } from '../../types/user-data.js'
import { hasParams } from '../contracts/fill-pattern.js'
import { ChannelMemory } from './channel-memory.js'
import { type Params, nameOf } from './channel-name.js'
import { callHandler, reportError } from './call-handler.js'

export type { ChannelsOf, EventsOf, ScCallError, ScCallOptions, ScClientChannel, ScClientHistory, ScClientHistoryQuery, ScContracts, ScHttpCallOptions, ScHttpChannel, ScHttpClient, ScHttpClientOptions, ScHttpPublishOptions, ScLibraryError, ScLibraryErrorName, ScOtherError, ScResult, ScSubscribeOptions, ScTypedClient, ScValidationError } from '../../types/client.js'
export type { InferChannels, InferEvents } from '../../types/contracts.js'
export type { ScClientCodec, ScRecoveryEvent } from '../../types/client.js'
export type { ScHistoryGap, ScHistoryMessage, ScPosition } from '../../types/history.js'
export type { ScPresenceMember, ScPresenceMessage } from '../../types/presence.js'
export { defineChannels, defineEvents } from '../contracts/define.js'
export { overHttp } from './over-http.js'
export { recovering } from './recovering.js'

/** The part of a channel of socketcluster-client 15 to 20 that this file uses. */
interface StreamChannel extends AsyncIterable<unknown> {
  readonly name: string
  readonly state: ScClientChannel<unknown>['state']
  listener (event: string): { once (): Promise<UserData> }
}

/** The part of a socket of socketcluster-client 15 to 20 that this file uses. */
export interface StreamSocket {
  invoke (event: string, data?: unknown, options?: unknown): Promise<UserData>
  transmit (event: string, data?: unknown, options?: unknown): Promise<UserData> | void
  invokePublish (channel: string, data?: unknown): Promise<UserData>
  subscribe (channel: string, options?: unknown): UserData
  unsubscribe (channel: string): void
  channel (channel: string): UserData
}

/** The part of a channel of socketcluster-client 14 that this file uses. */
interface CallbackChannel {
  readonly name: string
  readonly state: ScClientChannel<unknown>['state']
  on (event: string, listener: AnyListener): unknown
  off (event: string, listener: AnyListener): unknown
  watch (handler: (data: unknown) => void): void
  unwatch (handler: (data: unknown) => void): void
}

/** The part of a socket of socketcluster-client 14 that this file uses. */
export interface CallbackSocket {
  emit (event: string, data?: unknown, callback?: (err: UserData, data: UserData) => void): void
  publish (channel: string, data?: unknown, callback?: (err: UserData, data: UserData) => void): void
  subscribe (channel: string, options?: unknown): UserData
  unsubscribe (channel: string): void
  channel (channel: string): UserData
}

/** The untyped client. Only the signatures of `typedClient` know the contract, so it exists at compile time only. */
interface Client {
  readonly socket: StreamSocket | CallbackSocket
  invoke (event: string, data?: unknown, options?: ScCallOptions): Promise<unknown>
  tryInvoke (event: string, data?: unknown, options?: ScCallOptions): Promise<ScResult<UserData>>
  transmit (event: string, data?: unknown): void
  subscribe (pattern: string, ...args: unknown[]): ScClientChannel<unknown>
  channel (pattern: string, params?: Params): ScClientChannel<unknown>
  publish (pattern: string, ...args: unknown[]): Promise<void>
}

/** The calls that differ between the client versions. */
interface Calls {
  invoke (event: string, data: unknown, options?: ScCallOptions): Promise<unknown>
  transmit (event: string, data: unknown): void
  publish (channel: string, message: unknown): Promise<void>
  channel (name: string, subscribe: boolean, options?: ScSubscribeOptions): ScClientChannel<unknown>
}

/**
 * Wraps a socketcluster-client socket with the types of a contract. It does not validate data at run time: the server does.
 *
 * ```ts
 * import { create } from 'socketcluster-client'
 * import type { events, channels } from './contract.js'
 *
 * const client = typedClient<{ events: typeof events, channels: typeof channels }>(create({ port: 8000 }))
 * const { id } = await client.invoke('chat', { room: '7', text: 'hi' })
 * for await (const message of client.subscribe('room/:id', { id: '7' })) show(message.text)
 * ```
 *
 * @param socket a socket of socketcluster-client 15 to 20, or 14. Pass its type as the second type argument to keep it in
 * `socket`
 */
export function typedClient<C extends ScContracts> (socket: StreamSocket): ScTypedClient<C, StreamSocket>
export function typedClient<C extends ScContracts> (socket: CallbackSocket): ScTypedClient<C, CallbackSocket>
export function typedClient<C extends ScContracts, Socket extends StreamSocket | CallbackSocket = StreamSocket | CallbackSocket> (socket: Socket): ScTypedClient<C, Socket>
export function typedClient (socket: StreamSocket | CallbackSocket): Client {
  const calls = 'invoke' in socket ? streamCalls(socket) : callbackCalls(socket)
  return {
    socket,
    invoke: (event, data, options) => calls.invoke(event, data, options),
    async tryInvoke (event, data, options) {
      try {
        return { ok: true, data: await calls.invoke(event, data, options) }
      } catch (error) {
        return { ok: false, error: error as ScResult<UserData>['error'] & Error }
      }
    },
    transmit: (event, data) => calls.transmit(event, data),
    subscribe (pattern, ...args) {
      const params = hasParams(pattern) ? args.shift() as Params : undefined
      return calls.channel(nameOf(pattern, params), true, args[0] as ScSubscribeOptions | undefined)
    },
    channel: (pattern, params) => calls.channel(nameOf(pattern, params), false),
    publish (pattern, ...args) {
      const params = hasParams(pattern) ? args.shift() as Params : undefined
      return calls.publish(nameOf(pattern, params), args[0])
    }
  }
}

function refused (err: unknown): Error {
  return err instanceof Error ? err : Object.assign(new Error(typeof err === 'string' ? err : 'The server refused'), typeof err === 'object' ? err : {})
}

function streamCalls (socket: StreamSocket): Calls {
  const calls: Calls = {
    invoke: (event, data, options) => socket.invoke(event, data, options),
    transmit (event, data) {
      // The promise only settles when the message was sent. The socket itself reports a closed connection.
      Promise.resolve(socket.transmit(event, data)).catch(() => {})
    },
    async publish (channel, message) {
      await socket.invokePublish(channel, message)
    },
    channel (name, subscribe, options) {
      const memory = new ChannelMemory(socket, name, calls.invoke)
      if (subscribe) memory.subscribing(options)
      const channel: StreamChannel = subscribe ? socket.subscribe(name, options) : socket.channel(name)
      return {
        name,
        get state () { return channel.state },
        get recovered () { return memory.recovered },
        async subscribed () {
          if (channel.state === 'subscribed') return
          await Promise.race([
            channel.listener('subscribe').once(),
            channel.listener('subscribeFail').once().then(({ error }) => { throw refused(error) })
          ])
        },
        watch (handler, onError = reportError) {
          const iterator = channel[Symbol.asyncIterator]()
          const watch = { on: true }
          const pass = ({ done, value }: IteratorResult<unknown>): void => {
            if (done === true || !watch.on) return
            callHandler(handler, value, onError)
            iterator.next().then(pass, onError)
          }
          iterator.next().then(pass, onError)
          return () => {
            watch.on = false
            Promise.resolve(iterator.return?.()).catch(onError)
          }
        },
        publish: (message) => calls.publish(name, message),
        unsubscribe: () => socket.unsubscribe(name),
        history: (query) => memory.history(query),
        [Symbol.asyncIterator]: () => channel[Symbol.asyncIterator]()
      }
    }
  }
  return calls
}

function callbackCalls (socket: CallbackSocket): Calls {
  const settle = (resolve: (data: unknown) => void, reject: (err: Error) => void) => (err: unknown, data: unknown): void => {
    if (err) reject(refused(err))
    else resolve(data)
  }
  const calls: Calls = {
    invoke: (event, data) => new Promise((resolve, reject) => socket.emit(event, data, settle(resolve, reject))),
    transmit (event, data) {
      socket.emit(event, data)
    },
    publish: (channel, message) => new Promise((resolve, reject) => socket.publish(channel, message, settle(() => resolve(), reject))),
    channel (name, subscribe, options) {
      const memory = new ChannelMemory(socket, name, calls.invoke)
      if (subscribe) memory.subscribing(options)
      const channel: CallbackChannel = subscribe ? socket.subscribe(name, options) : socket.channel(name)
      return {
        name,
        get state () { return channel.state },
        get recovered () { return memory.recovered },
        subscribed () {
          if (channel.state === 'subscribed') return Promise.resolve()
          return new Promise((resolve, reject) => {
            const accepted = (): void => { forget(); resolve() }
            const failed = (err: unknown): void => { forget(); reject(refused(err)) }
            const forget = (): void => {
              channel.off('subscribe', accepted)
              channel.off('subscribeFail', failed)
            }
            channel.on('subscribe', accepted)
            channel.on('subscribeFail', failed)
          })
        },
        watch (handler, onError = reportError) {
          const listener = (message: unknown): void => callHandler(handler, message, onError)
          channel.watch(listener)
          return () => channel.unwatch(listener)
        },
        publish: (message) => calls.publish(name, message),
        unsubscribe: () => socket.unsubscribe(name),
        history: (query) => memory.history(query),
        [Symbol.asyncIterator]: () => iterate(channel)
      }
    }
  }
  return calls
}

/** Returns the messages of a client 14 channel as an iterator, which ends when the channel is unsubscribed. */
function iterate (channel: CallbackChannel): AsyncIterator<unknown> {
  const queue: unknown[] = []
  let wake: (() => void) | null = null
  let ended = false
  const notify = (): void => { wake?.(); wake = null }
  const onMessage = (message: unknown): void => { queue.push(message); notify() }
  const end = (): void => {
    ended = true
    channel.unwatch(onMessage)
    channel.off('unsubscribe', end)
    notify()
  }
  channel.watch(onMessage)
  channel.on('unsubscribe', end)
  return {
    async next () {
      while (queue.length === 0) {
        if (ended) return { done: true, value: undefined }
        await new Promise<void>((resolve) => { wake = resolve })
      }
      return { done: false, value: queue.shift() }
    },
    async return () {
      queue.length = 0
      end()
      return { done: true, value: undefined }
    }
  }
}
