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
 * Calls a method of an auth engine, which may call back or return a promise. Only the first answer counts. Later answers, by
 * callback or by promise, are ignored, so an engine that answers twice or rejects after calling back does no harm.
 *
 * Returns the value itself when the engine answers synchronously, otherwise a promise. A synchronous failure is thrown.
 *
 * @param answersByPromise true when the method takes no callback, so that a promise of `undefined` is its answer
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
        // An async function that uses its callback resolves with undefined, maybe before it calls back.
        if (value !== undefined || answersByPromise) settle(null, value)
      }, (err) => settle(err ?? new Error('The auth engine failed')))
    } else if (returned !== undefined && answersByPromise) {
      settle(null, returned)
    }
  } catch (err) {
    settle(err ?? new Error('The auth engine failed'))
  }

  // Read through a function: TypeScript does not see the assignment in the callback.
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

/** Number of parameters of an engine's method without its callback. */
const WITHOUT_CALLBACK = 3
const takesCallback = (method: (...args: never[]) => unknown): boolean => method.length === 0 || method.length > WITHOUT_CALLBACK

/**
 * Verifies a token with an auth engine. Returns the claims, or a promise of them when the engine is asynchronous.
 * @throws (or rejects with) the engine's error; `toAuthError` converts it to SocketCluster's
 */
export function verifyToken (engine: AuthEngine, signedToken: string | null, key: AuthKey | null, options: VerifyTokenOptions): ScAuthToken | Promise<ScAuthToken> {
  return callEngine((callback) => engine.verifyToken(signedToken, key, options, callback), !takesCallback(engine.verifyToken), checkClaims)
}

/**
 * Signs a token with an auth engine. Returns the signed token, or a promise of it when the engine is asynchronous.
 * @throws (or rejects with) the engine's error
 */
export function signToken (engine: AuthEngine, token: ScAuthToken, key: AuthKey | null, options: SignTokenOptions): string | Promise<string> {
  return callEngine((callback) => engine.signToken(token, key, options, callback), !takesCallback(engine.signToken), checkSigned)
}
