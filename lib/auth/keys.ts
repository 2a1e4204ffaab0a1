import { createPrivateKey, createPublicKey, type KeyObject } from 'node:crypto'
import { scError, typeName } from '../errors.js'
import type { AuthKey } from '../../types/auth.js'
import type { ScPluginOptions } from '../../types/options.js'

/** The algorithms that may sign or verify tokens. `none` is not allowed. */
export const algorithms: readonly string[] = [
  'HS256', 'HS384', 'HS512', 'RS256', 'RS384', 'RS512', 'PS256', 'PS384', 'PS512', 'ES256', 'ES384', 'ES512', 'EdDSA'
]

/** Maximum length of a token. Longer tokens are refused before they are parsed, and are never signed. */
export const MAX_TOKEN_BYTES = 8192

/** Minimum length of a secret. A shorter one can be guessed offline from one token; RFC 7518 requires the size of the hash. */
export const MIN_SECRET_BYTES = 32
/** Minimum size of an RSA key, required by jsonwebtoken and RFC 7518. */
const MIN_RSA_BITS = 2048

const ecAlgorithms: Record<string, string> = { prime256v1: 'ES256', secp384r1: 'ES384', secp521r1: 'ES512' }

/** The checked keys from the options. */
export interface GivenKeys {
  signatureKey: AuthKey
  verificationKey: AuthKey
  /** True for an asymmetric key pair. */
  isPair: boolean
}

function checkKey (option: string, key: unknown): asserts key is AuthKey {
  if (typeof key !== 'string' && !Buffer.isBuffer(key)) {
    throw scError('SC_ERR_OPTIONS', [`${option}: expected a string or a Buffer, got ${typeName(key)}`])
  }
  if (key.length === 0) throw scError('SC_ERR_OPTIONS', [`${option}: expected a key, got an empty one`])
}

/** Whether a key is PEM text. */
export const isPem = (key: AuthKey): boolean => key.includes('-----BEGIN ')

/**
 * Reads and checks the keys in the options. Returns `undefined` when there are none.
 * @throws ScError for a half key pair or an invalid key
 */
export function givenKeys (options: ScPluginOptions): GivenKeys | undefined {
  const { authKey, authPrivateKey, authPublicKey } = options
  if (authPrivateKey !== undefined || authPublicKey !== undefined) {
    if (authPrivateKey === undefined) throw scError('SC_ERR_KEY_PAIR', ['authPrivateKey', 'authPublicKey'])
    if (authPublicKey === undefined) throw scError('SC_ERR_KEY_PAIR', ['authPublicKey', 'authPrivateKey'])
    checkKey('authPrivateKey', authPrivateKey)
    checkKey('authPublicKey', authPublicKey)
    return { signatureKey: authPrivateKey, verificationKey: authPublicKey, isPair: true }
  }
  if (authKey === undefined) return undefined
  checkKey('authKey', authKey)
  // A public key used as an HMAC secret would let anyone who knows the public key sign tokens.
  if (isPem(authKey)) throw scError('SC_ERR_OPTIONS', ['authKey: expected a secret, got PEM; use authPrivateKey and authPublicKey'])
  return { signatureKey: authKey, verificationKey: authKey, isPair: false }
}

function readKey (option: string, read: (key: AuthKey) => KeyObject, key: AuthKey): KeyObject {
  try {
    return read(key)
  } catch (err) {
    throw scError('SC_ERR_OPTIONS', [`${option}: expected a key as PEM; ${(err as Error).message}`])
  }
}

/** The default algorithm for the type of a key; `undefined` when the type is not supported. */
export function algorithmOf (key: KeyObject): string | undefined {
  switch (key.asymmetricKeyType) {
    case 'rsa': return 'RS256'
    case 'ec': return ecAlgorithms[key.asymmetricKeyDetails?.namedCurve ?? '']
    case 'ed25519':
    case 'ed448': return 'EdDSA'
  }
}

const family = (algorithm: string): string => algorithm.startsWith('PS') ? 'RS' : algorithm.slice(0, 2)

/** The algorithms that sign and verify tokens. */
export interface ChosenAlgorithms {
  /** The algorithm that signs. */
  algorithm: string
  /** The algorithms accepted on verification. */
  verifyAlgorithms: string[]
}

/**
 * Returns the algorithms of the options `authAlgorithm` and `authVerifyAlgorithms`, or those that fit the keys.
 * @throws ScError when an algorithm does not fit the keys
 */
export function chooseAlgorithms (options: ScPluginOptions, keys: GivenKeys): ChosenAlgorithms {
  checkAlgorithmOptions(options)
  let fitting: string | undefined = 'HS256'
  if (keys.isPair) {
    const privateKey = readKey('authPrivateKey', createPrivateKey, keys.signatureKey)
    const publicKey = readKey('authPublicKey', createPublicKey, keys.verificationKey)
    fitting = algorithmOf(privateKey)
    const bits = privateKey.asymmetricKeyDetails?.modulusLength
    if (fitting === undefined) {
      throw scError('SC_ERR_OPTIONS', [`authPrivateKey: expected an RSA, EC (P-256, P-384, P-521) or Ed25519 key, got ${privateKey.asymmetricKeyType}`])
    }
    if (bits !== undefined && bits < MIN_RSA_BITS) {
      throw scError('SC_ERR_OPTIONS', [`authPrivateKey: expected an RSA key of at least ${MIN_RSA_BITS} bits, got ${bits}`])
    }
    if (algorithmOf(publicKey) !== fitting) {
      throw scError('SC_ERR_OPTIONS', [`authPublicKey: expected a key for ${fitting} like authPrivateKey, got one for ${algorithmOf(publicKey) ?? publicKey.asymmetricKeyType}`])
    }
  }
  const algorithm = options.authAlgorithm ?? fitting
  const verifyAlgorithms = options.authVerifyAlgorithms ?? [algorithm]
  for (const [option, names] of [['authAlgorithm', [algorithm]], ['authVerifyAlgorithms', verifyAlgorithms]] as const) {
    // An EC or Ed key fits one algorithm, given by its curve. An RSA key or a secret fits all algorithms of its family.
    const misfit = names.find((name) => fitting.startsWith('E') ? name !== fitting : family(name) !== family(fitting))
    if (misfit !== undefined) {
      throw scError('SC_ERR_OPTIONS', [keys.isPair
        ? `${option}: expected what fits the key pair (such as ${fitting}), got ${misfit}`
        : `${option}: expected HS256, HS384 or HS512 for a secret, got ${misfit}; others need authPrivateKey and authPublicKey`])
    }
  }
  return { algorithm, verifyAlgorithms }
}

/**
 * Checks that the options `authAlgorithm` and `authVerifyAlgorithms` name known algorithms.
 * @throws ScError
 */
export function checkAlgorithmOptions (options: ScPluginOptions): void {
  const { authAlgorithm, authVerifyAlgorithms } = options
  const expected = `expected one of ${algorithms.join(', ')}`
  if (authAlgorithm !== undefined && !algorithms.includes(authAlgorithm)) {
    throw scError('SC_ERR_OPTIONS', [`authAlgorithm: ${expected}, got ${String(authAlgorithm)}`])
  }
  if (authVerifyAlgorithms === undefined) return
  if (!Array.isArray(authVerifyAlgorithms) || authVerifyAlgorithms.length === 0) {
    throw scError('SC_ERR_OPTIONS', [`authVerifyAlgorithms: expected a list of algorithms, got ${Array.isArray(authVerifyAlgorithms) ? 'an empty one' : typeName(authVerifyAlgorithms)}`])
  }
  const unknown = authVerifyAlgorithms.find((name) => !algorithms.includes(name))
  if (unknown !== undefined) throw scError('SC_ERR_OPTIONS', [`authVerifyAlgorithms: ${expected}, got ${String(unknown)}`])
}
