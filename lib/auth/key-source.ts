import type { createPrivateKey, createPublicKey } from 'node:crypto'
import type { FastifyInstance } from 'fastify'
import type { AuthKey } from '../../types/auth.js'
import type { ScPluginOptions } from '../../types/options.js'
import { scError, typeName } from '../errors.js'
import { writeLine } from '../log.js'
import { read } from '../untrusted.js'
import { type Jwt, decoratorOf, findApplicationJwt } from './fastify-jwt.js'
import { type ChosenAlgorithms, type GivenKeys, MIN_SECRET_BYTES, algorithmOf, chooseAlgorithms, isPem } from './keys.js'

/** The keys that sign and verify tokens, decided when the application is ready. */
export interface JwtKeys {
  /** `application`: the application's @fastify/jwt; `options`: `authKey` or the key pair; `random`: generated at startup. */
  readonly source: 'application' | 'options' | 'random'
  /** `null` when the application's @fastify/jwt has the key, which it does not expose. */
  readonly signatureKey: AuthKey | null
  readonly verificationKey: AuthKey | null
  /** The signing algorithm; `undefined` when the application's @fastify/jwt decides. */
  readonly algorithm: string | undefined
  /** The property of a request in which the application's @fastify/jwt stores the verified claims. */
  readonly userProperty: string
}

/** The keys and algorithms that the engine was created with. */
export interface KeyMaterial {
  readonly given?: GivenKeys | undefined
  readonly generatedKey?: string | undefined
  readonly chosen: ChosenAlgorithms
  /** The plugin's own @fastify/jwt. */
  readonly jwt?: Jwt | undefined
}

/** Decides which @fastify/jwt signs and verifies, and with which keys: from the options, the application, or generated. */
export class KeySource {
  readonly chosen: ChosenAlgorithms
  // Private fields: code that lists the object's properties finds no keys.
  readonly #options: ScPluginOptions
  readonly #fastify: FastifyInstance
  readonly #given: GivenKeys | undefined
  readonly #generatedKey: string | undefined
  readonly #private: Jwt | undefined
  #application: Jwt | undefined
  #keys: JwtKeys | undefined
  #fitting: { key: AuthKey, algorithm: string } | undefined

  constructor (fastify: FastifyInstance, options: ScPluginOptions, { given, generatedKey, chosen, jwt }: KeyMaterial) {
    this.#fastify = fastify
    this.#options = options
    this.chosen = chosen
    this.#given = given
    this.#generatedKey = generatedKey
    this.#private = jwt
  }

  get options (): ScPluginOptions { return this.#options }
  get given (): GivenKeys | undefined { return this.#given }

  /** Decides which keys are used. Later calls return the same keys. */
  resolve (): JwtKeys {
    this.#keys ??= this.#decide()
    return this.#keys
  }

  #decide (): JwtKeys {
    const { log } = this.#fastify
    const application = findApplicationJwt(this.#fastify, this.options)
    const userProperty = decoratorOf(application ?? read(this.#fastify, 'jwt'))
    if (this.#given !== undefined) {
      if (!this.#given.isPair) {
        const bytes = Buffer.byteLength(this.#given.signatureKey)
        if (bytes < MIN_SECRET_BYTES) writeLine(log, 'warn', `authKey is shorter than ${MIN_SECRET_BYTES} bytes: it can be guessed from a token`, { bytes })
      }
      const { signatureKey, verificationKey } = this.#given
      return { source: 'options', signatureKey, verificationKey, algorithm: this.chosen.algorithm, userProperty }
    }
    if (application !== undefined) {
      this.#application = application
      if (!this.#fastify.hasRequestDecorator(this.requestVerifyName)) {
        writeLine(log, 'warn', `request.${this.requestVerifyName} is missing (was @fastify/jwt given the option jwtVerify?): its \`trusted\` and \`secret\` functions are not used for sockets`)
      }
      return { source: 'application', signatureKey: null, verificationKey: null, algorithm: this.options.authAlgorithm, userProperty }
    }
    if (this.options.jwtNamespace !== undefined) {
      throw scError('SC_ERR_OPTIONS', [`jwtNamespace: expected a namespace of @fastify/jwt, got ${JSON.stringify(this.options.jwtNamespace)}, which the application has not registered`])
    }
    // Throws when authAlgorithm needs a key pair.
    chooseAlgorithms(this.options, { signatureKey: this.#generatedKey!, verificationKey: this.#generatedKey!, isPair: false })
    // An auth engine of the application may not use the key.
    if (this.options.authEngine === undefined) {
      if (this.options.broker?.shared === true) throw scError('SC_ERR_AUTH_KEY_RANDOM')
      writeLine(log, 'warn', 'No authKey, key pair or @fastify/jwt: tokens are signed with a random key and end with this process; set the option authKey')
    }
    return { source: 'random', signatureKey: this.#generatedKey!, verificationKey: this.#generatedKey!, algorithm: this.chosen.algorithm, userProperty }
  }

  get jwt (): Jwt {
    if (this.#given !== undefined) return this.#private!
    // Until `resolve` is called, the application may still register its own.
    return this.#application ?? findApplicationJwt(this.#fastify, this.options) ?? this.#private!
  }

  /** The name of the request method with which the application's @fastify/jwt verifies a token. */
  get requestVerifyName (): string {
    return this.options.jwtNamespace === undefined ? 'jwtVerify' : `${this.options.jwtNamespace}JwtVerify`
  }

  /** Whether this is the plugin's own @fastify/jwt. */
  isPrivate (jwt: Jwt): boolean {
    return jwt === this.#private
  }

  /**
   * Whether a key is the one that `jwt` was created with.
   * @throws Error for a value that is not a key: it must never select the default key
   */
  isOwnKey (jwt: Jwt, own: AuthKey | undefined, key: AuthKey | null): boolean {
    // The application's own key is unknown and represented by `null`.
    if (jwt !== this.#private && key === null) return true
    if ((typeof key !== 'string' && !Buffer.isBuffer(key)) || key.length === 0) {
      throw new Error(`Expected the key to be a non-empty string or Buffer, got ${typeof key === 'string' || Buffer.isBuffer(key) ? 'an empty one' : typeName(key)}`)
    }
    return key === (own ?? this.#generatedKey)
  }

  /** The algorithm for a key that was set at runtime, used when none is configured. Caches the last key: parsing PEM is slow. */
  fit (key: AuthKey, read: typeof createPrivateKey | typeof createPublicKey): string {
    if (this.#fitting?.key === key) return this.#fitting.algorithm
    const algorithm = isPem(key) ? algorithmOf(read(key)) : 'HS256'
    if (algorithm === undefined) throw new Error('Expected the key to be a secret, or PEM of an RSA, EC or Ed25519 key')
    this.#fitting = { key, algorithm }
    return algorithm
  }
}
