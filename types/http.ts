import type { FastifyInstance, FastifyRequest } from 'fastify'
import type { RevokeFilter } from './server.js'

/** An operation that a request asks for, as `authorize` gets it. */
export type ScHttpOperation =
  /** `POST /publish` */
  | { readonly operation: 'publish', readonly channels: readonly string[] }
  /** `POST /kick`. An empty filter stands for all sockets in the channel. */
  | { readonly operation: 'kick', readonly filter: Readonly<RevokeFilter>, readonly channel: string }
  /** `POST /disconnect`. An empty filter stands for all sockets. */
  | { readonly operation: 'disconnect', readonly filter: Readonly<RevokeFilter> }
  /** `POST /revoke` */
  | { readonly operation: 'revoke', readonly filter: Readonly<RevokeFilter> }
  /** `GET /channels` */
  | { readonly operation: 'channels', readonly prefix?: string }
  /** `GET /sockets` */
  | { readonly operation: 'sockets', readonly channel?: string, readonly user?: string }
  /** `GET /nodes` */
  | { readonly operation: 'nodes' }
  /** `GET /history` */
  | { readonly operation: 'history', readonly channel: string }
  /** `GET /presence` */
  | { readonly operation: 'presence', readonly channel: string }
  /** `GET /stream`. The `subscribe` hooks and policies of the channels are asked too. */
  | { readonly operation: 'stream', readonly channels: readonly string[] }
  /** `POST /stream/ticket` */
  | { readonly operation: 'streamTicket' }

/** The name of an operation, but for streams, which the option `streams` adds. */
export type ScHttpOperationName = Exclude<ScHttpOperation['operation'], 'stream' | 'streamTicket'>

/** Options of event streams. */
export interface ScStreamOptions {
  /** The maximum number of streams of the process; 0 for no limit. @default 1000 */
  maxStreams?: number
  /** The maximum number of streams with the same key; 0 for no limit. @default 10 */
  maxStreamsPerKey?: number
  /** The key by which the streams of a client are counted. Default: its user, or its address without a user. */
  key?: (request: FastifyRequest) => string
  /** The milliseconds between two comments that keep a stream alive, at least 1,000. @default 20000 */
  heartbeat?: number
}

/** Options of `fastify-socketcluster/http`. */
export interface ScHttpOptions {
  /**
   * Decides whether a request may do what it asks for. Called for each request, after Fastify's hooks of the context and after its body
   * or query was validated. Return `true` to allow it. With any other value the request is refused with 403. An error that is meant for
   * clients, for example a `ScRefusal`, is the answer, with its `statusCode` or 403.
   */
  authorize (this: FastifyInstance, request: FastifyRequest, operation: ScHttpOperation): boolean | Promise<boolean>
  /**
   * Returns the name of the caller for log lines, at once: it cannot be async. Each caller has its own idempotency keys. Default: all
   * requests have the same caller, without a name.
   */
  principal? (this: FastifyInstance, request: FastifyRequest): string
  /** The operations that have a route. Default: all. */
  operations?: readonly ScHttpOperationName[]
  /** Adds `GET /stream`, server-sent events of channels, and `POST /stream/ticket`. @default false */
  streams?: boolean | ScStreamOptions
  /** The milliseconds for which the answer to a request with an `Idempotency-Key` is kept, 1,000 to 86,400,000. @default 300000 */
  idempotencyTtl?: number
  /** What the routes have in the document of @fastify/swagger. */
  openapi?: {
    /** Leave the routes out. @default false */
    hide?: boolean
    /** @default ['SocketCluster'] */
    tags?: readonly string[]
    /** The Security Requirement Objects of the routes. */
    security?: ReadonlyArray<Readonly<Record<string, readonly string[]>>>
  }
}

declare module 'fastify' {
  interface FastifyContextConfig {
    /** Set by `fastify-socketcluster/http`. */
    sc?: {
      /** The operation of the route, for hooks. */
      readonly operation?: ScHttpOperation['operation']
    }
  }
}
