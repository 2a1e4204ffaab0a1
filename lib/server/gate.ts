import type { FastifyRequest } from 'fastify'
import type { ResolvedOptions } from '../../types/options.js'
import { scError } from '../errors.js'
import type { Monitor } from './monitor.js'
import { Hosts, Origins } from './origins.js'

const bearer = /^bearer(?: |$)/i

/** Which requests may connect, by the host that they are for and the page that they come from. */
export class Gate {
  readonly #origins: Origins
  readonly #hosts: Hosts | null
  readonly #monitor: Monitor

  /** @throws InvalidOptionsError for an invalid entry of `origins` or `hosts` */
  constructor ({ origins, hosts }: Pick<ResolvedOptions, 'origins' | 'hosts'>, monitor: Monitor) {
    this.#origins = new Origins(origins)
    this.#hosts = hosts === undefined ? null : new Hosts(hosts)
    this.#monitor = monitor
  }

  /** @throws ServerProtocolError with status 403 or 421 */
  check (request: FastifyRequest): void {
    const { host, protocol } = request
    const { origin } = request.headers
    this.#checkHost(host, protocol, request)
    if (origin !== undefined) this.#checkOrigin(origin, request)
  }

  /**
   * Like `check`, for requests that are not upgrades. There the origin counts if browsers send credentials by themselves, whoever made
   * the page: a page has to add a token or a ticket. They send some requests to other sites without an `Origin`, but with cookies.
   */
  checkRequest (request: FastifyRequest): void {
    const { host, protocol, headers: { origin, cookie, authorization, 'sec-fetch-site': site } } = request
    this.#checkHost(host, protocol, request)
    if (cookie === undefined && (authorization === undefined || bearer.test(authorization))) return
    if (origin !== undefined) this.#checkOrigin(origin, request)
    else if (site === 'cross-site' || site === 'same-site') this.#refuse(request, 'SC_ERR_ORIGIN', `a ${site} page`)
  }

  #checkHost (host: string, protocol: string, request: FastifyRequest): void {
    if (this.#hosts !== null && !this.#hosts.has(host, protocol)) this.#refuse(request, 'SC_ERR_HOST', host)
  }

  #checkOrigin (origin: string, request: FastifyRequest): void {
    if (!this.#origins.allows(origin, request.host, request.protocol)) this.#refuse(request, 'SC_ERR_ORIGIN', origin)
  }

  #refuse (request: FastifyRequest, code: 'SC_ERR_HOST' | 'SC_ERR_ORIGIN', what: string): never {
    const error = scError(code, [what])
    this.#monitor.warn(error, request.log)
    throw error
  }
}
