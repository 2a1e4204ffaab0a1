import type { onRequestHookHandler, preHandlerHookHandler } from 'fastify'
import type { ScDocumentation } from './contracts.js'
import type { UserData } from './user-data.js'

/** The document's Info Object. Other fields of AsyncAPI's Info Object are copied unchanged. */
export interface AsyncApiInfo {
  /** @default 'fastify-socketcluster' */
  title?: string
  /** @default '0.0.0' */
  version?: string
  /** A description in Markdown. */
  description?: string
  tags?: Array<{ name: string, description?: string }>
  [field: string]: unknown
}

/** A Server Object of the document. Other fields of AsyncAPI's Server Object are copied unchanged. */
export interface AsyncApiServer {
  /** The host, with the port if there is one: `'api.example.com'`. */
  host: string
  /** @default 'wss' */
  protocol?: 'ws' | 'wss' | 'http' | 'https'
  /** @default the server's option `path`; none for HTTP */
  pathname?: string
  description?: string
  [field: string]: unknown
}

/** The place of a schema in a declaration. */
export interface AsyncApiPlace {
  kind: 'event' | 'channel'
  /** The event's name, or the channel's pattern. */
  name: string
  part: 'data' | 'response' | 'errors' | 'message' | 'params'
}

/** A declared event or channel with its documentation. */
export interface AsyncApiDeclaration {
  kind: 'event' | 'channel'
  /** The event's name, or the channel's pattern. */
  name: string
  documentation: ScDocumentation
}

/** Options of `fastify-socketcluster/asyncapi`. */
export interface ScAsyncApiOptions {
  info?: AsyncApiInfo
  /**
   * The servers by name. Default: one server at the address where the application listens. Set it behind a proxy, where clients
   * use another address.
   */
  servers?: Record<string, AsyncApiServer>
  /**
   * The path of the page. The document has the same path with `.json` or `.yaml` added. The prefix of the context comes before
   * it.
   * @default '/asyncapi'
   */
  routePrefix?: string
  /** Whether to add routes: `true` for the page and the document, `'document'` for the document only. @default true */
  exposeRoute?: boolean | 'document'
  /** Fastify hooks of these routes, for example to require a login. */
  hooks?: { onRequest?: onRequestHookHandler, preHandler?: preHandlerHookHandler }
  /** Security Scheme Objects by name; all servers refer to them. Default: `jwt`, the token of the handshake. `{}` for none. */
  securitySchemes?: Record<string, { type: string, [field: string]: unknown }>
  /**
   * Converts the schemas of another library to JSON Schema. Not needed for TypeBox, JSON Schema, or libraries with the
   * `~standard` JSON Schema of Zod 4.2 and later.
   */
  transform?: (schema: unknown, place: AsyncApiPlace) => unknown
  /** Returns `false` for declarations to leave out of the document. Declarations with `hide` are always left out. */
  filter?: (declaration: AsyncApiDeclaration) => boolean
  /** Leave out declarations without tags. @default false */
  hideUntagged?: boolean
}

/** AsyncAPI objects by name. They contain the application's own schemas, examples and extensions. */
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
     * Returns the AsyncAPI 3.1 document of all events and channels declared with `scEvent` and `scChannel`.
     * `{ yaml: true }` returns YAML text; it needs the package `yaml`.
     *
     * @throws InvalidActionError before the application is ready
     */
    asyncapi (options?: { yaml?: false }): AsyncApiDocument
    asyncapi (options: { yaml: true }): string
  }
}
