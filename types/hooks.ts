import type { ScAuthToken } from './auth.js'
import type { ScPosition } from './history.js'
import type { UserData } from './user-data.js'

/**
 * The SocketCluster middleware lines that run on sockets. `handshakeWS` is not one of them, because it runs in the HTTP upgrade.
 */
export type HookLine = 'handshakeSC' | 'authenticate' | 'subscribe' | 'publishIn' | 'publishOut' | 'emit'

/** The lines of `scServer.addMiddleware()`. */
export type MiddlewareLine = HookLine | 'handshakeWS'

/** The hooks of `fastify.scHook()`: the middleware lines, and the hooks of declared events. */
export type HookName = HookLine | 'preHandler' | 'onResponse' | 'onError'

/** The argument of `handshakeSC` hooks. `Socket` is the server socket; a type parameter avoids an import of a higher layer. */
export interface HandshakeScRequest<Socket> {
  readonly socket: Socket
}

/** The argument of `authenticate` hooks. */
export interface AuthenticateRequest<Socket> {
  /** The socket. Its own `authToken` changes only after all hooks have passed. */
  readonly socket: Socket
  /** The verified claims. */
  readonly authToken: ScAuthToken
  readonly signedAuthToken: string | null
}

/** The fields that all hooks and policies of a channel receive. */
export interface ChannelRequest<Socket, Data = UserData, Params = Readonly<Record<string, string>>> {
  readonly socket: Socket
  readonly channel: string
  /** The parameters of the channel pattern, as strings. */
  readonly params: Params
  data: Data
}

/** The argument of `subscribe` hooks. */
export interface SubscribeRequest<Socket> extends ChannelRequest<Socket> {
  /** Whether the client subscribes only while it is authenticated. */
  readonly waitForAuth: boolean | undefined
  /** The subscription's data. Assign to it to replace it; `undefined` keeps the old value. */
  data: UserData
  /** Present when the socket's token expired before this action. */
  readonly authTokenExpiredError?: Error
  /** `true` when an existing subscription is checked again because the socket's token was changed or removed. */
  readonly revalidation: boolean
  /**
   * `true` when the client wants to see who is in the channel, by `<name>#presence`. `channel` is the name without `#presence`,
   * so that rules by name hold for both.
   */
  readonly presence?: boolean
  /** On a channel with `recover`: the position that the client sent; it requests the messages after it. */
  readonly since?: string | undefined
  /** On a channel with `recover`: assign `false` to not send any message of the history to the client. */
  recover?: boolean
  /**
   * On a channel with `recover`: assign a time or a position. The client receives no message that was published before the time,
   * or up to the position. When a subscription is checked again, the last value stays unless another one is assigned.
   */
  historyFrom?: Date | ScPosition
}

/** The argument of `publishIn` hooks. */
export interface PublishInRequest<Socket> extends ChannelRequest<Socket> {
  /** Assign to it to publish on another channel, if all rules of that channel allow it for the client. */
  channel: string
  /** The message. Assign to it to replace it; `undefined` keeps the old value. */
  data: UserData
  /** Data for the publisher, sent with the acknowledgement. */
  ackData?: UserData
  /** Present when the socket's token expired before this action. */
  readonly authTokenExpiredError?: Error
}

/** The argument of `publishOut` hooks, which run for each recipient. */
export interface PublishOutRequest<Socket> extends ChannelRequest<Socket> {
  /** The receiving socket. */
  readonly socket: Socket
  /** This recipient's own copy of the message. Changing or assigning it does not affect other recipients. */
  data: UserData
  /** Set to `true` to send the shared, already encoded message and ignore changes to `data`. */
  useCache?: boolean
}

/** The argument of `emit` hooks. */
export interface EmitRequest<Socket> {
  readonly socket: Socket
  readonly event: string
  /**
   * The event's data. Assign to it to replace it; `undefined` keeps the old value. It is validated afterwards if the event has a
   * schema.
   */
  data: UserData
  /** Present when the socket's token expired before this action. */
  readonly authTokenExpiredError?: Error
}

/** The argument of a declared event's `preHandler`, `onResponse` and `onError` hooks. */
export interface EventRequest<Socket> {
  readonly socket: Socket
  readonly event: string
  /** The data, validated by the event's schema. */
  data: UserData
  /** The `config` of the event's contract. */
  readonly config: unknown
  /** The value that the handler returned; for `onResponse` only. */
  response?: unknown
  /** The error that was thrown; for `onError` only. */
  error?: unknown
  /** Present when the socket's token expired before this action. */
  readonly authTokenExpiredError?: Error
}

/** The arguments of hooks, by hook name. */
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

/**
 * A hook. The action passes when it returns, and is blocked when it throws or rejects. `this` is the Fastify instance of the
 * event or channel.
 */
export type Hook<Name extends HookName, Socket, Instance = unknown> =
  (this: Instance, request: HookRequests<Socket>[Name]) => unknown

/** Ends a middleware: `next()` lets the action pass, `next(err)` blocks it, `next(true)` blocks it silently. */
export type Next = (err?: Error | string | boolean | null | { silent?: boolean, [field: string]: unknown }, detail?: unknown) => void

/** The request of a middleware line. `handshakeWS` gets the Node.js request of the upgrade. */
export type MiddlewareRequest<Line extends MiddlewareLine, Socket, HttpRequest> =
  Line extends HookLine ? HookRequests<Socket>[Line] : HttpRequest

/** A SocketCluster middleware function. An async function that throws also blocks the action. */
export type Middleware<Line extends MiddlewareLine, Socket, HttpRequest> =
  (request: MiddlewareRequest<Line, Socket, HttpRequest>, next: Next) => unknown
