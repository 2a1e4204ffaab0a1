import type { FastifyRequest } from 'fastify'
import type { ResolvedOptions } from '../../types/options.js'
import { type ScError, scError } from '../errors.js'
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

  /** Checks an upgrade. @returns the error of a request that is refused, with status 403 or 421 */
  upgradeRefusal (request: FastifyRequest): ScError | undefined {
    return this.#hostRefusal(request) ?? this.#originRefusal(request)
  }

  /**
   * Like `upgradeRefusal`, for other requests. Their origin counts if browsers send credentials by themselves, whoever made the page:
   * a page has to add a token or a ticket. Browsers send some requests to other sites without an `Origin`, but with cookies.
   */
  requestRefusal (request: FastifyRequest): ScError | undefined {
    const refusal = this.#hostRefusal(request)
    const { origin, cookie, authorization, 'sec-fetch-site': site } = request.headers
    if (refusal !== undefined || (cookie === undefined && (authorization === undefined || bearer.test(authorization)))) return refusal
    if (origin !== undefined) return this.#originRefusal(request)
    if (site === 'cross-site' || site === 'same-site') return this.#refusal(request, 'SC_ERR_ORIGIN', `a ${site} page`)
  }

  #hostRefusal (request: FastifyRequest): ScError | undefined {
    if (this.#hosts !== null && !this.#hosts.has(request.host, request.protocol)) return this.#refusal(request, 'SC_ERR_HOST', request.host)
  }

  #originRefusal (request: FastifyRequest): ScError | undefined {
    const { origin } = request.headers
    if (origin !== undefined && !this.#origins.allows(origin, request.host, request.protocol)) return this.#refusal(request, 'SC_ERR_ORIGIN', origin)
  }

  #refusal (request: FastifyRequest, code: 'SC_ERR_HOST' | 'SC_ERR_ORIGIN', what: string): ScError {
    const error = scError(code, [what])
    this.#monitor.warn(error, request.log)
    return error
  }
}
