import type { onRequestHookHandler, preHandlerHookHandler } from 'fastify'
import type { ScDocumentation } from './contracts.js'
import type { UserData } from './user-data.js'

/** What the document says of the application. More fields of AsyncAPI's Info Object are taken as they are. */
export interface AsyncApiInfo {
  /** @default 'fastify-socketcluster' */
  title?: string
  /** @default '0.0.0' */
  version?: string
  /** Markdown. */
  description?: string
  tags?: Array<{ name: string, description?: string }>
  [field: string]: unknown
}

/** A server of the document. More fields of AsyncAPI's Server Object are taken as they are. */
export interface AsyncApiServer {
  /** Host, and port if it has one: `'api.example.com'`. */
  host: string
  /** @default 'wss' */
  protocol?: 'ws' | 'wss'
  /** @default the server's option `path` */
  pathname?: string
  description?: string
  [field: string]: unknown
}

/** Where a schema belongs. */
export interface AsyncApiPlace {
  kind: 'event' | 'channel'
  /** The event's name, or the channel's pattern. */
  name: string
  part: 'data' | 'response' | 'errors' | 'message' | 'params'
}

/** An event or a channel with what documents it. */
export interface AsyncApiDeclaration {
  kind: 'event' | 'channel'
  /** The event's name, or the channel's pattern. */
  name: string
  documentation: ScDocumentation
}

/** Options of `fastify-socketcluster/asyncapi`. */
export interface ScAsyncApiOptions {
  info?: AsyncApiInfo
  /** By name. Default: one that is where the application listens; behind a proxy clients need yours. */
  servers?: Record<string, AsyncApiServer>
  /** Where the page is; the document is there with `.json` and `.yaml` added. The prefix of the context comes before it. @default '/asyncapi' */
  routePrefix?: string
  /** Whether there are routes: the page and the document, or with `'document'` the document alone. @default true */
  exposeRoute?: boolean | 'document'
  /** Run before each of these routes, to guard them for example. */
  hooks?: { onRequest?: onRequestHookHandler, preHandler?: preHandlerHookHandler }
  /** AsyncAPI's Security Scheme Objects by name; all servers refer to them. Default: `jwt`, the token of the handshake. `{}` for none. */
  securitySchemes?: Record<string, { type: string, [field: string]: unknown }>
  /** Makes JSON Schema of the schema of another library. TypeBox, JSON Schema, and what has the `~standard` JSON Schema of Zod 4.2 and later need none. */
  transform?: (schema: unknown, place: AsyncApiPlace) => unknown
  /** Leaves out what it returns `false` for, besides what `hide` leaves out. */
  filter?: (declaration: AsyncApiDeclaration) => boolean
  /** Leave out what has no tags. @default false */
  hideUntagged?: boolean
}

/** Objects of AsyncAPI by their names. They hold the application's own schemas, examples and extensions. */
export type AsyncApiObjects = Record<string, UserData>

/** An AsyncAPI 3.1 document. */
export interface AsyncApiDocument {
  asyncapi: '3.1.0'
  info: { title: string, version: string, [field: string]: unknown }
  defaultContentType: 'application/json'
  servers: AsyncApiObjects
  channels: AsyncApiObjects
  operations: AsyncApiObjects
  components: { messages: AsyncApiObjects, schemas: AsyncApiObjects, securitySchemes: AsyncApiObjects }
}

declare module 'fastify' {
  interface FastifyInstance {
    /**
     * The AsyncAPI 3.1 document of what was declared with `scEvent` and `scChannel`; as YAML text with `{ yaml: true }`, which needs the package `yaml`.
     *
     * @throws InvalidActionError before the application is ready
     */
    asyncapi (options?: { yaml?: false }): AsyncApiDocument
    asyncapi (options: { yaml: true }): string
  }
}
