import { Writable } from 'node:stream'
import client14 from 'socketcluster-client-14'
import client20 from 'socketcluster-client'
import type { FastifyInstance, FastifyServerOptions } from 'fastify'
import type { ScPluginOptions } from '../../lib/index.js'
import { type Cleanup, Inbox } from './raw.js'
import { type Served, serve } from './serve.js'

export interface App extends Served {
  /** The log lines. */
  logs: any[]
}

/** Starts an application with the plugin on a free port and records its log. */
export async function startApp (t: Cleanup, options: ScPluginOptions = {}, setUp?: (app: FastifyInstance) => unknown, fastifyOptions: FastifyServerOptions = {}): Promise<App> {
  const logs: any[] = []
  const stream = new Writable({
    write (chunk: Buffer, _encoding, done) {
      logs.push(JSON.parse(chunk.toString()))
      done()
    }
  })
  const served = await serve(t, options, setUp, { ...fastifyOptions, logger: { level: 'trace', stream } })
  return Object.assign(served, { logs })
}

/** A common interface of both generations of clients. `raw` is the client itself. */
export interface Client {
  readonly generation: 14 | 20
  readonly raw: any
  readonly id: string
  readonly authToken: any
  readonly state: string
  call (event: string, data?: unknown): Promise<any>
  emit (event: string, data?: unknown): void
  /** Listens to an event of the application. The handler answers with `res(err, data)`. */
  on (event: string, handler: (data: any, res: (err?: unknown, data?: unknown) => void) => void): void
  /**
   * Subscribes to a channel. Settles when the server accepted the subscription, rejects when it failed. Messages are queued from
   * then on.
   */
  subscribe (channel: string, options?: object): Promise<void>
  unsubscribe (channel: string): void
  isSubscribed (channel: string): boolean
  publish (channel: string, data?: unknown): Promise<any>
  /** Resolves with the next message of a channel. */
  next (channel: string): Promise<any>
  /** Resolves with the arguments of the client's next local event, as an array. Events are queued from the connect on. */
  nextEvent (name: 'error' | 'connect' | 'disconnect' | 'connectAbort' | 'authenticate' | 'deauthenticate' | 'kickOut' | 'raw' | 'subscribeFail' | 'subscribe'): Promise<any>
  authenticate (signed: string | null): Promise<any>
  deauthenticate (): Promise<void>
  reconnect (): void
  close (): Promise<void>
}

export type Connect = (t: Cleanup, app: { port: number }, options?: Record<string, unknown>) => Promise<Client>

const ownEvents = ['error', 'connect', 'disconnect', 'connectAbort', 'authenticate', 'deauthenticate', 'kickOut', 'raw', 'subscribeFail', 'subscribe'] as const

function common (raw: any, generation: 14 | 20, inboxes: Map<string, Inbox<any>>) {
  const inbox = (name: string): Inbox<any> => {
    let found = inboxes.get(name)
    if (found === undefined) inboxes.set(name, found = new Inbox())
    return found
  }
  return {
    generation,
    raw,
    get id () { return raw.id },
    get authToken () { return raw.authToken },
    get state () { return raw.state },
    inbox,
    unsubscribe: (channel: string) => raw.unsubscribe(channel),
    isSubscribed: (channel: string) => raw.isSubscribed(channel),
    next: (channel: string) => inbox(`channel ${channel}`).take(() => true, `a message on ${channel}`),
    nextEvent: (name: string) => inbox(name).take(() => true, `the client's ${name}`),
    reconnect: () => raw.connect()
  }
}

const defaults = { hostname: '127.0.0.1', autoReconnect: false, multiplex: false, authTokenName: 'sc' }

/** Creates a client of generation 14. Settles when it is connected, or immediately with `{ wait: false }`. */
export const connect14: Connect = async (t, app, { wait = true, ...options } = {}) => {
  const raw = client14.create({ ...defaults, port: app.port, autoConnect: false, ...ownStore(), ...options })
  const face = common(raw, 14, new Map())
  for (const name of ownEvents) raw.on(name, (...values: any[]) => face.inbox(name).push(values.length === 1 || name === 'raw' ? values[0] : values))
  const client = Object.defineProperties({
    call: (event: string, data?: unknown) => new Promise((resolve, reject) => raw.emit(event, data, (err: unknown, answer: unknown) => err ? reject(err) : resolve(answer))),
    emit: (event: string, data?: unknown) => raw.emit(event, data),
    on: (event: string, handler: any) => raw.on(event, handler),
    subscribe: (name: string, subscribeOptions?: object) => new Promise<void>((resolve, reject) => {
      const channel = raw.subscribe(name, subscribeOptions)
      channel.unwatch()
      channel.watch((data: unknown) => face.inbox(`channel ${name}`).push(data))
      if (channel.state === 'subscribed') resolve()
      channel.once('subscribe', () => resolve())
      channel.once('subscribeFail', reject)
    }),
    publish: (channel: string, data?: unknown) => new Promise((resolve, reject) => raw.publish(channel, data, (err: unknown, ack: unknown) => err ? reject(err) : resolve(ack))),
    authenticate: (signed: string | null) => new Promise((resolve, reject) => raw.authenticate(signed, (err: unknown, status: unknown) => err ? reject(err) : resolve(status))),
    deauthenticate: () => new Promise<void>((resolve, reject) => raw.deauthenticate((err: unknown) => err ? reject(err) : resolve())),
    close: async () => {
      if (raw.state === 'closed') return
      const closed = new Promise((resolve) => raw.once('close', resolve))
      raw.disconnect()
      await closed
    }
  }, Object.getOwnPropertyDescriptors(face)) as unknown as Client
  t.teardown(() => raw.destroy())
  raw.connect()
  if (wait === true) await client.nextEvent('connect')
  return client
}

/** Creates a client of generation 20. Settles when it is connected, or immediately with `{ wait: false }`. */
export const connect20: Connect = async (t, app, { wait = true, ...options } = {}) => {
  const raw = client20.create({ ...defaults, port: app.port, autoConnect: false, ...ownStore(), ...options })
  const face = common(raw, 20, new Map())
  for (const name of ownEvents) {
    follow(raw.listener(name), (value) => face.inbox(name).push(name === 'error' ? value.error : name === 'raw' ? value.message : value))
  }
  const client = Object.defineProperties({
    call: (event: string, data?: unknown) => raw.invoke(event, data),
    emit: (event: string, data?: unknown) => { raw.transmit(event, data) },
    on: (event: string, handler: any) => {
      follow(raw.receiver(event), (data) => handler(data, () => {}))
      follow(raw.procedure(event), (request) => handler(request.data, (err: any, data: unknown) => err ? request.error(err instanceof Error ? err : Object.assign(new Error(String(err)), { message: String(err) })) : request.end(data)))
    },
    subscribe: async (name: string, subscribeOptions?: object) => {
      const channel = raw.subscribe(name, subscribeOptions)
      channel.kill()
      follow(channel, (data) => face.inbox(`channel ${name}`).push(data))
      if (channel.state === 'subscribed') return
      await Promise.race([channel.listener('subscribe').once(), channel.listener('subscribeFail').once().then(({ error }: any) => { throw error })])
    },
    publish: (channel: string, data?: unknown) => raw.invokePublish(channel, data),
    authenticate: (signed: string | null) => raw.authenticate(signed),
    deauthenticate: () => raw.deauthenticate(),
    close: async () => {
      if (raw.state === 'closed') return
      const closed = raw.listener('close').once()
      raw.disconnect()
      await closed
    }
  }, Object.getOwnPropertyDescriptors(face)) as unknown as Client
  t.teardown(() => {
    raw.disconnect()
    raw.killAllListeners()
    raw.killAllReceivers()
    raw.killAllProcedures()
    raw.killAllChannels()
  })
  raw.connect()
  if (wait === true) await client.nextEvent('connect')
  return client
}

/** Both generations, for tests that run with each of them. */
export const generations: ReadonlyArray<[generation: 14 | 20, connect: Connect]> = [[14, connect14], [20, connect20]]

async function follow (stream: AsyncIterable<any>, each: (value: any) => void): Promise<void> {
  for await (const value of stream) each(value)
}

/** Returns a token store of its own for a client. By default all clients of a process share one. @param first the token in it */
export function ownStore (first?: string): { authEngine: object } {
  const tokens = new Map<string, string>(first === undefined ? [] : [[defaults.authTokenName, first]])
  return {
    authEngine: {
      saveToken (name: string, token: string, _options: unknown, callback?: (err: null, token: string) => void) {
        tokens.set(name, token)
        callback?.(null, token)
        return Promise.resolve(token)
      },
      removeToken (name: string, callback?: (err: null, token: string | null) => void) {
        const token = tokens.get(name) ?? null
        tokens.delete(name)
        callback?.(null, token)
        return Promise.resolve(token)
      },
      loadToken (name: string, callback?: (err: null, token: string | null) => void) {
        const token = tokens.get(name) ?? null
        callback?.(null, token)
        return Promise.resolve(token)
      }
    }
  }
}
