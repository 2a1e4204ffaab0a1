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

  /** @param host the request's own host, for `'same-host'` */
  allows (origin: string | undefined, host: string | undefined): boolean {
    if (origin === undefined) return true
    const parts = parseOrigin(origin)
    if (parts === null) return this.#rules.some((rule) => rule.scheme === '*' && rule.host === '*' && rule.port === '*')
    if (this.#sameHost && host !== undefined && isHost(parts, host)) return true
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

/** The `Host` of a request has no port where it is the scheme's own. */
function isHost (origin: Rule, host: string): boolean {
  const own = parseOrigin(`${origin.scheme}://${host}`)
  return own !== null && own.host === origin.host && own.port === origin.port
}

function parseRule (entry: string): Rule {
  const match = /^(?:([a-z][a-z0-9+.-]*|\*):\/\/)?(\*|\[[0-9a-f:.]+\]|[^:/*\s[\]]+)(?::(\d{1,5}|\*))?\/?$/i.exec(entry)
  if (match === null) throw scError('SC_ERR_OPTIONS', [`Option origins: expected 'same-host', 'scheme://host:port' or 'host:port', each part may be *, got ${JSON.stringify(entry)}`])
  const scheme = match[1]?.toLowerCase() ?? '*'
  return { scheme, host: match[2]!.toLowerCase(), port: match[3] ?? defaultPorts[scheme] ?? '*' }
}
