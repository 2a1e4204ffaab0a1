import { createPrivateKey, createPublicKey, randomBytes } from 'node:crypto'
import fastifyJwt from '@fastify/jwt'
import type { FastifyInstance, FastifyRequest } from 'fastify'
import { scError, typeName } from '../errors.js'
import { writeLine } from '../log.js'
import { promiseOf } from '../promises.js'
import type { AuthCallback, AuthEngine, AuthKey, ScAuthToken, SignTokenOptions, VerifyTokenOptions } from '../../types/auth.js'
import type { ScPluginOptions } from '../../types/options.js'
import { signRequest, type Claims, type SignRequest } from './claims.js'
import { fromVerifier, jwtError } from './jwt-errors.js'
import { algorithmOf, algorithms, checkAlgorithmOptions, chooseAlgorithms, givenKeys, isPem, MIN_SECRET_BYTES, type ChosenAlgorithms, type GivenKeys } from './keys.js'

/** Longer tokens are refused before anything is read from them, and not signed either. */
export const MAX_TOKEN_BYTES = 8192

/** What is used of a `fastify.jwt`. Of its own types the application may have widened any. */
interface Jwt {
  sign (payload: object, options?: Record<string, unknown>): unknown
  verify (token: string, options?: Record<string, unknown>): unknown
  decode (token: string): unknown
  readonly options: { sign?: Record<string, unknown>, verify?: Record<string, unknown>, decoratorName?: string }
}

type RequestVerify = (options: object, callback: (err: unknown) => void) => void

/** Where tokens are signed and verified, as decided when the application is ready. */
export interface JwtKeys {
  /** `application`: its @fastify/jwt; `options`: `authKey` or the key pair; `random`: a key drawn at the start. */
  readonly source: 'application' | 'options' | 'random'
  /** `null` when the application's @fastify/jwt has the key: it does not show it. */
  readonly signatureKey: AuthKey | null
  readonly verificationKey: AuthKey | null
  /** The algorithm that signs; `undefined` when the application's @fastify/jwt decides. */
  readonly algorithm: string | undefined
  /** The property of a request in which the application's @fastify/jwt leaves the verified claims. */
  readonly userProperty: string
}

/**
 * The default auth engine: JSON Web Tokens by @fastify/jwt, with the options, units, errors and texts of jsonwebtoken.
 *
 * It answers synchronously, before the call returns, whatever `async` says: HMAC takes microseconds, and Node.js has
 * no asynchronous way that would be cheaper. Only an application's own @fastify/jwt can make it wait: by a `trusted`
 * function or a `secret` function that is asynchronous.
 *
 * Each call takes the key it is given. As long as that is the key the engine was made with, a prepared signer or verifier is used;
 * for another key @fastify/jwt makes one for the call: a few microseconds more for a secret, some hundreds for a PEM key.
 */
export class JwtEngine implements AuthEngine {
  readonly #fastify: FastifyInstance
  readonly #options: ScPluginOptions
  readonly #given: GivenKeys | undefined
  readonly #drawnKey: string | undefined
  readonly #chosen: ChosenAlgorithms
  readonly #private: Jwt | undefined
  #application: Jwt | undefined
  #keys: JwtKeys | undefined
  #fitting: { key: AuthKey, algorithm: string } | undefined

  /** Made by `createJwtEngine`. */
  constructor (fastify: FastifyInstance, options: ScPluginOptions, made: { given?: GivenKeys, drawnKey?: string, chosen: ChosenAlgorithms, jwt?: Jwt }) {
    this.#fastify = fastify
    this.#options = options
    this.#given = made.given
    this.#drawnKey = made.drawnKey
    this.#chosen = made.chosen
    this.#private = made.jwt
  }

  /**
   * Decides where the keys come from. To be called when every plugin is loaded (`onReady`): only then is it known
   * whether the application registered @fastify/jwt, in whatever order. Further calls return the same.
   *
   * @throws ScError when `jwtNamespace` is not there, when a random key would be shared, or when `authAlgorithm` does not fit
   */
  resolve (): JwtKeys {
    this.#keys ??= this.#decide()
    return this.#keys
  }

  #decide (): JwtKeys {
    const { log } = this.#fastify
    const application = findApplicationJwt(this.#fastify, this.#options)
    const userProperty = (application ?? (this.#fastify as unknown as { jwt?: Jwt }).jwt)?.options?.decoratorName ?? 'user'
    if (this.#given !== undefined) {
      if (!this.#given.isPair) {
        const bytes = Buffer.byteLength(this.#given.signatureKey)
        if (bytes < MIN_SECRET_BYTES) writeLine(log, 'warn', `authKey is shorter than ${MIN_SECRET_BYTES} bytes: it can be guessed from a token`, { bytes })
      }
      const { signatureKey, verificationKey } = this.#given
      return { source: 'options', signatureKey, verificationKey, algorithm: this.#chosen.algorithm, userProperty }
    }
    if (application !== undefined) {
      this.#application = application
      if (!this.#fastify.hasRequestDecorator(this.#requestVerifyName)) {
        writeLine(log, 'warn', `request.${this.#requestVerifyName} is missing (was @fastify/jwt given the option jwtVerify?): its \`trusted\` and \`secret\` functions are not used for sockets`)
      }
      return { source: 'application', signatureKey: null, verificationKey: null, algorithm: this.#options.authAlgorithm, userProperty }
    }
    if (this.#options.jwtNamespace !== undefined) {
      throw scError('SC_ERR_OPTIONS', [`jwtNamespace: expected a namespace of @fastify/jwt, got ${JSON.stringify(this.#options.jwtNamespace)}, which the application has not registered`])
    }
    // Says what does not fit if authAlgorithm is one that needs a key pair.
    chooseAlgorithms(this.#options, { signatureKey: this.#drawnKey!, verificationKey: this.#drawnKey!, isPair: false })
    // An engine of the application's own may have no use for the key.
    if (this.#options.authEngine === undefined) {
      if (this.#options.broker?.shared === true) throw scError('SC_ERR_AUTH_KEY_RANDOM')
      writeLine(log, 'warn', 'No authKey, key pair or @fastify/jwt: tokens are signed with a random key and end with this process; set the option authKey')
    }
    return { source: 'random', signatureKey: this.#drawnKey!, verificationKey: this.#drawnKey!, algorithm: this.#chosen.algorithm, userProperty }
  }

  /** The names and results are jsonwebtoken's: see `AuthEngine`. Without a callback a promise is returned. */
  verifyToken (signedToken: string | null, key: AuthKey | null, options: VerifyTokenOptions, callback: AuthCallback<ScAuthToken>): void
  verifyToken (signedToken: string | null, key: AuthKey | null, options: VerifyTokenOptions): Promise<ScAuthToken>
  verifyToken (signedToken: string | null, key: AuthKey | null, options: VerifyTokenOptions, callback?: AuthCallback<ScAuthToken>): Promise<ScAuthToken> | void {
    return answer(() => this.#verify(signedToken, key, options), callback)
  }

  /** As `verifyToken`. With `mutatePayload` the token passed gets the claims that were added. */
  signToken (token: ScAuthToken, key: AuthKey | null, options: SignTokenOptions, callback: AuthCallback<string>): void
  signToken (token: ScAuthToken, key: AuthKey | null, options: SignTokenOptions): Promise<string>
  signToken (token: ScAuthToken, key: AuthKey | null, options: SignTokenOptions, callback?: AuthCallback<string>): Promise<string> | void {
    return answer(() => this.#sign(token, key, options), callback)
  }

  get #jwt (): Jwt {
    if (this.#given !== undefined) return this.#private!
    // Before `resolve` the application may still register its own.
    const jwt = this.#application ?? findApplicationJwt(this.#fastify, this.#options) ?? this.#private
    if (jwt === undefined) throw new Error('The application has no @fastify/jwt any more')
    return jwt
  }

  get #requestVerifyName (): string {
    return this.#options.jwtNamespace === undefined ? 'jwtVerify' : `${this.#options.jwtNamespace}JwtVerify`
  }

  /** Whether a key is the one that `jwt` was made with. Throws for what is no key at all: it must never stand for the default one. */
  #isOwnKey (jwt: Jwt, own: AuthKey | undefined, key: AuthKey | null): boolean {
    // The application's own key is not known: it is `null`, or, if it was asked for before the application was ready, the drawn one.
    if (jwt !== this.#private && (key === null || key === this.#drawnKey)) return true
    if ((typeof key !== 'string' && !Buffer.isBuffer(key)) || key.length === 0) {
      throw new Error(`Expected the key to be a non-empty string or Buffer, got ${typeof key === 'string' || Buffer.isBuffer(key) ? 'an empty one' : typeName(key)}`)
    }
    return jwt === this.#private && key === (own ?? this.#drawnKey)
  }

  /** The algorithm for a key that came while running, if none is configured. The last one is kept: reading PEM is slow. */
  #fit (key: AuthKey, read: typeof createPrivateKey | typeof createPublicKey): string {
    if (this.#fitting?.key === key) return this.#fitting.algorithm
    const algorithm = isPem(key) ? algorithmOf(read(key)) : 'HS256'
    if (algorithm === undefined) throw new Error('Expected the key to be a secret, or PEM of an RSA, EC or Ed25519 key')
    this.#fitting = { key, algorithm }
    return algorithm
  }

  #verify (token: string | null, key: AuthKey | null, options: VerifyTokenOptions): ScAuthToken | Promise<ScAuthToken> {
    if (token === null || token === undefined || token === '') throw jwtError('JsonWebTokenError', 'jwt must be provided')
    if (typeof token !== 'string') throw jwtError('JsonWebTokenError', 'jwt must be a string')
    if (token.length > MAX_TOKEN_BYTES) throw jwtError('JsonWebTokenError', `jwt is longer than ${MAX_TOKEN_BYTES} bytes`)

    const jwt = this.#jwt
    const verifyOptions = this.#verifyOptions(jwt, key, options)
    const request = jwt === this.#private ? undefined : requestOf(options.socket, this.#requestVerifyName)
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
    if (jwt === this.#private) return result as ScAuthToken
    // A verifier with a cache hands out the same object every time.
    const claims = jwt.options.verify?.cache ? structuredClone(result) as ScAuthToken : result as ScAuthToken
    // `jwt.verify` says exactly what is wrong with a token, but does not ask the application's `trusted`.
    return request === undefined ? claims : this.#verifyByRequest(jwt, token, verifyOptions, request, () => claims)
  }

  /** Verifies as a hook of the application would, by `request.jwtVerify()`, but leaves `request.user` as it was. */
  #verifyByRequest (jwt: Jwt, token: string, options: object | undefined, request: FastifyRequest, claims: () => ScAuthToken): ScAuthToken | Promise<ScAuthToken> {
    const target = request as unknown as Record<string, unknown>
    const property = jwt.options.decoratorName ?? 'user'
    const user = target[property]
    const verify = target[this.#requestVerifyName] as RequestVerify
    return settled((callback) => {
      verify.call(request, { verify: { ...options, extractToken: () => token } }, (err) => {
        if (err != null) return callback(fromVerifier(err, token, jwt.decode))
        target[property] = user
        callback(null, claims())
      })
    })
  }

  /** `undefined` for the prepared verifier. */
  #verifyOptions (jwt: Jwt, key: AuthKey | null, options: VerifyTokenOptions): Record<string, unknown> | undefined {
    const { authAlgorithm, authVerifyAlgorithms } = this.#options
    const configured = authVerifyAlgorithms ?? (authAlgorithm === undefined ? undefined : [authAlgorithm])
    const wanted = options?.algorithms ?? configured
    const changes: Record<string, unknown> = {}
    if (this.#isOwnKey(jwt, this.#given?.verificationKey, key)) {
      if (wanted !== undefined && (jwt !== this.#private || !sameNames(wanted, this.#chosen.verifyAlgorithms))) changes.algorithms = allowed(wanted)
    } else {
      changes.key = key
      changes.algorithms = allowed(wanted ?? [this.#fit(key!, createPublicKey)])
      // A public key must never be taken for a secret.
      if (isPem(key!)) changes.algorithms = allowed((changes.algorithms as string[]).filter((name) => !name.startsWith('HS')))
    }
    if (jwt !== this.#private) {
      if (jwt.options.verify?.complete === true) changes.complete = false
      // The application's own routes may demand another audience.
      const { authAudience } = this.#options
      if (typeof authAudience === 'string' && jwt.options.verify?.allowedAud !== undefined) changes.allowedAud = authAudience
    }
    return Object.keys(changes).length === 0 ? undefined : changes
  }

  #sign (token: ScAuthToken, key: AuthKey | null, options: SignTokenOptions): string | Promise<string> {
    const request = signRequest(token, options ?? {})
    const jwt = this.#jwt
    const [payload, signOptions] = this.#signOptions(jwt, key, request)
    const signed = signOptions === undefined ? jwt.sign(payload) : jwt.sign(payload, signOptions)
    const finish = (text: unknown): string => {
      if (typeof text !== 'string') throw new Error(`Expected @fastify/jwt to sign the token, got ${typeName(text)}`)
      if (text.length > MAX_TOKEN_BYTES) throw new Error(`The signed token would have ${text.length} bytes; a token may have ${MAX_TOKEN_BYTES}`)
      if (options?.mutatePayload === true) Object.assign(token, request.claims)
      return text
    }
    return promiseOf(signed)?.then(finish) ?? finish(signed)
  }

  /** The options are `undefined` for the prepared signer. */
  #signOptions (jwt: Jwt, key: AuthKey | null, { claims, issuedAt, noTimestamp, algorithm, keyid, header }: SignRequest): [Claims, Record<string, unknown> | undefined] {
    const changes: Record<string, unknown> = {}
    const wanted = algorithm ?? this.#options.authAlgorithm
    if (wanted !== undefined && !algorithms.includes(wanted)) throw new Error('"algorithm" must be a valid string enum value')
    if (this.#isOwnKey(jwt, this.#given?.signatureKey, key)) {
      if (wanted !== undefined && (jwt !== this.#private || wanted !== this.#chosen.algorithm)) changes.algorithm = wanted
    } else {
      changes.key = key
      changes.algorithm = wanted ?? this.#fit(key!, createPrivateKey)
      if (isPem(key!) && (changes.algorithm as string).startsWith('HS')) throw new Error(`The key must be a secret when using ${changes.algorithm as string}, got PEM`)
    }
    if (keyid !== undefined) changes.kid = keyid
    if (header !== undefined) {
      if ('alg' in header) throw new Error('"header" may not have an "alg"; set the option authAlgorithm')
      changes.header = header
    }
    if (noTimestamp) changes.noTimestamp = true

    // Defaults of the application's @fastify/jwt would beat the claims: said again as options, these win.
    const defaults = jwt === this.#private ? undefined : jwt.options.sign
    const exp = claims.exp as number | undefined
    // fast-jwt takes an `exp` claim of 0 for none at all and refuses a negative one; counted from `iat`, both are written.
    if (exp !== undefined && (exp <= 0 || defaults?.expiresIn !== undefined)) changes.expiresIn = exp - issuedAt
    if (defaults !== undefined) {
      if (claims.nbf !== undefined && defaults.notBefore !== undefined) changes.notBefore = (claims.nbf as number) - issuedAt
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

/** The application's own @fastify/jwt, if it is to be used. */
function findApplicationJwt (fastify: FastifyInstance, options: ScPluginOptions): Jwt | undefined {
  let jwt = (fastify as unknown as { jwt?: Record<string, unknown> }).jwt
  if (options.jwtNamespace !== undefined) jwt = jwt?.[options.jwtNamespace] as typeof jwt
  // With namespaces only, `fastify.jwt` is no more than the object that holds them.
  return typeof jwt?.sign === 'function' && typeof jwt.verify === 'function' ? jwt as unknown as Jwt : undefined
}

/** Applications whose secret is a function, as for keys fetched from an identity provider. Asked once for each. */
const secretFunctions = new WeakMap<Jwt, boolean>()

function hasSecretFunction (jwt: Jwt): boolean {
  let has = secretFunctions.get(jwt)
  if (has === undefined) {
    try {
      // A text that is no token fails before any key is asked for: at once if the key is there, in a promise if it is to be fetched.
      const result = jwt.verify('.') as Promise<unknown>
      result?.catch?.(() => {})
      has = true
    } catch {
      has = false
    }
    secretFunctions.set(jwt, has)
  }
  return has
}

function requestOf (socket: unknown, verifyName: string): FastifyRequest | undefined {
  const request = (socket as { fastifyRequest?: FastifyRequest } | undefined)?.fastifyRequest
  return typeof (request as Record<string, unknown> | undefined)?.[verifyName] === 'function' ? request : undefined
}

function sameNames (a: readonly string[], b: readonly string[]): boolean {
  return a === b || (a.length === b.length && a.every((name, index) => name === b[index]))
}

function allowed (names: readonly string[]): string[] {
  const known = names.filter((name) => algorithms.includes(name))
  if (known.length === 0) throw jwtError('JsonWebTokenError', 'invalid algorithm')
  return known
}

/** The value of a callback that came at once, or a promise of it. Throws what came at once as an error. */
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

/** Gives the callback the result, at once if it is there, never from inside a `try`: what the callback throws is its owner's. */
function answer<T> (work: () => T | Promise<T>, callback: AuthCallback<T> | undefined): Promise<T> | void {
  let result: T | Promise<T>
  try {
    result = work()
  } catch (err) {
    if (typeof callback !== 'function') return Promise.reject(err)
    return callback(err as Error)
  }
  if (typeof callback !== 'function') return Promise.resolve(result)
  const pending = promiseOf<T>(result)
  if (pending === undefined) return callback(null, result as T)
  // Out of the promise: a callback that throws is to be an uncaught exception, as everywhere in Node.js, not a rejection.
  pending.then((value) => { process.nextTick(callback, null, value) }, (err) => { process.nextTick(callback, err) })
}

/**
 * Makes the default auth engine from the options: `authPrivateKey` with `authPublicKey`, else `authKey`, else the
 * application's own @fastify/jwt (the namespace `jwtNamespace` of it, if given), else a random key. Call `resolve()` on it
 * when the application is ready.
 *
 * Where needed @fastify/jwt is registered in a context of its own, so that it neither meets nor shadows one
 * that the application registers, before or after.
 *
 * @throws ScError for keys or algorithms that cannot work together
 */
export async function createJwtEngine (fastify: FastifyInstance, options: ScPluginOptions): Promise<JwtEngine> {
  checkAlgorithmOptions(options)
  const given = givenKeys(options)
  const hsOnly: ChosenAlgorithms = { algorithm: 'HS256', verifyAlgorithms: ['HS256'] }
  if (given === undefined && findApplicationJwt(fastify, options) !== undefined) {
    return new JwtEngine(fastify, options, { chosen: hsOnly })
  }

  const drawnKey = given === undefined ? randomBytes(32).toString('hex') : undefined
  let chosen = hsOnly
  if (given !== undefined) {
    chosen = chooseAlgorithms(options, given)
  } else if (options.authAlgorithm?.startsWith('HS') !== false) {
    // Otherwise the algorithm is meant for the application's @fastify/jwt; `resolve` says so if that never comes.
    const algorithm = options.authAlgorithm ?? 'HS256'
    chosen = { algorithm, verifyAlgorithms: options.authVerifyAlgorithms?.filter((name) => name.startsWith('HS')) ?? [algorithm] }
  }

  let jwt: Jwt | undefined
  await fastify.register(async function socketclusterAuth (instance) {
    await instance.register(fastifyJwt, {
      secret: given?.isPair === true ? { private: given.signatureKey, public: given.verificationKey } : given?.signatureKey ?? drawnKey!,
      // `user` would clash if the application has registered its own in a context above.
      decoratorName: 'scAuthToken',
      sign: { algorithm: chosen.algorithm as 'HS256' },
      verify: { algorithms: chosen.verifyAlgorithms as ['HS256'] }
    })
    jwt = instance.jwt as unknown as Jwt
  })
  return new JwtEngine(fastify, options, { given, drawnKey, chosen, jwt })
}
