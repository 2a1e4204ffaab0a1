import { scError } from '../errors.js'

/** An allowed origin. `*` stands for any value of a part. */
interface Rule {
  readonly scheme: string
  readonly host: string
  readonly port: string
}

const defaultPorts: Readonly<Record<string, string>> = { http: '80', https: '443', ws: '80', wss: '443' }

/**
 * Decides from which origins a page may connect.
 *
 * Origins are compared part by part (scheme, host and port, RFC 6454 section 5), never by substring. A request without an
 * `Origin` header does not come from a page and is allowed.
 */
export class Origins {
  readonly #sameHost: boolean
  readonly #rules: readonly Rule[]

  /**
   * @param origins `'same-host'`, or entries `scheme://host:port`, or `host:port` for any scheme
   * @throws InvalidOptionsError for any other entry
   */
  constructor (origins: string | readonly string[]) {
    const entries = typeof origins === 'string' ? origins.split(/[\s,]+/).filter((entry) => entry !== '') : origins
    this.#sameHost = entries.includes('same-host')
    this.#rules = entries.filter((entry) => entry !== 'same-host').map(parseRule)
  }

  /**
   * Whether a request with this `Origin` header may connect.
   * @param host the request's own host, for `'same-host'`
   * @param protocol the request's protocol as the server sees it: a proxy may terminate TLS without saying so
   */
  allows (origin: string | undefined, host: string | undefined, protocol: string): boolean {
    if (origin === undefined) return true
    const parts = parseOrigin(origin)
    if (parts === null) return this.#rules.some((rule) => rule.scheme === '*' && rule.host === '*' && rule.port === '*')
    if (this.#sameHost && host !== undefined && isOwnPage(parts, host, protocol)) return true
    return this.#rules.some((rule) => (rule.scheme === '*' || rule.scheme === parts.scheme) &&
      (rule.host === '*' || rule.host === parts.host) && (rule.port === '*' || rule.port === parts.port))
  }
}

/** Parses `scheme://host[:port]`. Returns `null` for anything else, including the opaque origin `null`. */
function parseOrigin (origin: string): Rule | null {
  let url: URL
  try {
    url = new URL(origin)
  } catch {
    return null
  }
  if (url.host === '' || url.username !== '' || url.password !== '' || url.search !== '' || url.hash !== '' || (url.pathname !== '/' && url.pathname !== '')) return null
  const scheme = url.protocol.slice(0, -1)
  return { scheme, host: url.hostname.toLowerCase(), port: url.port === '' ? defaultPorts[scheme] ?? '' : url.port }
}

/**
 * Whether a page comes from this server. The schemes must be equal, with one exception: a page of https: may connect when the
 * server sees http:. Such a page needs the host's certificate, so a proxy must be terminating TLS without saying so. A page of
 * http: may not connect to https:, because anyone on the network could have served that page.
 */
function isOwnPage (origin: Rule, host: string, protocol: string): boolean {
  if (origin.scheme !== 'https' && (origin.scheme !== 'http' || protocol === 'https')) return false
  // The `Host` header has no port when it is the default port of the scheme.
  const own = parseOrigin(`${origin.scheme}://${host}`)
  return own !== null && own.host === origin.host && own.port === origin.port
}

/** The host names of the server. A request for another name was sent here by foreign DNS (DNS rebinding). */
export class Hosts {
  readonly #names: ReadonlySet<string>

  /**
   * @param hosts names with or without a port
   * @throws InvalidOptionsError for any other entry
   */
  constructor (hosts: readonly string[]) {
    this.#names = new Set(hosts.map((entry) => {
      const rule = /[/*\s@?#]/.test(entry) ? null : parseOrigin(`http://${entry}`)
      if (rule === null) throw scError('SC_ERR_OPTIONS', [`Option hosts: expected 'host' or 'host:port', got ${JSON.stringify(entry)}`])
      return /:\d+$/.test(entry) ? `${rule.host}:${rule.port}` : rule.host
    }))
  }

  has (host: string | undefined, protocol: string): boolean {
    const own = host === undefined ? null : parseOrigin(`${protocol === 'https' ? 'https' : 'http'}://${host}`)
    return own !== null && (this.#names.has(own.host) || this.#names.has(`${own.host}:${own.port}`))
  }
}

function parseRule (entry: string): Rule {
  const match = /^(?:([a-z][a-z0-9+.-]*|\*):\/\/)?(\*|\[[0-9a-f:.]+\]|[^:/*\s[\]]+)(?::(\d{1,5}|\*))?\/?$/i.exec(entry)
  if (match === null) throw scError('SC_ERR_OPTIONS', [`Option origins: expected 'same-host', 'scheme://host:port' or 'host:port', each part may be *, got ${JSON.stringify(entry)}`])
  const scheme = match[1]?.toLowerCase() ?? '*'
  return { scheme, host: match[2]!.toLowerCase(), port: match[3] ?? defaultPorts[scheme] ?? '*' }
}
