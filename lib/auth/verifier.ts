import { createPublicKey } from 'node:crypto'
import type { FastifyRequest } from 'fastify'
import type { AuthKey, ScAuthToken, VerifyTokenOptions } from '../../types/auth.js'
import { promiseOf } from '../promises.js'
import { read } from '../untrusted.js'
import { type Jwt, decoratorOf, hasSecretFunction } from './fastify-jwt.js'
import { fromVerifier, jwtError } from './jwt-errors.js'
import type { KeySource } from './key-source.js'
import { MAX_TOKEN_BYTES, algorithms, isPem } from './keys.js'

type RequestVerify = (options: object, callback: (err: unknown) => void) => void

/** Verifies tokens through @fastify/jwt, with the errors and texts of jsonwebtoken. */
export class Verifier {
  readonly #keys: KeySource

  constructor (keys: KeySource) {
    this.#keys = keys
  }

  verify (token: string | null, key: AuthKey | null, options: VerifyTokenOptions): ScAuthToken | Promise<ScAuthToken> {
    if (token === null || token === undefined || token === '') throw jwtError('JsonWebTokenError', 'jwt must be provided')
    if (typeof token !== 'string') throw jwtError('JsonWebTokenError', 'jwt must be a string')
    if (token.length > MAX_TOKEN_BYTES) throw jwtError('JsonWebTokenError', `jwt is longer than ${MAX_TOKEN_BYTES} bytes`)

    const jwt = this.#keys.jwt
    const verifyOptions = this.#verifyOptions(jwt, key, options)
    const request = this.#keys.isPrivate(jwt) ? undefined : requestOf(options.socket, this.#keys.requestVerifyName)
    if (request !== undefined && hasSecretFunction(jwt)) {
      return this.#verifyByRequest(jwt, token, verifyOptions, request, () => jwt.decode(token) as ScAuthToken)
    }
    let result: unknown
    try {
      result = jwt.verify(token, verifyOptions)
    } catch (err) {
      throw fromVerifier(err, token, jwt.decode)
    }
    const verifying = promiseOf<ScAuthToken>(result)
    if (verifying !== undefined) {
      return verifying.catch((err) => { throw fromVerifier(err, token, jwt.decode) })
    }
    // A verifier with a cache returns the same object each time.
    const claims = jwt.options.verify?.cache ? structuredClone(result) as ScAuthToken : result as ScAuthToken
    // `jwt.verify` reports the exact error but does not call the application's `trusted` function, so `jwtVerify` runs too.
    return request === undefined ? claims : this.#verifyByRequest(jwt, token, verifyOptions, request, () => claims)
  }

  /** Verifies like a hook of the application, with `request.jwtVerify()`, but restores `request.user`. */
  #verifyByRequest (jwt: Jwt, token: string, options: object | undefined, request: FastifyRequest, claims: () => ScAuthToken): ScAuthToken | Promise<ScAuthToken> {
    const target = request as FastifyRequest & Record<string, unknown>
    const property = decoratorOf(jwt)
    const user = target[property]
    const verify = target[this.#keys.requestVerifyName] as RequestVerify
    return settled((callback) => {
      verify.call(request, { verify: { ...options, extractToken: () => token } }, (err) => {
        if (err != null) return callback(fromVerifier(err, token, jwt.decode))
        target[property] = user
        callback(null, claims())
      })
    })
  }

  /** Returns the options for @fastify/jwt; `undefined` selects the prepared verifier. */
  #verifyOptions (jwt: Jwt, key: AuthKey | null, options: VerifyTokenOptions): Record<string, unknown> | undefined {
    const { authAlgorithm, authVerifyAlgorithms } = this.#keys.options
    const configured = authVerifyAlgorithms ?? (authAlgorithm === undefined ? undefined : [authAlgorithm])
    const wanted = options?.algorithms ?? configured
    const changes: Record<string, unknown> = {}
    if (this.#keys.isOwnKey(jwt, this.#keys.given?.verificationKey, key)) {
      if (wanted !== undefined && (!this.#keys.isPrivate(jwt) || wanted !== configured)) changes.algorithms = allowed(wanted)
    } else {
      changes.key = key
      changes.algorithms = allowed(wanted ?? [this.#keys.fit(key!, createPublicKey)])
      // A public key must never be used as an HMAC secret.
      if (isPem(key!)) changes.algorithms = allowed((changes.algorithms as string[]).filter((name) => !name.startsWith('HS')))
    }
    // Override settings that the application made for its own routes, such as another audience.
    const { complete, allowedAud } = jwt.options.verify ?? {}
    if (complete === true) changes.complete = false
    const { authAudience } = this.#keys.options
    if (typeof authAudience === 'string' && allowedAud !== undefined) changes.allowedAud = authAudience
    return Object.keys(changes).length === 0 ? undefined : changes
  }
}

function requestOf (socket: unknown, verifyName: string): FastifyRequest | undefined {
  const request = read(socket, 'fastifyRequest')
  return typeof read(request, verifyName) === 'function' ? request as FastifyRequest : undefined
}

function allowed (names: readonly string[]): string[] {
  const known = names.filter((name) => algorithms.includes(name))
  if (known.length === 0) throw jwtError('JsonWebTokenError', 'invalid algorithm')
  return known
}

/** Returns the value of a callback that was called synchronously, otherwise a promise. Throws a synchronous error. */
function settled<T> (run: (callback: (err: Error | null, value?: T) => void) => void): T | Promise<T> {
  let early: { err: Error | null, value?: T } | undefined
  let late: ((err: Error | null, value?: T) => void) | undefined
  run((err, value) => {
    if (late !== undefined) late(err, value)
    else early ??= { err, value }
  })
  if (early !== undefined) {
    if (early.err !== null) throw early.err
    return early.value as T
  }
  return new Promise((resolve, reject) => {
    late = (err, value) => err === null ? resolve(value as T) : reject(err)
  })
}
