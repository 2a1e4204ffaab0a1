import { typeName } from '../errors.js'
import type { ScAuthToken, SignTokenOptions } from '../../types/auth.js'
import { parseTimespan } from './timespan.js'

/** The claims of a token. */
export type Claims = Record<string, unknown>

/** A token to sign: the claims and options of jsonwebtoken, combined and checked. */
export interface SignRequest {
  /** All claims in a new object, with `iat`, `exp` and `nbf` in whole seconds. */
  claims: Claims
  /** Time of issue in seconds, the base of `exp` and `nbf`. Equals `iat`, and is set even when `noTimestamp` leaves `iat` out. */
  issuedAt: number
  noTimestamp: boolean
  algorithm?: string
  keyid?: string
  header?: Record<string, unknown>
}

/** Whether a value is an object without a class, such as an object literal. Values of another realm count too. */
export function isPlainObject (value: unknown): value is Record<string, unknown> {
  if (typeof value !== 'object' || value === null) return false
  const prototype = Object.getPrototypeOf(value)
  // The value may come from another realm, with another `Object.prototype`.
  return prototype === null || Object.getPrototypeOf(prototype) === null
}

const isText = (value: unknown): value is string => typeof value === 'string'
const isFlag = (value: unknown): value is boolean => typeof value === 'boolean'
const isTime = (value: unknown): boolean => Number.isInteger(value) || (isText(value) && value !== '')

/** The checks of the signing options, with the error texts of jsonwebtoken where it has the option. */
const optionChecks: Record<string, { isValid: (value: unknown) => boolean, message: string }> = {
  async: { isValid: isFlag, message: '"async" must be a boolean' },
  expiresIn: { isValid: isTime, message: '"expiresIn" should be a number of seconds or string representing a timespan' },
  notBefore: { isValid: isTime, message: '"notBefore" should be a number of seconds or string representing a timespan' },
  audience: { isValid: (value) => isText(value) || Array.isArray(value), message: '"audience" must be a string or array' },
  issuer: { isValid: isText, message: '"issuer" must be a string' },
  subject: { isValid: isText, message: '"subject" must be a string' },
  jwtid: { isValid: isText, message: '"jwtid" must be a string' },
  keyid: { isValid: isText, message: '"keyid" must be a string' },
  header: { isValid: isPlainObject, message: '"header" must be an object' },
  noTimestamp: { isValid: isFlag, message: '"noTimestamp" must be a boolean' },
  mutatePayload: { isValid: isFlag, message: '"mutatePayload" must be a boolean' },
  algorithm: { isValid: isText, message: '"algorithm" must be a valid string enum value' },
  // Accepted but ignored: claims are always UTF-8, because verifiers expect nothing else.
  encoding: { isValid: isText, message: '"encoding" must be a string' }
}

const claimOptions: Array<[option: 'audience' | 'issuer' | 'subject' | 'jwtid', claim: string]> =
  [['audience', 'aud'], ['issuer', 'iss'], ['subject', 'sub'], ['jwtid', 'jti']]

function secondsAfter (option: 'expiresIn' | 'notBefore', value: number | string, from: number): number {
  const milliseconds = isText(value) ? parseTimespan(value) : value * 1000
  if (milliseconds === undefined) {
    throw new Error(`"${option}" should be a number of seconds or string representing a timespan eg: "1d", "20h", 60`)
  }
  return Math.floor(from + milliseconds / 1000)
}

/** Reads a time claim set by the application; `undefined` when there is none. */
function timeClaim (claims: Claims, name: string): number | undefined {
  const value = claims[name]
  if (value === undefined) return undefined
  if (!Number.isFinite(value)) throw new Error(`"${name}" should be a number of seconds`)
  return value as number
}

/**
 * Checks and combines claims and options like jsonwebtoken's `sign`, with its units and error texts. It differs in three
 * points: an `exp` claim overrides `expiresIn` (as in SocketCluster), an option that is `undefined` counts as left out, and
 * fractions of a second in `exp` and `nbf` are not signed but rounded: `exp` down, `nbf` up.
 *
 * @param now milliseconds since the epoch
 * @throws Error when claims or options are invalid or contradict each other
 */
export function signRequest (token: ScAuthToken, options: SignTokenOptions, now: number = Date.now()): SignRequest {
  if (!isPlainObject(token)) throw new Error(`Expected "payload" to be a plain object, got ${typeName(token)}.`)
  for (const [name, value] of Object.entries(options)) {
    if (value === undefined) continue
    const check = Object.hasOwn(optionChecks, name) ? optionChecks[name] : undefined
    if (check === undefined) throw new Error(`"${name}" is not allowed in "options"`)
    if (!check.isValid(value)) throw new Error(check.message)
  }

  const claims: Claims = { ...token }
  const issuedAt = Math.floor(timeClaim(claims, 'iat') || now / 1000)
  let exp = timeClaim(claims, 'exp')
  let nbf = timeClaim(claims, 'nbf')

  if (exp !== undefined) exp = Math.floor(exp)
  else if (options.expiresIn !== undefined) exp = secondsAfter('expiresIn', options.expiresIn, issuedAt)

  if (options.notBefore !== undefined) {
    if (nbf !== undefined) throw new Error('Bad "options.notBefore" option the payload already has an "nbf" property.')
    nbf = secondsAfter('notBefore', options.notBefore, issuedAt)
  }

  for (const [option, claim] of claimOptions) {
    if (options[option] === undefined) continue
    if (claims[claim] !== undefined) throw new Error(`Bad "options.${option}" option. The payload already has an "${claim}" property.`)
    claims[claim] = options[option]
  }

  const noTimestamp = options.noTimestamp === true
  if (noTimestamp) delete claims.iat
  else claims.iat = issuedAt
  if (exp === undefined) delete claims.exp
  else claims.exp = exp
  // An `nbf` at or before 1970 has no effect, so it is left out.
  if (nbf === undefined || nbf <= 0) delete claims.nbf
  else claims.nbf = Math.ceil(nbf)

  return { claims, issuedAt, noTimestamp, algorithm: options.algorithm, keyid: options.keyid, header: options.header }
}
