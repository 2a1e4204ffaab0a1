import type { ScAuthToken } from './auth.js'
import type { UserData } from './user-data.js'

/** The SocketCluster middleware lines that run on sockets. `handshakeWS` is not among them: it runs in the HTTP upgrade. */
export type HookLine = 'handshakeSC' | 'authenticate' | 'subscribe' | 'publishIn' | 'publishOut' | 'emit'

/** The lines of `scServer.addMiddleware()`. */
export type MiddlewareLine = HookLine | 'handshakeWS'

/** The hooks of `fastify.scHook()`: the lines, and those of declared events. */
export type HookName = HookLine | 'preHandler' | 'onResponse' | 'onError'

/** `Socket` is the server socket; a parameter so that this file needs nothing above it. */
export interface HandshakeScRequest<Socket> {
  readonly socket: Socket
}

export interface AuthenticateRequest<Socket> {
  /** Its `authToken` is still what it was: the claims become the socket's when all hooks have passed. */
  readonly socket: Socket
  /** The verified claims. */
  readonly authToken: ScAuthToken
  readonly signedAuthToken: string | null
}

/** What all hooks and policies of a channel get, whatever a client does there. */
export interface ChannelRequest<Socket, Data = UserData, Params = Readonly<Record<string, string>>> {
  readonly socket: Socket
  readonly channel: string
  /** What the parameters of the pattern that the channel matches are there, as text. */
  readonly params: Params
  data: Data
}

export interface SubscribeRequest<Socket> extends ChannelRequest<Socket> {
  readonly waitForAuth: boolean | undefined
  /** The subscription's data; assigning replaces it, `undefined` keeps the old value. */
  data: UserData
  /** Present when the socket's token ran out before this action. */
  readonly authTokenExpiredError?: Error
  /** True when an existing subscription is checked again because the socket's authorization changed. */
  readonly revalidation: boolean
}

export interface PublishInRequest<Socket> extends ChannelRequest<Socket> {
  /** Assigning another text publishes there instead, if all rules of that channel let a client's message in. */
  channel: string
  /** Assigning replaces the message, `undefined` keeps the old value. */
  data: UserData
  /** Sent back to the publisher with its ack. */
  ackData?: UserData
  readonly authTokenExpiredError?: Error
}

export interface PublishOutRequest<Socket> extends ChannelRequest<Socket> {
  /** The receiving socket. */
  readonly socket: Socket
  /** This recipient's own copy; editing or assigning it changes nothing for others. */
  data: UserData
  /** Set it to send the shared, already encoded message and ignore edits. */
  useCache?: boolean
}

export interface EmitRequest<Socket> {
  readonly socket: Socket
  readonly event: string
  /** Assigning replaces it, `undefined` keeps the old value. Validated afterwards, if the event declares a schema. */
  data: UserData
  readonly authTokenExpiredError?: Error
}

/** What a declared event's `preHandler`, `onResponse` and `onError` hooks get. */
export interface EventRequest<Socket> {
  readonly socket: Socket
  readonly event: string
  /** Valid by the event's schema. */
  data: UserData
  /** The `config` of the event's contract. */
  readonly config: unknown
  /** `onResponse` only: what the handler returned. */
  response?: unknown
  /** `onError` only: what was thrown. */
  error?: unknown
  readonly authTokenExpiredError?: Error
}

export interface HookRequests<Socket> {
  handshakeSC: HandshakeScRequest<Socket>
  authenticate: AuthenticateRequest<Socket>
  subscribe: SubscribeRequest<Socket>
  publishIn: PublishInRequest<Socket>
  publishOut: PublishOutRequest<Socket>
  emit: EmitRequest<Socket>
  preHandler: EventRequest<Socket>
  onResponse: EventRequest<Socket>
  onError: EventRequest<Socket>
}

/** A hook: returning lets the action pass, throwing (or rejecting) blocks it. `this` is the Fastify instance of the event or channel. */
export type Hook<Name extends HookName, Socket, Instance = unknown> =
  (this: Instance, request: HookRequests<Socket>[Name]) => unknown

/** Ends a middleware: without arguments the action passes, `next(err)` blocks it, `next(true)` blocks it silently. */
export type Next = (err?: Error | string | boolean | null | { silent?: boolean, [field: string]: unknown }, detail?: unknown) => void

/** The request of a middleware line; `handshakeWS` gets the Node.js request of the upgrade. */
export type MiddlewareRequest<Line extends MiddlewareLine, Socket, HttpRequest> =
  Line extends HookLine ? HookRequests<Socket>[Line] : HttpRequest

/** SocketCluster's middleware. An async function that throws blocks too. */
export type Middleware<Line extends MiddlewareLine, Socket, HttpRequest> =
  (request: MiddlewareRequest<Line, Socket, HttpRequest>, next: Next) => unknown
