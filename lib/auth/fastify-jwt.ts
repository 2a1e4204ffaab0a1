import fastifyJwt from '@fastify/jwt'
import type { FastifyInstance } from 'fastify'
import type { ScPluginOptions } from '../../types/options.js'
import { read } from '../untrusted.js'
import type { ChosenAlgorithms, GivenKeys } from './keys.js'

/** What is used of a `fastify.jwt`. Of its own types the application may have widened any. */
export interface Jwt {
  sign (payload: object, options?: Record<string, unknown>): unknown
  verify (token: string, options?: Record<string, unknown>): unknown
  decode (token: string): unknown
  readonly options: { sign?: Record<string, unknown>, verify?: Record<string, unknown>, decoratorName?: string }
}

/** The application's own @fastify/jwt, if it is to be used. */
export function findApplicationJwt (fastify: FastifyInstance, { jwtNamespace }: Pick<ScPluginOptions, 'jwtNamespace'>): Jwt | undefined {
  const registered = read(fastify, 'jwt')
  const jwt = jwtNamespace === undefined ? registered : read(registered, jwtNamespace)
  // With namespaces only, `fastify.jwt` is no more than the object that holds them.
  return isJwt(jwt) ? jwt : undefined
}

/** The property of a request in which a `fastify.jwt` leaves the verified claims. */
export function decoratorOf (jwt: unknown): string {
  const name = read(read(jwt, 'options'), 'decoratorName')
  return typeof name === 'string' ? name : 'user'
}

function isJwt (value: unknown): value is Jwt {
  return typeof read(value, 'sign') === 'function' && typeof read(value, 'verify') === 'function'
}

/** @fastify/jwt in a context of its own, so that it neither meets nor shadows one that the application registers, before or after. */
export async function registerPrivateJwt (fastify: FastifyInstance, key: GivenKeys | string, chosen: ChosenAlgorithms): Promise<Jwt> {
  let jwt: unknown
  await fastify.register(async function socketclusterAuth (instance) {
    await instance.register(fastifyJwt, {
      secret: typeof key === 'string' ? key : key.isPair ? { private: key.signatureKey, public: key.verificationKey } : key.signatureKey,
      // `user` would clash if the application has registered its own in a context above.
      decoratorName: 'scAuthToken',
      sign: { algorithm: chosen.algorithm as 'HS256' },
      verify: { algorithms: chosen.verifyAlgorithms as ['HS256'] }
    })
    jwt = instance.jwt
  })
  return jwt as Jwt
}

/** Applications whose secret is a function, as for keys fetched from an identity provider. Asked once for each. */
const secretFunctions = new WeakMap<Jwt, boolean>()

export function hasSecretFunction (jwt: Jwt): boolean {
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
