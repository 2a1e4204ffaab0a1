import fastifyJwt from '@fastify/jwt'
import type { FastifyInstance } from 'fastify'
import type { ScPluginOptions } from '../../types/options.js'
import { read } from '../untrusted.js'
import type { ChosenAlgorithms, GivenKeys } from './keys.js'

/** The part of `fastify.jwt` that is used. Declared here because an application can widen the types of @fastify/jwt. */
export interface Jwt {
  sign (payload: object, options?: Record<string, unknown>): unknown
  verify (token: string, options?: Record<string, unknown>): unknown
  decode (token: string): unknown
  readonly options: { sign?: Record<string, unknown>, verify?: Record<string, unknown>, decoratorName?: string }
}

/** Returns the application's own @fastify/jwt, or its namespace `jwtNamespace`, if it is registered. */
export function findApplicationJwt (fastify: FastifyInstance, { jwtNamespace }: Pick<ScPluginOptions, 'jwtNamespace'>): Jwt | undefined {
  const registered = read(fastify, 'jwt')
  const jwt = jwtNamespace === undefined ? registered : read(registered, jwtNamespace)
  // When only namespaces are registered, `fastify.jwt` is just the object that holds them.
  return isJwt(jwt) ? jwt : undefined
}

/** The property of a request in which @fastify/jwt stores the verified claims. */
export function decoratorOf (jwt: unknown): string {
  const name = read(read(jwt, 'options'), 'decoratorName')
  return typeof name === 'string' ? name : 'user'
}

function isJwt (value: unknown): value is Jwt {
  return typeof read(value, 'sign') === 'function' && typeof read(value, 'verify') === 'function'
}

/** Registers @fastify/jwt in a separate context, so that it never conflicts with one that the application registers. */
export async function registerPrivateJwt (fastify: FastifyInstance, key: GivenKeys | string, chosen: ChosenAlgorithms): Promise<Jwt> {
  let jwt: unknown
  await fastify.register(async function socketclusterAuth (instance) {
    await instance.register(fastifyJwt, {
      secret: typeof key === 'string' ? key : key.isPair ? { private: key.signatureKey, public: key.verificationKey } : key.signatureKey,
      // `user` would clash with a @fastify/jwt that the application registered in an outer context.
      decoratorName: 'scAuthToken',
      sign: { algorithm: chosen.algorithm as 'HS256' },
      verify: { algorithms: chosen.verifyAlgorithms as ['HS256'] }
    })
    jwt = instance.jwt
  })
  return jwt as Jwt
}

/** The results of `hasSecretFunction`. */
const secretFunctions = new WeakMap<Jwt, boolean>()

/** Whether `secret` of a @fastify/jwt is a function, such as one that fetches keys from an identity provider. Checked once. */
export function hasSecretFunction (jwt: Jwt): boolean {
  let has = secretFunctions.get(jwt)
  if (has === undefined) {
    try {
      // An invalid token fails before the key is used: synchronously with a fixed secret, in a promise with a secret function.
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
