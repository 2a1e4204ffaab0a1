// Tokens that count for nothing.
import { createHmac, generateKeyPairSync } from 'node:crypto'
import jwt from 'jsonwebtoken'
import t from 'tap'
import { Attacked, attack } from '../helpers/attack.js'
import { authKey } from '../helpers/serve.js'

const attacked = await Attacked.start(t)

function forged (header: object, payload: object, sign: (text: string) => string): string {
  const text = [header, payload].map((part) => Buffer.from(JSON.stringify(part)).toString('base64url')).join('.')
  return `${text}.${sign(text)}`
}

const hmac = (key: string, hash = 'sha256') => (text: string): string => createHmac(hash, key).update(text).digest('base64url')

attack(t, attacked, [
  {
    what: 'tokens',
    async run (t, clients) {
      const now = Math.floor(Date.now() / 1000)
      const { privateKey, publicKey } = generateKeyPairSync('rsa', { modulusLength: 2048, publicKeyEncoding: { type: 'spki', format: 'pem' }, privateKeyEncoding: { type: 'pkcs8', format: 'pem' } })
      const cases: Array<[string, unknown, string]> = [
        ['none', forged({ alg: 'none', typ: 'JWT' }, { sub: 'eve' }, () => ''), 'AuthTokenInvalidError'],
        ['None', forged({ alg: 'None', typ: 'JWT' }, { sub: 'eve' }, () => ''), 'AuthTokenInvalidError'],
        ['none, signed', forged({ alg: 'none' }, { sub: 'eve' }, hmac(authKey)), 'AuthTokenInvalidError'],
        ['an algorithm that is not allowed', forged({ alg: 'HS512' }, { sub: 'eve' }, hmac(authKey, 'sha512')), 'AuthTokenInvalidError'],
        ['RS256', jwt.sign({ sub: 'eve' }, privateKey, { algorithm: 'RS256' }), 'AuthTokenInvalidError'],
        ['a public key as the secret', jwt.sign({ sub: 'eve' }, publicKey.slice(0, 60), { algorithm: 'HS256' }), 'AuthTokenInvalidError'],
        ['another key', jwt.sign({ sub: 'eve' }, 'another key'), 'AuthTokenInvalidError'],
        ['the empty key', forged({ alg: 'HS256' }, { sub: 'eve' }, hmac('')), 'AuthTokenInvalidError'],
        ['expired', jwt.sign({ sub: 'eve', exp: now - 1 }, authKey), 'AuthTokenExpiredError'],
        ['not active yet', jwt.sign({ sub: 'eve', nbf: now + 100 }, authKey), 'AuthTokenNotBeforeError'],
        ['exp as text', forged({ alg: 'HS256' }, { sub: 'eve', exp: 'never' }, hmac(authKey)), 'AuthTokenInvalidError'],
        ['crit', forged({ alg: 'HS256', crit: ['b64'], b64: false }, { sub: 'eve' }, hmac(authKey)), 'AuthTokenInvalidError'],
        ['a payload that is no object', `${Buffer.from('{"alg":"HS256"}').toString('base64url')}.${Buffer.from('[1]').toString('base64url')}.x`, 'AuthTokenInvalidError'],
        ['dots', '...', 'AuthTokenInvalidError'],
        ['two parts', 'a.b', 'AuthTokenInvalidError'],
        ['not base64', '!.!.!', 'AuthTokenInvalidError'],
        ['30 KB', jwt.sign({ sub: 'eve', pad: 'x'.repeat(30_000) }, authKey), 'AuthTokenInvalidError'],
        ['a number', 5, 'InvalidArgumentsError'],
        ['an object', { toString: 'x' }, 'InvalidArgumentsError'],
        ['an array', [jwt.sign({ sub: 'eve' }, authKey)], 'InvalidArgumentsError'],
        ['true', true, 'InvalidArgumentsError']
      ]
      for (const [name, token, error] of cases) {
        const client = await clients.open()
        const status = await client.handshake(token)
        t.equal(status.isAuthenticated, false, name)
        // SocketCluster has no name of its own for a token of the wrong type.
        t.match(status.authError.name, error === 'InvalidArgumentsError' ? /Invalid|AuthTokenError/ : error, `${name}: ${String(status.authError.name)}`)
        client.ws.terminate()
      }
      const client = await clients.connect()
      for (const [name, token, error] of cases.slice(0, 3)) {
        t.match(await client.call('#authenticate', token), { error: { name: error } }, name)
      }
      t.match(await client.call('#subscribe', 'private/eve'), { error: { message: 'not yours' } })
      // These are well signed: arrays are legal claims.
      const legal = await clients.open()
      t.match(await legal.handshake(jwt.sign({ sub: 'ann', aud: ['a', 'b'] }, authKey)), { isAuthenticated: true })
      const client1 = await clients.connect()
      client1.send({ event: '#authenticate', data: 'x'.repeat(1_000_000) })
      t.equal((await client1.closed).code, 1009)
    }
  }
])
