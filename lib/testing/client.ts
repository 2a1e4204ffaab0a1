import type { WebSocket } from 'ws'
import type { ScAuthToken } from '../../types/auth.js'
import type { ProtocolVersion } from '../../types/protocol.js'
import type { ScTestCallOptions, ScTestClient, ScTestClosed, ScTestSubscribeOptions } from '../../types/testing.js'
import type { UserData } from '../../types/user-data.js'
import { fillPattern, hasParams } from '../contracts/fill-pattern.js'
import { scError } from '../errors.js'
import { dialects } from '../protocol/dialects.js'
import { dehydrateError, hydrateError } from '../protocol/wire-errors.js'
import { Calls, abortedCall } from './calls.js'
import { TestChannel } from './channel.js'
import { Mailbox } from './mailbox.js'

export interface ClientOptions {
  protocol: ProtocolVersion
  /** Milliseconds to wait for the handshake, an answer, or the next message. */
  timeout: number
  pong: boolean
  /** Whether channels are given as a pattern with parameters. */
  patterns: boolean
  sign: (claims: ScAuthToken) => Promise<string>
}

interface Status {
  id: string
  pingTimeout: number
  isAuthenticated: boolean
  authError?: unknown
}

/** The fields of the server's packets that the client reads. */
interface Packet {
  rid?: unknown
  error?: unknown
  data?: unknown
  event?: string
  cid?: unknown
}

/** The data of the protocol's reserved events. */
interface ProtocolData {
  channel: string
  data: unknown
  message?: string
  token: string
}

/** A client of either protocol version over a websocket. It does not reconnect, so that tests control everything that happens. */
export class TestClient implements ScTestClient<UserData> {
  readonly protocol: ProtocolVersion
  readonly raw: Mailbox<string>
  readonly closed: Promise<ScTestClosed>
  id = ''
  pingTimeout = 0
  state: 'open' | 'closed' = 'open'
  isAuthenticated = false
  authError: Error | undefined
  signedAuthToken: string | null = null
  readonly #options: ClientOptions
  readonly #ws: WebSocket
  readonly #calls = new Calls()
  readonly #events = new Map<string, Mailbox<unknown>>()
  readonly #messages = new Map<string, Mailbox<unknown>>()
  readonly #channels = new Map<string, TestChannel>()
  readonly #handlers = new Map<string, (data: unknown) => unknown>()
  #announcedClose: unknown

  constructor (ws: WebSocket, options: ClientOptions) {
    this.#ws = ws
    this.#options = options
    this.protocol = options.protocol
    this.raw = new Mailbox('raw message', options.timeout)
    ws.on('message', (message) => this.#onMessage(message.toString()))
    this.closed = new Promise((resolve) => {
      ws.on('close', (code, reason) => {
        this.#end()
        resolve({ code, reason: reason.toString(), ...(this.#announcedClose === undefined ? {} : { data: this.#announcedClose }) })
      })
    })
  }

  /** Sends the handshake, the first packet of a connection. @throws the server's error when the server refuses it */
  async handshake (signedToken: string | null): Promise<void> {
    this.signedAuthToken = signedToken
    const status = await this.call('#handshake', { authToken: signedToken }) as Status
    this.id = status.id
    this.pingTimeout = status.pingTimeout
    this.isAuthenticated = status.isAuthenticated
    this.authError = hydrateError(status.authError) ?? undefined
  }

  get authToken (): ScAuthToken | null {
    const claims = this.signedAuthToken?.split('.')[1]
    try {
      return claims === undefined ? null : JSON.parse(Buffer.from(claims, 'base64url').toString())
    } catch {
      return null
    }
  }

  // Events

  emit (event: string, data?: unknown, callback?: (err: Error | null, data?: unknown) => void): void {
    if (callback === undefined) this.#packet({ event, data })
    else this.call(event, data).then((answer) => callback(null, answer), (err) => callback(err))
  }

  invoke (event: string, data?: unknown, { timeout }: ScTestCallOptions = {}): Promise<unknown> {
    return this.call(event, data, timeout)
  }

  transmit (event: string, data?: unknown): void {
    this.#packet({ event, data })
  }

  event<T> (name: string): Mailbox<T> {
    return mailbox(this.#events, name, () => new Mailbox(`event "${name}"`, this.#options.timeout), this.state) as Mailbox<T>
  }

  on (event: string, handler: (data: unknown) => unknown): this {
    this.#handlers.set(event, handler)
    return this
  }

  /** Sends an event and waits for the answer. */
  call (event: string, data: unknown, timeout: number = this.#options.timeout): Promise<unknown> {
    if (this.state === 'closed') return Promise.reject(abortedCall(event))
    return this.#calls.open(event, timeout, (cid) => this.#packet({ event, data, cid }))
  }

  // Channels

  async subscribe (pattern: string, ...args: unknown[]): Promise<TestChannel> {
    const name = this.#nameOf(pattern, args)
    const options: ScTestSubscribeOptions = args[0] ?? {}
    // The first message may arrive directly after the answer.
    const messages = this.#mailboxOf(name)
    messages.reopen()
    await this.call('#subscribe', { channel: name, ...options })
    const known = this.#channels.get(name)
    if (known?.state === 'subscribed') return known
    const channel = new TestChannel(name, messages, this)
    this.#channels.set(name, channel)
    return channel
  }

  async publish (pattern: string, ...args: unknown[]): Promise<void> {
    const name = this.#nameOf(pattern, args)
    await this.call('#publish', { channel: name, data: args[0] })
  }

  received (channel: string): readonly unknown[] {
    return this.#messages.get(channel)?.received ?? []
  }

  #nameOf (pattern: string, args: unknown[]): string {
    if (!this.#options.patterns) return pattern
    const params = hasParams(pattern) ? args.shift() as Readonly<Record<string, unknown>> : undefined
    return fillPattern(pattern, params, (reason) => scError('SC_ERR_CONTRACT', [pattern, reason]))
  }

  #mailboxOf (channel: string): Mailbox<unknown> {
    return mailbox(this.#messages, channel, () => new Mailbox(`message on "${channel}"`, this.#options.timeout), this.state)
  }

  // Authentication

  async authenticate (token: string | ScAuthToken): Promise<{ isAuthenticated: boolean, authError?: Error }> {
    const signed = typeof token === 'string' ? token : await this.#options.sign(token)
    this.signedAuthToken = signed
    const { isAuthenticated, authError } = await this.call('#authenticate', signed) as Pick<Status, 'isAuthenticated' | 'authError'>
    this.isAuthenticated = isAuthenticated
    const error = hydrateError(authError)
    return error === null ? { isAuthenticated } : { isAuthenticated, authError: error }
  }

  deauthenticate (): void {
    this.#dropToken()
    this.#packet({ event: '#removeAuthToken' })
  }

  #dropToken (): void {
    this.signedAuthToken = null
    this.isAuthenticated = false
  }

  // Connection

  send (data: string | Buffer): void {
    this.#ws.send(data)
  }

  async close (code = 1000, reason = ''): Promise<ScTestClosed> {
    if (this.state === 'open') {
      if (dialects[this.protocol].disconnectPacket) this.#packet({ event: '#disconnect', data: { code, data: reason } })
      this.#ws.close(code, reason)
    }
    return await this.closed
  }

  terminate (): void {
    this.#ws.terminate()
  }

  async [Symbol.asyncDispose] (): Promise<void> {
    await this.close()
  }

  #end (): void {
    this.state = 'closed'
    this.#calls.abort()
    for (const channel of this.#channels.values()) channel.end()
    for (const messages of this.#messages.values()) messages.end()
    for (const events of this.#events.values()) events.end()
    this.raw.end()
  }

  // Wire

  #packet (packet: object): void {
    if (this.state === 'open') this.#ws.send(JSON.stringify(packet))
  }

  #onMessage (text: string): void {
    // Until the server knows the version it sends both kinds of pings. As in real clients, the other one is not a packet.
    const { ping, pong } = dialects[this.protocol]
    if (text === ping) {
      if (this.#options.pong) this.#ws.send(pong)
      return
    }
    if (text === dialects[1].ping || text === dialects[2].ping) return
    let decoded: unknown
    try {
      decoded = JSON.parse(text)
    } catch {
      this.raw.put(text)
      return
    }
    for (const packet of Array.isArray(decoded) ? decoded : [decoded]) this.#onPacket(packet, text)
  }

  #onPacket (packet: Packet | null, text: string): void {
    if (typeof packet?.rid === 'number') {
      this.#calls.settle(packet.rid, packet.error, packet.data)
    } else if (typeof packet?.event === 'string') {
      const { event, data, cid } = packet
      if (event.startsWith('#')) this.#onProtocolEvent(event, data as ProtocolData, cid)
      else this.#onEvent(event, data, cid)
    } else {
      this.raw.put(text)
    }
  }

  #onProtocolEvent (event: string, data: ProtocolData, cid: unknown): void {
    if (event === '#publish') {
      this.#mailboxOf(data.channel).put(data.data)
      return
    }
    if (event === '#kickOut') {
      const channel = this.#channels.get(data.channel)
      if (channel !== undefined) {
        channel.kicked = data.message ?? ''
        channel.end()
      }
    } else if (event === '#setAuthToken') {
      this.signedAuthToken = data.token
      this.isAuthenticated = true
    } else if (event === '#removeAuthToken') {
      this.#dropToken()
    } else if (event === '#disconnect') {
      this.#announcedClose = data?.data
    }
    if (cid !== undefined) this.#packet({ rid: cid })
  }

  #onEvent (event: string, data: unknown, cid: unknown): void {
    this.event(event).put(data)
    const handler = this.#handlers.get(event)
    if (handler === undefined) return
    const answer = (answered: object): void => {
      if (cid !== undefined) this.#packet({ rid: cid, ...answered })
    }
    Promise.resolve(data).then(handler).then((data) => answer({ data }), (err) => answer({ error: dehydrateError(err) }))
  }
}

function mailbox<T> (boxes: Map<string, Mailbox<T>>, name: string, make: () => Mailbox<T>, state: 'open' | 'closed'): Mailbox<T> {
  let box = boxes.get(name)
  if (box === undefined) {
    box = make()
    if (state === 'closed') box.end()
    boxes.set(name, box)
  }
  return box
}
