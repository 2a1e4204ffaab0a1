import { randomBytes } from 'node:crypto'
import type { FastifyInstance } from 'fastify'
import type { AuthCallback, AuthEngine, AuthKey, ScAuthToken, SignTokenOptions, VerifyTokenOptions } from '../../types/auth.js'
import type { ScPluginOptions } from '../../types/options.js'
import { promiseOf } from '../promises.js'
import { findApplicationJwt, registerPrivateJwt } from './fastify-jwt.js'
import { type JwtKeys, KeySource } from './key-source.js'
import { type ChosenAlgorithms, checkAlgorithmOptions, chooseAlgorithms, givenKeys } from './keys.js'
import { Signer } from './signer.js'
import { Verifier } from './verifier.js'

/**
 * The default auth engine: JSON Web Tokens through @fastify/jwt, with the options, units, errors and texts of jsonwebtoken.
 *
 * It answers synchronously, before the call returns, also when `async` is set: HMAC takes microseconds, and Node.js has no
 * cheaper asynchronous way. Only an application's own @fastify/jwt can make it asynchronous, with an async `trusted` or
 * `secret` function.
 *
 * Each call uses the key passed to it. For the key the engine was created with, it uses a prepared signer or verifier. For
 * another key @fastify/jwt creates one in the call: a few microseconds for a secret, some hundred for a PEM key.
 */
export class JwtEngine implements AuthEngine {
  readonly #keys: KeySource
  readonly #signer: Signer
  readonly #verifier: Verifier

  /** Called by `createJwtEngine`. */
  constructor (keys: KeySource) {
    this.#keys = keys
    this.#signer = new Signer(keys)
    this.#verifier = new Verifier(keys)
  }

  /**
   * Decides which keys are used. Call it when all plugins are loaded (`onReady`): only then is it known whether the application
   * registered @fastify/jwt before or after this plugin. Later calls return the same keys.
   *
   * @throws ScError when `jwtNamespace` is not registered, when a random key would be shared, or if `authAlgorithm` does not fit
   */
  resolve (): JwtKeys {
    return this.#keys.resolve()
  }

  /** Verifies a token; see `AuthEngine`. Errors are named as in jsonwebtoken. Without a callback it returns a promise. */
  verifyToken (signedToken: string | null, key: AuthKey | null, options: VerifyTokenOptions, callback: AuthCallback<ScAuthToken>): void
  verifyToken (signedToken: string | null, key: AuthKey | null, options: VerifyTokenOptions): Promise<ScAuthToken>
  verifyToken (signedToken: string | null, key: AuthKey | null, options: VerifyTokenOptions, callback?: AuthCallback<ScAuthToken>): Promise<ScAuthToken> | void {
    return answer(() => this.#verifier.verify(signedToken, key, options), callback)
  }

  /** Signs a token, like `verifyToken`. With `mutatePayload` the added claims are also set on the passed token. */
  signToken (token: ScAuthToken, key: AuthKey | null, options: SignTokenOptions, callback: AuthCallback<string>): void
  signToken (token: ScAuthToken, key: AuthKey | null, options: SignTokenOptions): Promise<string>
  signToken (token: ScAuthToken, key: AuthKey | null, options: SignTokenOptions, callback?: AuthCallback<string>): Promise<string> | void {
    return answer(() => this.#signer.sign(token, key, options), callback)
  }
}

/**
 * Passes the result to the callback, synchronously when it is available. The callback is never called inside a `try`: an error
 * thrown by the callback belongs to the caller.
 */
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
  // Called outside the promise, so that an error thrown by the callback is an uncaught exception and not an unhandled rejection.
  pending.then((value) => { process.nextTick(callback, null, value) }, (err) => { process.nextTick(callback, err) })
}

/**
 * Creates the default auth engine. The keys are, in this order: `authPrivateKey` with `authPublicKey`, `authKey`, the
 * application's own @fastify/jwt (its namespace `jwtNamespace`, if set), a random key. Call `resolve()` when the application
 * is ready.
 *
 * @throws ScError for keys or algorithms that do not fit together
 */
export async function createJwtEngine (fastify: FastifyInstance, options: ScPluginOptions): Promise<JwtEngine> {
  checkAlgorithmOptions(options)
  const given = givenKeys(options)
  const hsOnly: ChosenAlgorithms = { algorithm: 'HS256', verifyAlgorithms: ['HS256'] }
  if (given === undefined && findApplicationJwt(fastify, options) !== undefined) {
    return new JwtEngine(new KeySource(fastify, options, { chosen: hsOnly }))
  }

  const generatedKey = given === undefined ? randomBytes(32).toString('hex') : undefined
  let chosen = hsOnly
  if (given !== undefined) {
    chosen = chooseAlgorithms(options, given)
  } else if (options.authAlgorithm?.startsWith('HS') !== false) {
    // Any other algorithm is meant for the application's @fastify/jwt; `resolve` throws when that is never registered.
    const algorithm = options.authAlgorithm ?? 'HS256'
    chosen = { algorithm, verifyAlgorithms: options.authVerifyAlgorithms?.filter((name) => name.startsWith('HS')) ?? [algorithm] }
  }

  const jwt = await registerPrivateJwt(fastify, given ?? generatedKey!, chosen)
  return new JwtEngine(new KeySource(fastify, options, { given, generatedKey, chosen, jwt }))
}
