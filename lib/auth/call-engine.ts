import { typeName } from '../errors.js'
import { promiseOf } from '../promises.js'
import { isInstance, readable } from '../untrusted.js'
import type { AuthCallback, AuthEngine, AuthKey, ScAuthToken, SignTokenOptions, VerifyTokenOptions } from '../../types/auth.js'
import { isPlainObject } from './claims.js'

function toError (err: unknown): Error {
  const read = readable(err)
  return isInstance(read, Error) ? read : new Error(typeof read === 'string' ? read : 'The auth engine failed', { cause: read })
}

/**
 * Calls a method of an engine, which may use its callback or return a promise. The first answer counts, and later ones,
 * of either kind, are dropped: an engine that answers twice, or rejects after it called back, harms nobody.
 *
 * The result is the value itself when the engine answered at once, else a promise. A failure at once is thrown.
 *
 * @param answersByPromise whether the method takes no callback, so that a promise of `undefined` is its answer
 */
function callEngine<T> (call: (callback: AuthCallback<T>) => unknown, answersByPromise: boolean, check: (value: unknown) => T): T | Promise<T> {
  let settled: { value: T } | { err: Error } | undefined
  let settleLater: ((answer: NonNullable<typeof settled>) => void) | undefined

  const settle = (err: unknown, value?: unknown): void => {
    if (settled !== undefined) return
    if (err != null) {
      settled = { err: toError(err) }
    } else {
      try {
        settled = { value: check(value) }
      } catch (invalid) {
        settled = { err: invalid as Error }
      }
    }
    settleLater?.(settled)
  }

  try {
    const returned = call(settle)
    const running = promiseOf(returned)
    if (running !== undefined) {
      running.then((value) => {
        // An async function that uses its callback resolves with nothing, maybe before it calls back.
        if (value !== undefined || answersByPromise) settle(null, value)
      }, (err) => settle(err ?? new Error('The auth engine failed')))
    } else if (returned !== undefined && answersByPromise) {
      settle(null, returned)
    }
  } catch (err) {
    settle(err ?? new Error('The auth engine failed'))
  }

  // Read through a function: TypeScript does not see that the callback assigned it.
  const answer = ((): typeof settled => settled)()
  if (answer !== undefined) {
    if ('err' in answer) throw answer.err
    return answer.value
  }
  return new Promise<T>((resolve, reject) => {
    settleLater = (later) => 'err' in later ? reject(later.err) : resolve(later.value)
  })
}

function checkClaims (value: unknown): ScAuthToken {
  if (!isPlainObject(value)) throw new Error(`The auth engine's verifyToken must answer with an object of claims, got ${typeName(value)}`)
  return value
}

function checkSigned (value: unknown): string {
  if (typeof value !== 'string' || value === '') {
    throw new Error(`The auth engine's signToken must answer with a non-empty string, got ${value === '' ? 'an empty one' : typeName(value)}`)
  }
  return value
}

/** Parameters a method takes without its callback. */
const WITHOUT_CALLBACK = 3
const takesCallback = (method: (...args: never[]) => unknown): boolean => method.length === 0 || method.length > WITHOUT_CALLBACK

/**
 * Has an engine verify a token. Returns the claims, or a promise of them if the engine took its time.
 * @throws (or rejects with) the engine's error; `toAuthError` makes SocketCluster's of it
 */
export function verifyToken (engine: AuthEngine, signedToken: string | null, key: AuthKey | null, options: VerifyTokenOptions): ScAuthToken | Promise<ScAuthToken> {
  return callEngine((callback) => engine.verifyToken(signedToken, key, options, callback), !takesCallback(engine.verifyToken), checkClaims)
}

/**
 * Has an engine sign a token. Returns the signed token, or a promise of it if the engine took its time.
 * @throws (or rejects with) the engine's error
 */
export function signToken (engine: AuthEngine, token: ScAuthToken, key: AuthKey | null, options: SignTokenOptions): string | Promise<string> {
  return callEngine((callback) => engine.signToken(token, key, options, callback), !takesCallback(engine.signToken), checkSigned)
}
