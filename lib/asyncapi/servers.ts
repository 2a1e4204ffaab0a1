import type { AsyncApiServer, ScAsyncApiOptions } from '../../types/asyncapi.js'
import { reference } from './keys.js'

/** The properties of the server that the document uses. */
export interface ServerFacts {
  readonly path: string
  /** The host and port where the application listens. */
  readonly host: string
  readonly secure: boolean
  /** The server's option `allowClientPublish`. */
  readonly allowClientPublish: boolean
}

const protocolDescription = 'SocketCluster over WebSocket: socketcluster-client 14 to 20.'
const httpDescription = 'Events over HTTP.'

/** The servers of a document. Where events can be called over HTTP, there are such servers too, and each channel names its own. */
export class Servers {
  /** AsyncAPI's Server Objects, by name. */
  readonly objects: Record<string, unknown>
  readonly #http: ReadonlyArray<{ $ref: string }>
  readonly #websocket: ReadonlyArray<{ $ref: string }>

  /** @param overHttp whether an event of the document can be called over HTTP */
  constructor ({ servers }: ScAsyncApiOptions, { host, path, secure }: ServerFacts, schemes: string[], overHttp: boolean) {
    const own: Record<string, AsyncApiServer> = { default: { host, protocol: secure ? 'wss' : 'ws' } }
    if (overHttp) own.http = { host, protocol: secure ? 'https' : 'http' }
    const given = Object.entries(servers ?? own)
    const security = schemes.map((scheme) => reference('components', 'securitySchemes', scheme))
    this.objects = Object.fromEntries(given.map(([name, { protocol = 'wss', pathname, description, ...server }]) => [name, {
      ...server,
      protocol,
      ...(isHttp(protocol) ? (pathname === undefined ? {} : { pathname }) : { pathname: pathname ?? path }),
      description: description ?? (isHttp(protocol) ? httpDescription : protocolDescription),
      ...(security.length === 0 ? {} : { security })
    }]))
    const named = (http: boolean): Array<{ $ref: string }> => given.filter(([, { protocol }]) => isHttp(protocol) === http).map(([name]) => reference('servers', name))
    this.#http = named(true)
    this.#websocket = named(false)
  }

  /** Returns the `servers` of a channel. A channel without them is on all servers. */
  of (http: boolean): { servers?: ReadonlyArray<{ $ref: string }> } {
    const servers = http ? this.#http : this.#websocket
    return this.#http.length === 0 || servers.length === 0 ? {} : { servers }
  }
}

function isHttp (protocol: string | undefined): boolean {
  return protocol === 'http' || protocol === 'https'
}
