import type { createPrivateKey, createPublicKey } from 'node:crypto'
import type { FastifyInstance } from 'fastify'
import type { AuthKey } from '../../types/auth.js'
import type { ScPluginOptions } from '../../types/options.js'
import { scError, typeName } from '../errors.js'
import { writeLine } from '../log.js'
import { read } from '../untrusted.js'
import { type Jwt, decoratorOf, findApplicationJwt } from './fastify-jwt.js'
import { type ChosenAlgorithms, type GivenKeys, MIN_SECRET_BYTES, algorithmOf, chooseAlgorithms, isPem } from './keys.js'

/** Where tokens are signed and verified, as decided when the application is ready. */
export interface JwtKeys {
  /** `application`: its @fastify/jwt; `options`: `authKey` or the key pair; `random`: a key generated at the start. */
  readonly source: 'application' | 'options' | 'random'
  /** `null` when the application's @fastify/jwt has the key: it does not show it. */
  readonly signatureKey: AuthKey | null
  readonly verificationKey: AuthKey | null
  /** The algorithm that signs; `undefined` when the application's @fastify/jwt decides. */
  readonly algorithm: string | undefined
  /** The property of a request in which the application's @fastify/jwt leaves the verified claims. */
  readonly userProperty: string
}

/** What the engine was made with. */
export interface KeyMaterial {
  readonly given?: GivenKeys | undefined
  readonly generatedKey?: string | undefined
  readonly chosen: ChosenAlgorithms
  /** The @fastify/jwt that is the plugin's own. */
  readonly jwt?: Jwt | undefined
}

/** Which @fastify/jwt signs and verifies, and with which keys: the options', the application's, or one that was generated. */
export class KeySource {
  readonly chosen: ChosenAlgorithms
  // What has or leads to keys is no property of the object itself.
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

  /** Decides where the keys come from, once. */
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
    // Says what does not fit if authAlgorithm is one that needs a key pair.
    chooseAlgorithms(this.options, { signatureKey: this.#generatedKey!, verificationKey: this.#generatedKey!, isPair: false })
    // An engine of the application's own may have no use for the key.
    if (this.options.authEngine === undefined) {
      if (this.options.broker?.shared === true) throw scError('SC_ERR_AUTH_KEY_RANDOM')
      writeLine(log, 'warn', 'No authKey, key pair or @fastify/jwt: tokens are signed with a random key and end with this process; set the option authKey')
    }
    return { source: 'random', signatureKey: this.#generatedKey!, verificationKey: this.#generatedKey!, algorithm: this.chosen.algorithm, userProperty }
  }

  get jwt (): Jwt {
    if (this.#given !== undefined) return this.#private!
    // Before `resolve` the application may still register its own.
    return this.#application ?? findApplicationJwt(this.#fastify, this.options) ?? this.#private!
  }

  /** How requests verify a token by the application's @fastify/jwt. */
  get requestVerifyName (): string {
    return this.options.jwtNamespace === undefined ? 'jwtVerify' : `${this.options.jwtNamespace}JwtVerify`
  }

  /** Whether a `fastify.jwt` is the plugin's own. */
  isPrivate (jwt: Jwt): boolean {
    return jwt === this.#private
  }

  /** Whether a key is the one that `jwt` was made with. Throws for what is no key at all: it must never stand for the default one. */
  isOwnKey (jwt: Jwt, own: AuthKey | undefined, key: AuthKey | null): boolean {
    // The application's own key is not known: it is `null`.
    if (jwt !== this.#private && key === null) return true
    if ((typeof key !== 'string' && !Buffer.isBuffer(key)) || key.length === 0) {
      throw new Error(`Expected the key to be a non-empty string or Buffer, got ${typeof key === 'string' || Buffer.isBuffer(key) ? 'an empty one' : typeName(key)}`)
    }
    return key === (own ?? this.#generatedKey)
  }

  /** The algorithm for a key that came while running, if none is configured. The last one is kept: reading PEM is slow. */
  fit (key: AuthKey, read: typeof createPrivateKey | typeof createPublicKey): string {
    if (this.#fitting?.key === key) return this.#fitting.algorithm
    const algorithm = isPem(key) ? algorithmOf(read(key)) : 'HS256'
    if (algorithm === undefined) throw new Error('Expected the key to be a secret, or PEM of an RSA, EC or Ed25519 key')
    this.#fitting = { key, algorithm }
    return algorithm
  }
}
