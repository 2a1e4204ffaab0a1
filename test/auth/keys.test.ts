// Keys of every kind: which are taken, for which algorithm, and what is said of the others.
import { generateKeyPairSync } from 'node:crypto'
import fastifyJwt from '@fastify/jwt'
import jsonwebtoken from 'jsonwebtoken'
import t from 'tap'
import { MAX_TOKEN_BYTES } from '../../lib/auth/keys.js'
import type { ScPluginOptions } from '../../types/options.js'
import { SECRET, outcome, ready, sign, verify } from '../helpers/jwt-engine.js'
import { ec, ec256, ed25519, pem, rsa } from '../helpers/keys.js'

const pairOptions = ({ privateKey, publicKey }: { privateKey: string, publicKey: string }): ScPluginOptions => ({ authPrivateKey: privateKey, authPublicKey: publicKey })

t.test('pairs of every kind', async (t) => {
  const ed448 = pem(generateKeyPairSync('ed448'))
  for (const [pair, algorithm] of [[rsa, 'RS256'], [ec256, 'ES256'], [ed25519, 'EdDSA'], [ed448, 'EdDSA']] as const) {
    const run = await ready(t, pairOptions(pair))
    t.equal(run.keys.algorithm, algorithm)
    t.match(verify(run, sign(run, { a: 1 })), { a: 1 })
  }
})

t.test('keys that cannot sign tokens are named by the option that has them', async (t) => {
  const x25519 = pem(generateKeyPairSync('x25519'))
  for (const [options, message] of [
    [pairOptions(x25519), 'authPrivateKey: expected an RSA, EC (P-256, P-384, P-521) or Ed25519 key, got x25519'],
    [pairOptions(ec('secp256k1')), 'authPrivateKey: expected an RSA, EC (P-256, P-384, P-521) or Ed25519 key, got ec'],
    [{ ...pairOptions(rsa), authPublicKey: x25519.publicKey }, 'authPublicKey: expected a key for RS256 like authPrivateKey, got one for x25519'],
    [{ ...pairOptions(rsa), authPublicKey: ec256.publicKey }, 'authPublicKey: expected a key for RS256 like authPrivateKey, got one for ES256'],
    [{ ...pairOptions(rsa), authPrivateKey: 5 }, 'authPrivateKey: expected a string or a Buffer, got number'],
    [{ ...pairOptions(rsa), authPublicKey: 5 }, 'authPublicKey: expected a string or a Buffer, got number'],
    [{ ...pairOptions(rsa), authPublicKey: '' }, 'authPublicKey: expected a key, got an empty one']
  ] as Array<[ScPluginOptions, string]>) {
    await t.rejects(ready(t, options), { name: 'InvalidOptionsError', message })
  }
  await t.rejects(ready(t, { ...pairOptions(rsa), authPublicKey: 'x' }), { message: /^authPublicKey: expected a key as PEM; / })
  const run = await ready(t, { authKey: SECRET })
  t.match(outcome(() => sign(run, {}, {}, x25519.privateKey)).error, { message: 'Expected the key to be a secret, or PEM of an RSA, EC or Ed25519 key' })
  for (const [key, got] of [['', 'an empty one'], [Buffer.alloc(0), 'an empty one'], [5, 'number'], [null, 'null']] as const) {
    await t.rejects(run.engine.signToken({}, key as never, { async: false }), { message: `Expected the key to be a non-empty string or Buffer, got ${got}` })
  }
})

t.test('a secret that can be guessed is a warning', async (t) => {
  t.strictSame((await ready(t, { authKey: 'x'.repeat(32) })).warnings(), [])
  t.match((await ready(t, { authKey: 'x'.repeat(31) })).warnings(), [{ msg: /shorter than 32 bytes/, bytes: 31 }])
})

t.test('a random key has the algorithms of the options', async (t) => {
  const run = await ready(t, { authAlgorithm: 'HS512' })
  t.strictSame([run.keys.source, run.keys.algorithm, run.keys.userProperty], ['random', 'HS512', 'user'])
  t.equal(jsonwebtoken.decode(sign(run, {}), { complete: true })!.header.alg, 'HS512')
  const both = await ready(t, { authVerifyAlgorithms: ['HS256', 'HS384'] })
  t.equal(both.keys.algorithm, 'HS256')
  for (const algorithm of ['HS256', 'HS384'] as const) t.match(verify(both, jsonwebtoken.sign({ a: 1 }, String(both.keys.signatureKey), { algorithm })), { a: 1 })
  t.match(outcome(() => verify(both, jsonwebtoken.sign({}, String(both.keys.signatureKey), { algorithm: 'HS512' }))).error, { message: 'invalid algorithm' })
})

t.test('algorithms of a pair that only the application\'s @fastify/jwt has, which comes later', async (t) => {
  for (const options of [{ authAlgorithm: 'RS256' }, { authVerifyAlgorithms: ['RS256'] }, { authAlgorithm: 'RS384', authVerifyAlgorithms: ['RS256', 'RS384'] }]) {
    const run = await ready(t, options, undefined, (app) => { app.register(fastifyJwt, { secret: { private: rsa.privateKey, public: rsa.publicKey }, sign: { algorithm: 'RS256' } }) })
    t.equal(run.keys.source, 'application')
    const signed = sign(run, { a: 1 })
    t.equal(jsonwebtoken.decode(signed, { complete: true })!.header.alg, options.authAlgorithm ?? 'RS256')
    t.match(verify(run, signed), { a: 1 })
    t.match(outcome(() => verify(run, jsonwebtoken.sign({}, rsa.privateKey, { algorithm: 'PS256' }))).error, { message: 'invalid algorithm' })
  }
})

t.test('a list without an algorithm allows none', async (t) => {
  const run = await ready(t, { authKey: SECRET })
  const token = sign(run, {})
  for (const list of [[], ['none'], ['XS256']]) t.match(outcome(() => verify(run, token, SECRET, list)).error, { name: 'JsonWebTokenError', message: 'invalid algorithm' })
})

t.test('a token may have 8,192 bytes', async (t) => {
  const run = await ready(t, { authKey: SECRET })
  const signed = Array.from({ length: 4 }, (_, more) => outcome(() => sign(run, { iat: 1, pad: 'x'.repeat(6_064 + more) })))
  const longest = signed.find(({ value }) => value?.length === MAX_TOKEN_BYTES)
  t.ok(longest, `one of ${signed.map(({ value }) => value?.length)}`)
  t.match(verify(run, longest!.value), { iat: 1 })
  t.match(outcome(() => sign(run, { iat: 1, pad: 'x'.repeat(6_070) })).error, { message: /may have 8192/ })
})

t.test('options may be left out', async (t) => {
  const run = await ready(t, { authKey: SECRET })
  const signed = await run.engine.signToken({ a: 1 }, SECRET, undefined as never)
  t.match(await run.engine.verifyToken(signed, SECRET, undefined as never), { a: 1 })
})
