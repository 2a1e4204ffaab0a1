import { scError } from '../errors.js'

/** One allowed origin; `*` stands for a whole part. */
interface Rule {
  readonly scheme: string
  readonly host: string
  readonly port: string
}

const defaultPorts: Readonly<Record<string, string>> = { http: '80', https: '443', ws: '80', wss: '443' }

/**
 * Decides whether a page of some origin may connect.
 *
 * Origins are compared part by part (scheme, host and port, RFC 6454 section 5), never by substring. A request without an
 * `Origin` does not come from a page and is allowed.
 */
export class Origins {
  readonly #sameHost: boolean
  readonly #rules: readonly Rule[]

  /**
   * @param origins `'same-host'`, or entries `scheme://host:port`, or `host:port` for any scheme
   * @throws InvalidOptionsError for an entry that is none of these
   */
  constructor (origins: string | readonly string[]) {
    const entries = typeof origins === 'string' ? origins.split(/[\s,]+/).filter((entry) => entry !== '') : origins
    this.#sameHost = entries.includes('same-host')
    this.#rules = entries.filter((entry) => entry !== 'same-host').map(parseRule)
  }

  /**
   * @param host the request's own host, for `'same-host'`
   * @param protocol how it came, as far as the server knows: a proxy may have ended its TLS without saying so
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

/** `scheme://host[:port]` and nothing else; the opaque origin `null` is none. */
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
 * Whether a page comes from the server that it asks. Its scheme must be the server's. A page of https: is also let in where
 * the server sees http: only who has the host's certificate can serve it, so TLS ends in a proxy that does not say so.
 * The other way round anybody between could have served the page.
 */
function isOwnPage (origin: Rule, host: string, protocol: string): boolean {
  if (origin.scheme !== 'https' && (origin.scheme !== 'http' || protocol === 'https')) return false
  // The `Host` of a request has no port where it is the scheme's own.
  const own = parseOrigin(`${origin.scheme}://${host}`)
  return own !== null && own.host === origin.host && own.port === origin.port
}

/** The names that a server is asked by. Whoever asks by another one was sent here by somebody else's DNS. */
export class Hosts {
  readonly #names: ReadonlySet<string>

  /** @param hosts names with or without a port */
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
