// Key pairs in PEM format. They are generated once, because an RSA key takes up to a second.
import { generateKeyPairSync, type KeyPairKeyObjectResult } from 'node:crypto'

export interface PemPair {
  readonly publicKey: string
  readonly privateKey: string
}

export const pem = ({ publicKey, privateKey }: KeyPairKeyObjectResult): PemPair => ({
  publicKey: publicKey.export({ type: 'spki', format: 'pem' }) as string,
  privateKey: privateKey.export({ type: 'pkcs8', format: 'pem' }) as string
})

export const rsa = pem(generateKeyPairSync('rsa', { modulusLength: 2048 }))
export const rsaSmall = pem(generateKeyPairSync('rsa', { modulusLength: 1024 }))
export const ec = (namedCurve: string): PemPair => pem(generateKeyPairSync('ec', { namedCurve }))
export const ec256 = ec('P-256')

const ec384 = ec('P-384')
const ec512 = ec('P-521')
export const ed25519 = pem(generateKeyPairSync('ed25519'))

/** A key pair for each asymmetric algorithm. */
export const pairs: Readonly<Record<string, PemPair>> = Object.fromEntries([
  ...['RS256', 'RS384', 'RS512', 'PS256', 'PS384', 'PS512'].map((algorithm) => [algorithm, rsa]), ['ES256', ec256], ['ES384', ec384], ['ES512', ec512]
])
