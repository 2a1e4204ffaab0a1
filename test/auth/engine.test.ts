import { randomBytes } from 'node:crypto'
import { runInNewContext } from 'node:vm'
import fastifyJwt from '@fastify/jwt'
import type { FastifyInstance } from 'fastify'
import jsonwebtoken from 'jsonwebtoken'
import t from 'tap'
import { signToken, verifyToken } from '../../lib/auth/call-engine.js'
import type { JwtEngine } from '../../lib/auth/engine.js'
import { MAX_TOKEN_BYTES } from '../../lib/auth/keys.js'
import { handshakeUser } from '../../lib/auth/handshake-user.js'
import type { JwtError } from '../../lib/auth/jwt-errors.js'
import { parseTimespan } from '../../lib/auth/timespan.js'
import type { AuthKey, ScAuthToken } from '../../types/auth.js'
import type { Broker } from '../../types/broker.js'
import type { ScPluginOptions } from '../../types/options.js'
import { SECRET, b64, forge, newApp, outcome, ready, sc, sign, verify } from '../helpers/jwt-engine.js'
import { ec, ec256, ed25519, pairs, rsa, rsaSmall } from '../helpers/keys.js'

t.test('sign options mean what they mean in jsonwebtoken', async (t) => {
  const run = await ready(t, { authKey: SECRET })
  const now = Math.floor(Date.now() / 1000)
  const cases: Array<[name: string, claims: unknown, options: Record<string, unknown>]> = [
    ['no options', { a: 1 }, {}],
    ['expiresIn number', {}, { expiresIn: 60 }],
    ['expiresIn 0', {}, { expiresIn: 0 }],
    ['expiresIn negative', {}, { expiresIn: -30 }],
    ['expiresIn before 1970', { iat: 10 }, { expiresIn: -30 }],
    ['expiresIn ends in 1970', { iat: 10 }, { expiresIn: -10 }],
    ['expiresIn fraction', {}, { expiresIn: 1.5 }],
    ['expiresIn NaN', {}, { expiresIn: NaN }],
    ['expiresIn Infinity', {}, { expiresIn: Infinity }],
    ['expiresIn null', {}, { expiresIn: null }],
    ['encoding', { name: 'Zoë' }, { encoding: 'utf8' }],
    ['no encoding', {}, { encoding: 5 }],
    ['expiresIn text', {}, { expiresIn: '2 days' }],
    ['expiresIn short text', {}, { expiresIn: '10h' }],
    ['expiresIn text with a fraction', {}, { expiresIn: '1.5h' }],
    ['expiresIn text without unit', {}, { expiresIn: '120' }],
    ['expiresIn large text without unit', {}, { expiresIn: '120000' }],
    ['expiresIn year', {}, { expiresIn: '1y' }],
    ['expiresIn week', {}, { expiresIn: '2w' }],
    ['expiresIn negative text', {}, { expiresIn: '-1h' }],
    ['expiresIn zero text', {}, { expiresIn: '0s' }],
    ['expiresIn capital text', {}, { expiresIn: '3 Hours' }],
    ['expiresIn bad text', {}, { expiresIn: 'soon' }],
    ['expiresIn bad unit', {}, { expiresIn: '1 fortnight' }],
    ['expiresIn empty text', {}, { expiresIn: '' }],
    ['expiresIn boolean', {}, { expiresIn: true }],
    ['expiresIn counts from iat', { iat: 1000 }, { expiresIn: 5 }],
    ['notBefore number', {}, { notBefore: 60 }],
    ['notBefore 0', {}, { notBefore: 0 }],
    ['notBefore negative', {}, { notBefore: -60 }],
    ['notBefore text', {}, { notBefore: '2h' }],
    ['notBefore negative text', {}, { notBefore: '-2h' }],
    ['notBefore bad text', {}, { notBefore: 'later' }],
    ['notBefore fraction', {}, { notBefore: 0.5 }],
    ['nbf and notBefore', { nbf: now }, { notBefore: 5 }],
    ['expiresIn and notBefore', {}, { expiresIn: '1h', notBefore: 1 }],
    ['audience', {}, { audience: 'web' }],
    ['audience list', {}, { audience: ['web', 'app'] }],
    ['audience number', {}, { audience: 5 }],
    ['audience twice', { aud: 'web' }, { audience: 'app' }],
    ['issuer', {}, { issuer: 'me' }],
    ['issuer list', {}, { issuer: ['me'] }],
    ['issuer twice', { iss: 'me' }, { issuer: 'me' }],
    ['subject', {}, { subject: 'x' }],
    ['subject number', {}, { subject: 5 }],
    ['subject twice', { sub: 'x' }, { subject: 'y' }],
    ['jwtid', {}, { jwtid: 'id' }],
    ['jwtid twice', { jti: 'x' }, { jwtid: 'y' }],
    ['keyid', {}, { keyid: 'k1' }],
    ['keyid number', {}, { keyid: 1 }],
    ['header', {}, { header: { x: 1, typ: 'at+jwt' } }],
    ['header text', {}, { header: 'x' }],
    ['header list', {}, { header: [] }],
    ['noTimestamp', {}, { noTimestamp: true }],
    ['noTimestamp with expiresIn', {}, { noTimestamp: true, expiresIn: 10 }],
    ['noTimestamp with iat', { iat: 500 }, { noTimestamp: true, expiresIn: 10 }],
    ['noTimestamp text', {}, { noTimestamp: 'yes' }],
    ['iat kept', { iat: 500 }, {}],
    ['iat 0 is now', { iat: 0 }, {}],
    ['iat text', { iat: 'x' }, {}],
    ['exp claim', { exp: now + 5 }, {}],
    ['exp claim 0', { exp: 0 }, {}],
    ['exp claim negative', { exp: -5 }, {}],
    ['exp claim 0, noTimestamp', { exp: 0 }, { noTimestamp: true }],
    ['exp claim text', { exp: '5' }, {}],
    ['nbf claim', { nbf: now + 5 }, {}],
    ['nbf claim text', { nbf: '5' }, {}],
    ['algorithm HS512', {}, { algorithm: 'HS512' }],
    ['algorithm unknown', {}, { algorithm: 'HS1' }],
    ['unknown option', {}, { colour: 'red' }],
    ['nested claims', { a: { b: [1, null, 'ü'] }, c: undefined }, {}],
    ['null prototype', Object.assign(Object.create(null), { a: 1 }), {}]
  ]
  for (const [name, claims, options] of cases) {
    const theirs = outcome(() => jsonwebtoken.sign(claims as object, SECRET, options))
    const ours = outcome(() => sign(run, claims as object, options))
    if (theirs.error !== undefined) {
      t.equal(ours.error?.message, theirs.error.message, `${name}: fails with the same text`)
      continue
    }
    t.equal(ours.error, undefined, `${name}: signs`)
    const read = (token: string) => jsonwebtoken.decode(token, { complete: true })!
    const [a, b] = [read(ours.value!), read(theirs.value!)]
    t.same(a.header, b.header, `${name}: header`)
    const claimsA = a.payload as Record<string, unknown>
    const claimsB = b.payload as Record<string, unknown>
    t.same(Object.keys(claimsA).sort(), Object.keys(claimsB).sort(), `${name}: names of claims`)
    for (const [claim, value] of Object.entries(claimsB)) {
      // The two were signed one after another: a second may have begun in between.
      if (['iat', 'exp', 'nbf'].includes(claim)) t.ok(Math.abs((claimsA[claim] as number) - (value as number)) <= 1, `${name}: ${claim}`)
      else t.same(claimsA[claim], value, `${name}: ${claim}`)
    }
    t.ok(jsonwebtoken.verify(ours.value!, SECRET, { ignoreExpiration: true, ignoreNotBefore: true }), `${name}: jsonwebtoken verifies`)
  }
  for (const text of ['1', '.5h', '1.25h', '.25h', '1h'.padStart(100, '0'), '1h'.padStart(101, '0'), '5.h', '1.', '-', '', ' 1h', '1 h ', '1h30m', '9'.repeat(101), '1e3', '2 msecs', '3 yrs', '1_0s', '--1s']) {
    const theirs = outcome(() => (jsonwebtoken.decode(jsonwebtoken.sign({ iat: 1000 }, SECRET, { expiresIn: text as '1h' })) as ScAuthToken).exp)
    const value = parseTimespan(text)
    t.equal(value === undefined ? undefined : Math.floor(1000 + value / 1000), theirs.value, `timespan ${JSON.stringify(text)}`)
  }
})

t.test('signing where we mean to differ from jsonwebtoken', async (t) => {
  const run = await ready(t, { authKey: SECRET })
  const now = Math.floor(Date.now() / 1000)

  const beats = verify(run, sign(run, { exp: now + 100 }, { expiresIn: 5 }))
  t.equal(beats.exp, now + 100, 'an exp claim beats expiresIn')
  t.equal(verify(run, sign(run, { exp: now + 100.9 })).exp, now + 100, 'a fraction of exp is cut')
  t.equal(verify(run, sign(run, { nbf: now - 9.5 })).nbf, now - 9, 'a fraction of nbf is rounded up')
  for (const nbf of [-5, 0]) t.notOk('nbf' in verify(run, sign(run, { nbf })), `an nbf of ${nbf} is no limit`)
  t.match(verify(run, sign(run, runInNewContext('({ a: 1 })'))), { a: 1 }, 'claims of another realm')
  t.ok(sign(run, {}, { expiresIn: undefined, header: undefined }), 'undefined options are left out')
  t.equal(verify(run, sign(run, { name: 'Zoë' }, { encoding: 'latin1' })).name, 'Zoë', 'claims are UTF-8')

  for (const token of [[], ['a'], 'text', 5, null, undefined, true, Buffer.from('x'), new Map(), new Date(), () => {}]) {
    t.match(outcome(() => sign(run, token as object)).error, { message: /^Expected "payload" to be a plain object, got / }, `refuses ${String(token)}`)
  }
  const circular: Record<string, unknown> = {}
  circular.self = circular
  t.match(outcome(() => sign(run, circular)).error, { name: 'TypeError' })
  t.match(outcome(() => sign(run, { n: 1n })).error, { name: 'TypeError' })
  t.match(outcome(() => sign(run, {}, { header: { alg: 'none' } })).error, { message: /"header" may not have an "alg"/ })
  t.match(outcome(() => sign(run, {}, { algorithm: 'none' })).error, { message: '"algorithm" must be a valid string enum value' })
  t.match(outcome(() => sign(run, { big: 'x'.repeat(MAX_TOKEN_BYTES) })).error, { message: /^The signed token would have \d+ bytes; a token may have 8192$/ })

  const claims = Object.freeze({ a: Object.freeze({ b: 1 }) })
  const options = Object.freeze({ async: false, expiresIn: 5, header: Object.freeze({ x: 1 }) })
  t.ok(signToken(run.engine, claims as unknown as ScAuthToken, SECRET, options), 'mutates neither claims nor options')

  const filled: ScAuthToken = { user: 'x' }
  const signed = sign(run, filled, { expiresIn: 50, issuer: 'me', mutatePayload: true })
  t.same(filled, verify(run, signed), 'mutatePayload shows what was signed')
  const bare: ScAuthToken = { user: 'x' }
  sign(run, bare, { noTimestamp: true, mutatePayload: true })
  t.same(Object.keys(bare), ['user'], 'and adds no undefined claims')
})

t.test('tokens and jsonwebtoken, both ways', async (t) => {
  const claims = { user: 'björn', list: [1, { x: null }], admin: true }
  for (const algorithm of ['HS256', 'HS384', 'HS512'] as const) {
    for (const key of ['x', 'testkey', 'ü'.repeat(100), randomBytes(1), randomBytes(200)]) {
      const run = await ready(t, { authKey: key, authAlgorithm: algorithm })
      t.equal(run.keys.algorithm, algorithm)
      t.match(jsonwebtoken.verify(sign(run, claims), key, { algorithms: [algorithm] }), claims, `${algorithm}, key of ${key.length}: theirs reads ours`)
      t.match(verify(run, jsonwebtoken.sign(claims, key, { algorithm })), claims, `${algorithm}, key of ${key.length}: ours reads theirs`)
      t.equal(run.warnings().filter((line) => /shorter than 32 bytes/.test(line.msg)).length, Buffer.byteLength(key) < 32 ? 1 : 0)
    }
  }
  for (const [algorithm, { privateKey, publicKey }] of Object.entries(pairs)) {
    const run = await ready(t, { authPrivateKey: privateKey, authPublicKey: Buffer.from(publicKey), authAlgorithm: algorithm })
    t.equal(run.keys.source, 'options')
    t.match(jsonwebtoken.verify(sign(run, claims), publicKey, { algorithms: [algorithm as 'RS256'] }), claims, `${algorithm}: theirs reads ours`)
    t.match(verify(run, jsonwebtoken.sign(claims, privateKey, { algorithm: algorithm as 'RS256' })), claims, `${algorithm}: ours reads theirs`)
    t.equal(run.warnings().length, 0)
  }
  for (const [fitting, pair] of [['RS256', rsa], ['ES384', pairs.ES384!], ['ES512', pairs.ES512!], ['EdDSA', ed25519]] as const) {
    const run = await ready(t, { authPrivateKey: pair.privateKey, authPublicKey: pair.publicKey })
    t.equal(run.keys.algorithm, fitting, 'the algorithm that fits the pair')
    t.match(verify(run, sign(run, claims)), claims)
  }
})

t.test('bad tokens: names and texts of jsonwebtoken', async (t) => {
  const run = await ready(t, { authKey: SECRET })
  const now = Math.floor(Date.now() / 1000)
  const good = jsonwebtoken.sign({ a: 1 }, SECRET)
  const [header, payload, signature] = good.split('.') as [string, string, string]
  const HS256 = { alg: 'HS256', typ: 'JWT' }
  /** The last member: our error, where jsonwebtoken's is another, or it accepts the token. */
  const cases: Array<[name: string, token: unknown, ours?: { name?: string, message: string }]> = [
    ['null', null], ['undefined', undefined], ['empty', ''], ['number', 5], ['object', {}], ['list', [good]],
    ['no dots', 'abc'], ['one dot', 'a.b'], ['four parts', `${good}.x`], ['only dots', '..'], ['spaces', '   '],
    ['no JSON in the header', `${b64('x')}.${payload}.${signature}`],
    ['not base64url', `ä.${payload}.${signature}`],
    ['no signature', `${header}.${payload}.`],
    ['wrong key', jsonwebtoken.sign({}, 'another key')],
    ['changed payload', `${header}.${b64({ a: 2 })}.${signature}`],
    ['cut signature', good.slice(0, -2)],
    ['alg none', `${b64({ alg: 'none', typ: 'JWT' })}.${payload}.`],
    ['alg none with a signature', `${b64({ alg: 'none', typ: 'JWT' })}.${payload}.${signature}`],
    ['alg NoNe', `${b64({ alg: 'NoNe', typ: 'JWT' })}.${payload}.${signature}`],
    ['alg missing', forge({ typ: 'JWT' }, {})],
    ['another HMAC', jsonwebtoken.sign({}, SECRET, { algorithm: 'HS512' })],
    ['RS256', jsonwebtoken.sign({}, rsa.privateKey, { algorithm: 'RS256' })],
    ['expired', jsonwebtoken.sign({ exp: now - 10 }, SECRET)],
    ['exp 0', jsonwebtoken.sign({ exp: 0 }, SECRET)],
    ['not active', jsonwebtoken.sign({ nbf: now + 100 }, SECRET)],
    ['not active and expired', jsonwebtoken.sign({ nbf: now + 100, exp: now - 10 }, SECRET)],
    ['exp text', forge(HS256, { exp: '1' })],
    ['exp list', forge(HS256, { exp: [now + 50] })],
    ['nbf object', forge(HS256, { nbf: {} })],
    ['exp null', forge(HS256, { exp: null })],
    ['payload a list', forge(HS256, []), { message: 'invalid token' }],
    ['payload a text', forge(HS256, '"x"'), { message: 'invalid token' }],
    ['payload null', forge(HS256, 'null'), { message: 'invalid token' }],
    ['payload no JSON', forge(HS256, '{'), { message: 'invalid token' }],
    ['nbf beyond all dates', forge(HS256, '{"nbf":1e300}'), { message: 'invalid token' }],
    ['crit', forge({ ...HS256, crit: ['x'], x: 1 }, {}), { message: 'unsupported critical header' }],
    ['crit empty', forge({ ...HS256, crit: [] }, {}), { message: 'unsupported critical header' }],
    ['8193 bytes', jsonwebtoken.sign({ x: 'x'.repeat(7000) }, SECRET), { message: 'jwt is longer than 8192 bytes' }],
    ['1 MB', 'a'.repeat(1 << 20), { message: 'jwt is longer than 8192 bytes' }],
    ['1 MB of dots', '.'.repeat(1 << 20), { message: 'jwt is longer than 8192 bytes' }]
  ]
  for (const [name, token, own] of cases) {
    const ours = outcome(() => verify(run, token))
    t.equal(ours.value, undefined, `${name}: refused`)
    const expected = own === undefined
      ? outcome(() => jsonwebtoken.verify(token as string, SECRET, { algorithms: ['HS256'] })).error
      : { name: 'JsonWebTokenError', ...own }
    t.same(ours.error, expected, `${name}: ${expected?.name}: ${expected?.message}`)
  }

  t.match(outcome(() => verify(run, jsonwebtoken.sign({ exp: 1000 }, SECRET))).error, { name: 'TokenExpiredError' })
  await t.rejects(run.engine.verifyToken(jsonwebtoken.sign({ exp: 1000 }, SECRET), SECRET, { async: true }), { expiredAt: new Date(1000_000) } as Partial<JwtError> as Error)
  await t.rejects(run.engine.verifyToken(jsonwebtoken.sign({ nbf: 4000000000 }, SECRET), SECRET, { async: true }), { date: new Date(4000000000_000) } as Partial<JwtError> as Error)
  t.match(verify(run, forge(HS256, { aud: ['a', 'b'], iss: ['x'] })), { aud: ['a', 'b'], iss: ['x'] }, 'lists are refused only by who limits them')
  t.equal(verify(run, forge(HS256, '{"__proto__":{"admin":true},"a":1}')).admin, undefined, 'a claim reaches no prototype')

  t.test('asymmetric keys: confusion, and signatures of a wrong length', async (t) => {
    const byRsa = await ready(t, { authPrivateKey: rsa.privateKey, authPublicKey: rsa.publicKey })
    t.same(outcome(() => verify(byRsa, forge(HS256, { admin: true }, rsa.publicKey))).error, { name: 'JsonWebTokenError', message: 'invalid algorithm' })
    t.same(outcome(() => verify(byRsa, forge(HS256, {}, rsa.publicKey), rsa.publicKey, ['HS256', 'RS256'])).error, { name: 'JsonWebTokenError', message: 'invalid signature' })
    const byEc = await ready(t, { authPrivateKey: ec256.privateKey, authPublicKey: ec256.publicKey })
    const token = sign(byEc, { a: 1 })
    t.same(outcome(() => verify(byEc, token.slice(0, -20))).error, { name: 'JsonWebTokenError', message: 'invalid signature' })
    t.same(outcome(() => verify(byEc, jsonwebtoken.sign({}, ec('P-256').privateKey, { algorithm: 'ES256' }))).error, { name: 'JsonWebTokenError', message: 'invalid signature' })
  })
})

t.test('algorithms: a list always, never none', async (t) => {
  const run = await ready(t, { authKey: SECRET, authAlgorithm: 'HS384', authVerifyAlgorithms: ['HS256', 'HS384'] })
  t.equal((jsonwebtoken.decode(sign(run, {}), { complete: true }))!.header.alg, 'HS384')
  const by = (algorithm: 'HS256' | 'HS384' | 'HS512') => jsonwebtoken.sign({ algorithm }, SECRET, { algorithm })
  t.match(verify(run, by('HS256')), { algorithm: 'HS256' })
  t.match(outcome(() => verify(run, by('HS512'))).error, { message: 'invalid algorithm' })
  t.match(verify(run, by('HS512'), SECRET, ['HS512']), { algorithm: 'HS512' }, 'the list of the call counts')
  t.match(outcome(() => verify(run, by('HS256'), SECRET, ['HS512'])).error, { message: 'invalid algorithm' })
  const unsigned = jsonwebtoken.sign({}, '', { algorithm: 'none' })
  for (const list of [['none'], [], ['none', 'HS256'], undefined]) {
    t.equal(outcome(() => verify(run, unsigned, SECRET, list)).error?.name, 'JsonWebTokenError', `none is refused with ${list}`)
  }
  for (const [name, options, message] of [
    ['unknown algorithm', { authKey: SECRET, authAlgorithm: 'HS1' }, /^authAlgorithm: expected one of HS256, .*, got HS1$/],
    ['none', { authKey: SECRET, authAlgorithm: 'none' }, /^authAlgorithm: expected one of .*, got none$/],
    ['verify none', { authKey: SECRET, authVerifyAlgorithms: ['HS256', 'none'] }, /^authVerifyAlgorithms: expected one of .*, got none$/],
    ['verify nothing', { authKey: SECRET, authVerifyAlgorithms: [] }, /got an empty one$/],
    ['verify text', { authKey: SECRET, authVerifyAlgorithms: 'HS256' }, /expected a list of algorithms, got string$/],
    ['secret with RS256', { authKey: SECRET, authAlgorithm: 'RS256' }, /got RS256; others need authPrivateKey and authPublicKey$/],
    ['secret verifies RS256', { authKey: SECRET, authVerifyAlgorithms: ['HS256', 'RS256'] }, /^authVerifyAlgorithms: .*got RS256/],
    ['pair with HS256', { authPrivateKey: rsa.privateKey, authPublicKey: rsa.publicKey, authAlgorithm: 'HS256' }, /expected what fits the key pair \(such as RS256\), got HS256$/],
    ['curve', { authPrivateKey: ec256.privateKey, authPublicKey: ec256.publicKey, authAlgorithm: 'ES384' }, /such as ES256\), got ES384$/],
    ['pair of two kinds', { authPrivateKey: rsa.privateKey, authPublicKey: ec256.publicKey }, /^authPublicKey: expected a key for RS256/],
    ['small RSA', { authPrivateKey: rsaSmall.privateKey, authPublicKey: rsaSmall.publicKey }, /at least 2048 bits, got 1024$/],
    ['no PEM', { authPrivateKey: 'x', authPublicKey: 'y' }, /^authPrivateKey: expected a key as PEM/],
    ['empty key', { authKey: '' }, /^authKey: expected a key, got an empty one$/],
    ['empty buffer', { authKey: Buffer.alloc(0) }, /^authKey: expected a key, got an empty one$/],
    ['key of a wrong type', { authKey: 5 }, /^authKey: expected a string or a Buffer, got number$/],
    ['public key as a secret', { authKey: rsa.publicKey }, /^authKey: expected a secret, got PEM/],
    ['random, RS256', { authAlgorithm: 'RS256' }, /got RS256; others need/],
    ['only a private key', { authPrivateKey: rsa.privateKey }, /^The authPublicKey option must be specified if authPrivateKey is specified$/],
    ['only a public key', { authPublicKey: rsa.publicKey, authKey: SECRET }, /^The authPrivateKey option must be specified if authPublicKey is specified$/],
    ['no such namespace', { jwtNamespace: 'sc' }, /^jwtNamespace: expected a namespace of @fastify\/jwt, got "sc"/]
  ] as Array<[string, ScPluginOptions, RegExp]>) {
    await t.rejects(ready(t, options), { name: 'InvalidOptionsError', message }, name)
  }
})

t.test('keys set while running', async (t) => {
  const run = await ready(t, { authKey: SECRET })
  const other = 'another secret, also of more than thirty-two bytes'
  const old = sign(run, { a: 1 })
  const fresh = sign(run, { a: 2 }, {}, other)
  t.match(jsonwebtoken.verify(fresh, other), { a: 2 })
  t.match(verify(run, fresh, other), { a: 2 })
  t.match(outcome(() => verify(run, fresh)).error, { message: 'invalid signature' })
  t.match(outcome(() => verify(run, old, other)).error, { message: 'invalid signature' })
  t.match(verify(run, old), { a: 1 }, 'the first key goes on working')
  t.match(verify(run, old, Buffer.from(SECRET)), { a: 1 }, 'a Buffer of the same secret')

  const byRsa = sign(run, { a: 3 }, {}, rsa.privateKey)
  t.equal(jsonwebtoken.decode(byRsa, { complete: true })!.header.alg, 'RS256', 'the algorithm fits the new key')
  t.match(verify(run, byRsa, rsa.publicKey), { a: 3 })
  t.match(jsonwebtoken.verify(byRsa, rsa.publicKey), { a: 3 })
  t.match(verify(run, sign(run, { a: 4 }, {}, ec256.privateKey), ec256.publicKey), { a: 4 })
  t.match(outcome(() => verify(run, forge({ alg: 'HS256', typ: 'JWT' }, {}, rsa.publicKey), rsa.publicKey)).error, { message: 'invalid algorithm' }, 'a public key is no secret')
  t.match(outcome(() => verify(run, forge({ alg: 'HS256', typ: 'JWT' }, {}, rsa.publicKey), rsa.publicKey, ['HS256'])).error, { message: 'invalid algorithm' })
  t.match(outcome(() => sign(run, {}, { algorithm: 'HS256' }, rsa.privateKey)).error, { message: /must be a secret when using HS256/ })

  for (const key of ['', Buffer.alloc(0), null, undefined, 5, {}]) {
    // Not through the helpers: their default would take the place of `undefined`.
    await t.rejects(run.engine.verifyToken(old, key as AuthKey, { async: true }), { name: 'Error', message: /non-empty string or Buffer/ }, `verifies nothing with ${String(key)}`)
    await t.rejects(run.engine.signToken({}, key as AuthKey, { async: false }), { message: /non-empty string or Buffer/ }, `signs nothing with ${String(key)}`)
  }
  const configured = await ready(t, { authKey: SECRET, authAlgorithm: 'HS512' })
  t.equal(jsonwebtoken.decode(sign(configured, {}, {}, other), { complete: true })!.header.alg, 'HS512', 'a configured algorithm stays')
})

t.test('a random key', async (t) => {
  const a = await ready(t, {})
  const b = await ready(t, {})
  t.equal(a.keys.source, 'random')
  t.not(a.keys.signatureKey, b.keys.signatureKey)
  t.ok(String(a.keys.signatureKey).length >= 32)
  t.match(verify(a, sign(a, { x: 1 })), { x: 1 })
  t.match(a.warnings(), [{ msg: /random key.*set the option authKey/ }])
  t.equal(a.warnings().length, 1)
  t.equal(a.engine.resolve(), a.keys, 'is decided once')
  t.ok(outcome(() => verify(b, sign(a, {}))).error, 'another process does not know it')

  const shared = { name: 'test', shared: true } as Broker
  await t.rejects(ready(t, { broker: shared }), { code: 'SC_ERR_AUTH_KEY_RANDOM', name: 'InvalidOptionsError' })
  t.equal((await ready(t, { broker: shared, authKey: SECRET })).keys.source, 'options')
  t.equal((await ready(t, { broker: shared }, (app) => { app.register(fastifyJwt, { secret: SECRET }) })).keys.source, 'application')
  const own = await ready(t, { broker: shared, authEngine: a.engine })
  t.same(own.warnings(), [], 'an engine of the application may need no key')
})

t.test('the application\'s @fastify/jwt, before and after', async (t) => {
  const register = (app: FastifyInstance) => { app.register(fastifyJwt, { secret: SECRET }) }
  for (const [order, before, after] of [['before', register, undefined], ['after', undefined, register]] as const) {
    const run = await ready(t, {}, before, after)
    t.same({ ...run.keys }, { source: 'application', signatureKey: null, verificationKey: null, algorithm: undefined, userProperty: 'user' }, order)
    t.match(run.app.jwt.verify(sign(run, { x: 1 })), { x: 1 }, `${order}: the application reads ours`)
    t.match(verify(run, run.app.jwt.sign({ y: 1 })), { y: 1 }, `${order}: we read the application's`)
    t.match(jsonwebtoken.verify(sign(run, { x: 1 }, { expiresIn: 5 }), SECRET), { x: 1 })
    t.match(outcome(() => verify(run, jsonwebtoken.sign({}, 'x'))).error, { name: 'JsonWebTokenError', message: 'invalid signature' })
    t.match(outcome(() => verify(run, jsonwebtoken.sign({}, '', { algorithm: 'none' }))).error, { name: 'JsonWebTokenError' })
    t.same(run.warnings(), [], `${order}: no warning of a random key`)
    const other = 'a key that was set while running, long enough'
    t.match(verify(run, sign(run, { z: 1 }, {}, other), other), { z: 1 }, `${order}: another key`)
    t.ok(outcome(() => verify(run, sign(run, {}), other)).error)

    const keyed = await ready(t, { authKey: 'x'.repeat(40) }, before, after)
    t.equal(keyed.keys.source, 'options', `${order}: authKey beats it`)
    t.ok(outcome(() => keyed.app.jwt.verify(sign(keyed, {}))).error, `${order}: and stays apart from it`)
    t.match(keyed.app.jwt.verify(keyed.app.jwt.sign({ a: 1 })), { a: 1 }, `${order}: which goes on as it was`)
    keyed.app.hasRequestDecorator('scAuthToken') && t.fail('our registration shows outside')
  }
  const none = await ready(t, {})
  t.equal('jwt' in none.app, false, 'ours is not seen by the application')
})

t.test('namespaces', async (t) => {
  const a = (app: FastifyInstance) => { app.register(fastifyJwt, { secret: SECRET, namespace: 'a', decoratorName: 'person' }) }
  const b = (app: FastifyInstance) => { app.register(fastifyJwt, { secret: 'b'.repeat(32), namespace: 'b', decoratorName: 'person' }) }
  for (const [before, after] of [[a, b], [b, a]]) {
    const run = await ready(t, { jwtNamespace: 'a' }, before, after)
    t.equal(run.keys.source, 'application')
    t.equal(run.keys.userProperty, 'person')
    t.match(jsonwebtoken.verify(sign(run, { x: 1 }), SECRET), { x: 1 })
    t.same(run.warnings(), [])
  }
  const unnamed = await ready(t, {}, a, b)
  t.equal(unnamed.keys.source, 'random', 'without jwtNamespace none of them is meant')
  await t.rejects(ready(t, { jwtNamespace: 'c' }, a, b), { name: 'InvalidOptionsError', message: /got "c"/ })
  const renamed = await ready(t, { jwtNamespace: 'n' }, (app) => { app.register(fastifyJwt, { secret: SECRET, namespace: 'n', jwtVerify: 'check' }) })
  t.match(renamed.warnings(), [{ msg: /^request\.nJwtVerify is missing/ }])
  t.match(verify(renamed, sign(renamed, { a: 1 })), { a: 1 })
})

t.test('the application\'s own settings', async (t) => {
  const now = Math.floor(Date.now() / 1000)
  const strict = await ready(t, {}, (app) => {
    app.register(fastifyJwt, {
      secret: SECRET,
      sign: { expiresIn: '1h', iss: 'app', aud: 'all' },
      verify: { allowedIss: 'app', requiredClaims: ['aud'], cache: true, complete: true }
    })
  })
  const claims = verify(strict, sign(strict, { x: 1 }))
  t.match(claims, { x: 1, iss: 'app', aud: 'all' })
  t.ok(Math.abs(claims.exp! - now - 3600) <= 2, 'its defaults hold')
  t.equal(verify(strict, sign(strict, { exp: now + 77 })).exp, now + 77, 'an exp claim beats its expiresIn')
  t.ok(Math.abs(verify(strict, sign(strict, {}, { expiresIn: 10 })).exp! - now - 10) <= 2, 'our expiresIn too')
  t.equal(verify(strict, sign(strict, { aud: 'me' })).aud, 'me', 'a claim beats its default')
  t.equal(verify(strict, sign(strict, {}, { audience: 'us' })).aud, 'us')
  t.same(outcome(() => verify(strict, sign(strict, { iss: 'other' }))).error, { name: 'JsonWebTokenError', message: 'jwt issuer invalid' })
  t.same(outcome(() => verify(strict, jsonwebtoken.sign({ iss: ['app', 'b'], aud: 'x' }, SECRET))).error, { name: 'JsonWebTokenError', message: 'jwt issuer invalid' })
  t.same(outcome(() => verify(strict, jsonwebtoken.sign({ iss: 'app' }, SECRET))).error, { name: 'JsonWebTokenError', message: 'jwt audience invalid' })
  const token = sign(strict, { nested: { n: 1 } })
  ;(verify(strict, token).nested as { n: number }).n = 2
  t.match(verify(strict, token), { nested: { n: 1 } }, 'what its cache holds cannot be changed by us')

  t.test('verify only', async (t) => {
    const run = await ready(t, {}, (app) => { app.register(fastifyJwt, { secret: { public: rsa.publicKey } as { public: string, private: string } }) })
    t.match(verify(run, jsonwebtoken.sign({ a: 1 }, rsa.privateKey, { algorithm: 'PS256' })), { a: 1 })
    t.match(outcome(() => sign(run, {})).error, { message: /unable to sign/ })
    t.match(outcome(() => verify(run, forge({ alg: 'HS256', typ: 'JWT' }, {}, rsa.publicKey))).error, { message: 'invalid algorithm' })
    const limited = await ready(t, { authVerifyAlgorithms: ['RS256'] }, (app) => { app.register(fastifyJwt, { secret: { public: rsa.publicKey } as { public: string, private: string } }) })
    t.match(outcome(() => verify(limited, jsonwebtoken.sign({}, rsa.privateKey, { algorithm: 'PS256' }))).error, { message: 'invalid algorithm' })
  })

  t.test('trusted and secret functions, by the handshake\'s request', async (t) => {
    for (const isAsync of [false, true]) {
      const trusted = (_request: unknown, claims: { [claim: string]: unknown }) => isAsync ? Promise.resolve(claims.revoked !== true) : claims.revoked !== true
      const secret = isAsync ? async () => SECRET : undefined
      const { app } = newApp(t)
      let engine!: JwtEngine
      app.register(fastifyJwt, { secret: secret ?? SECRET, trusted, formatUser: () => ({ formatted: true }) })
      sc(app, {}, (made) => { engine = made })
      const results: unknown[] = []
      app.get('/', async (request) => {
        request.user = { kept: true }
        const socket = { fastifyRequest: request }
        for (const token of [jsonwebtoken.sign({ a: 1 }, SECRET), jsonwebtoken.sign({ revoked: true }, SECRET), jsonwebtoken.sign({}, 'x'), jsonwebtoken.sign({ exp: 5 }, SECRET), 'x.y']) {
          results.push(await Promise.resolve().then(() => verifyToken(engine, token, null, { async: true, socket })).catch((err) => [err.name, err.expiredAt?.getTime()]))
        }
        results.push(request.user)
        return ''
      })
      t.equal((await app.inject('/')).statusCode, 200)
      t.match(results, [
        { a: 1 }, ['JsonWebTokenError', undefined], ['JsonWebTokenError', undefined], ['TokenExpiredError', 5000], ['JsonWebTokenError', undefined], { kept: true }
      ], isAsync ? 'asynchronous' : 'synchronous')
    }
  })
})

t.test('answers at once, to callback or by promise', async (t) => {
  const run = await ready(t, { authKey: SECRET })
  let signed = ''
  run.engine.signToken({ a: 1 }, SECRET, { async: true }, (err, token) => { t.equal(err, null); signed = token! })
  t.not(signed, '', 'signed before the call returned')
  let claims: ScAuthToken | undefined
  run.engine.verifyToken(signed, SECRET, { async: true }, (err, token) => { t.equal(err, null); claims = token })
  t.match(claims, { a: 1 })
  t.match(await run.engine.verifyToken(await run.engine.signToken({ b: 1 }, SECRET, { async: false }), SECRET, { async: false }), { b: 1 })
  let calls = 0
  t.throws(() => run.engine.verifyToken(signed, SECRET, { async: true }, () => { calls++; throw new Error('of the callback') }), { message: 'of the callback' })
  t.equal(calls, 1, 'a callback that throws is not called again')
})

t.test('the user that a handshake hook verified', async (t) => {
  const { app } = newApp(t)
  let engine!: JwtEngine
  sc(app, {}, (made) => { engine = made })
  app.register(fastifyJwt, { secret: SECRET, decoratorName: 'person' })
  app.addHook('onRequest', async (request) => { if (request.headers.authorization !== undefined) await request.jwtVerify() })
  const users: unknown[] = []
  app.get('/', async (request) => { users.push(handshakeUser(request, engine.resolve().userProperty)); return '' })
  await app.inject({ url: '/', headers: { authorization: `Bearer ${jsonwebtoken.sign({ name: 'x' }, SECRET, { noTimestamp: true })}` } })
  await app.inject('/')
  t.same(users, [{ name: 'x' }, null])
})
