import type { ScEventContract, ScEventHttp } from '../../types/contracts.js'
import { scError, typeName } from '../errors.js'

/** An event's route over HTTP. */
export interface HttpRoute extends Readonly<Required<ScEventHttp>> {
  /** The url within the event's context, as Fastify's `route` takes it. */
  readonly path: string
}

const methods: ReadonlyArray<NonNullable<ScEventHttp['method']>> = ['POST', 'PUT', 'PATCH', 'DELETE']
const fields = ['url', 'method']

/**
 * Returns where an event can be called over HTTP, or `null` when it cannot.
 * @param prefix the prefix of the event's context
 * @throws InvalidArgumentsError
 */
export function httpRouteOf (name: string, { http }: ScEventContract, prefix: string): HttpRoute | null {
  if (http === undefined || http === false) return null
  const { url, method = 'POST' } = http === true ? {} : http
  const refuse = (reason: string): never => { throw scError('SC_ERR_CONTRACT', [name, reason]) }
  if (http !== true) {
    const unknown = Object.keys(http).find((key) => !fields.includes(key))
    if (unknown !== undefined) refuse(`expected http to have some of ${fields.join(', ')}, got "${unknown}"`)
  }
  if (!methods.includes(method)) refuse(`expected http.method to be one of ${methods.join(', ')}, got ${typeof method === 'string' ? `"${String(method)}"` : typeName(method)}`)
  if (url === undefined) {
    if (!isPath(name)) refuse('its name cannot be a part of a url; expected http: { url }')
    return { url: join(prefix, `/events/${name}`), path: `/events/${name.replaceAll(':', '::')}`, method }
  }
  if (typeof url !== 'string' || !url.startsWith('/')) refuse(`expected http.url to start with "/", got ${typeof url === 'string' ? `"${url}"` : typeName(url)}`)
  if (/[?#*%]/.test(url) || url.replaceAll('::', '').includes(':')) refuse(`expected http.url without parameters, wildcard, query and escapes, because the body has the data; got "${url}"`)
  return { url: join(prefix, url.replaceAll('::', ':')), path: url, method }
}

/** Whether a name can be sent as a path without escaping: a client would resolve the segments `.` and `..`. */
function isPath (name: string): boolean {
  return name.split('/').every((segment) => /^[\w.~:-]+$/.test(segment) && segment !== '.' && segment !== '..')
}

function join (prefix: string, path: string): string {
  if (prefix.endsWith('/')) return prefix + path.slice(1)
  return path === '/' && prefix !== '' ? prefix : prefix + path
}
