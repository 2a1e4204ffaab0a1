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
  readonly #keys: KeySource
  readonly #signer: Signer
  readonly #verifier: Verifier

  /** Made by `createJwtEngine`. */
  constructor (keys: KeySource) {
    this.#keys = keys
    this.#signer = new Signer(keys)
    this.#verifier = new Verifier(keys)
  }

  /**
   * Decides where the keys come from. To be called when every plugin is loaded (`onReady`): only then is it known
   * whether the application registered @fastify/jwt, in whatever order. Further calls return the same.
   *
   * @throws ScError when `jwtNamespace` is not there, when a random key would be shared, or when `authAlgorithm` does not fit
   */
  resolve (): JwtKeys {
    return this.#keys.resolve()
  }

  /** The names and results are jsonwebtoken's: see `AuthEngine`. Without a callback a promise is returned. */
  verifyToken (signedToken: string | null, key: AuthKey | null, options: VerifyTokenOptions, callback: AuthCallback<ScAuthToken>): void
  verifyToken (signedToken: string | null, key: AuthKey | null, options: VerifyTokenOptions): Promise<ScAuthToken>
  verifyToken (signedToken: string | null, key: AuthKey | null, options: VerifyTokenOptions, callback?: AuthCallback<ScAuthToken>): Promise<ScAuthToken> | void {
    return answer(() => this.#verifier.verify(signedToken, key, options), callback)
  }

  /** As `verifyToken`. With `mutatePayload` the token passed gets the claims that were added. */
  signToken (token: ScAuthToken, key: AuthKey | null, options: SignTokenOptions, callback: AuthCallback<string>): void
  signToken (token: ScAuthToken, key: AuthKey | null, options: SignTokenOptions): Promise<string>
  signToken (token: ScAuthToken, key: AuthKey | null, options: SignTokenOptions, callback?: AuthCallback<string>): Promise<string> | void {
    return answer(() => this.#signer.sign(token, key, options), callback)
  }
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
 * @throws ScError for keys or algorithms that cannot work together
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
    // Otherwise the algorithm is meant for the application's @fastify/jwt; `resolve` says so if that never comes.
    const algorithm = options.authAlgorithm ?? 'HS256'
    chosen = { algorithm, verifyAlgorithms: options.authVerifyAlgorithms?.filter((name) => name.startsWith('HS')) ?? [algorithm] }
  }

  const jwt = await registerPrivateJwt(fastify, given ?? generatedKey!, chosen)
  return new JwtEngine(new KeySource(fastify, options, { given, generatedKey, chosen, jwt }))
}
