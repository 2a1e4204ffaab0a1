import { createPrivateKey } from 'node:crypto'
import type { AuthKey, ScAuthToken, SignTokenOptions } from '../../types/auth.js'
import { typeName } from '../errors.js'
import { promiseOf } from '../promises.js'
import { type Claims, type SignRequest, signRequest } from './claims.js'
import type { Jwt } from './fastify-jwt.js'
import type { KeySource } from './key-source.js'
import { MAX_TOKEN_BYTES, algorithms, isPem } from './keys.js'

/** Signs tokens through @fastify/jwt, with the options and units of jsonwebtoken. */
export class Signer {
  readonly #keys: KeySource

  constructor (keys: KeySource) {
    this.#keys = keys
  }

  sign (token: ScAuthToken, key: AuthKey | null, options: SignTokenOptions): string | Promise<string> {
    const request = signRequest(token, options ?? {})
    const jwt = this.#keys.jwt
    const [payload, signOptions] = this.#signOptions(jwt, key, request)
    const signed = jwt.sign(payload, signOptions)
    const finish = (text: unknown): string => {
      if (typeof text !== 'string') throw new Error(`Expected @fastify/jwt to sign the token, got ${typeName(text)}`)
      if (text.length > MAX_TOKEN_BYTES) throw new Error(`The signed token would have ${text.length} bytes; a token may have ${MAX_TOKEN_BYTES}`)
      if (options?.mutatePayload === true) Object.assign(token, request.claims)
      return text
    }
    return promiseOf(signed)?.then(finish) ?? finish(signed)
  }

  /** Returns the payload and the options for @fastify/jwt; no options select the prepared signer. */
  #signOptions (jwt: Jwt, key: AuthKey | null, { claims, issuedAt, noTimestamp, algorithm, keyid, header }: SignRequest): [Claims, Record<string, unknown> | undefined] {
    const changes: Record<string, unknown> = {}
    const wanted = algorithm ?? this.#keys.options.authAlgorithm
    if (wanted !== undefined && !algorithms.includes(wanted)) throw new Error('"algorithm" must be a valid string enum value')
    if (this.#keys.isOwnKey(jwt, this.#keys.given?.signatureKey, key)) {
      if (wanted !== undefined && (!this.#keys.isPrivate(jwt) || wanted !== this.#keys.chosen.algorithm)) changes.algorithm = wanted
    } else {
      changes.key = key
      changes.algorithm = wanted ?? this.#keys.fit(key!, createPrivateKey)
      if (isPem(key!) && (changes.algorithm as string).startsWith('HS')) throw new Error(`The key must be a secret when using ${changes.algorithm as string}, got PEM`)
    }
    if (keyid !== undefined) changes.kid = keyid
    if (header !== undefined) {
      if ('alg' in header) throw new Error('"header" may not have an "alg"; set the option authAlgorithm')
      changes.header = header
    }
    if (noTimestamp) changes.noTimestamp = true

    // Defaults of the application's @fastify/jwt would override the claims, so the claims are repeated as options.
    const defaults = this.#keys.isPrivate(jwt) ? undefined : jwt.options.sign
    const exp = claims.exp as number | undefined
    // fast-jwt ignores an `exp` claim of 0 and rejects a negative one. As `expiresIn`, relative to `iat`, both work.
    if (exp !== undefined && (exp <= 0 || defaults?.expiresIn !== undefined)) changes.expiresIn = exp - issuedAt
    if (defaults !== undefined) {
      // fast-jwt only accepts a `notBefore` of 0 or more, so an earlier `nbf` becomes the time of issue.
      if (claims.nbf !== undefined && defaults.notBefore !== undefined) changes.notBefore = Math.max(0, (claims.nbf as number) - issuedAt)
      for (const claim of ['aud', 'iss', 'sub', 'jti', 'nonce']) {
        if (claims[claim] !== undefined && defaults[claim] !== undefined) changes[claim] = claims[claim]
      }
    }
    const counted = changes.expiresIn !== undefined || changes.notBefore !== undefined
    let payload = claims
    if (counted) {
      payload = { ...claims, iat: issuedAt }
      if (changes.expiresIn !== undefined) delete payload.exp
    }
    return [payload, Object.keys(changes).length === 0 ? undefined : changes]
  }
}
